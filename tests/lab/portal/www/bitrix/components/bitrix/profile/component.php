<?php
$user = DB::row('SELECT u.*, f.UF_PHONE_INNER FROM b_user u LEFT JOIN b_uts_user f ON f.VALUE_ID=u.ID WHERE u.ID=?', (int)$route['id']);
if ($user === null) {
    require $_SERVER['DOCUMENT_ROOT'] . '/404.php';
    return;
}
page_begin(CUser::name($user), 'profile');
echo '<dl id="profile" data-id="', $user['ID'], '">';
foreach (['Position' => 'WORK_POSITION', 'E-mail' => 'EMAIL', 'Inner number' => 'UF_PHONE_INNER', 'Mobile' => 'PERSONAL_MOBILE'] as $title => $name) {
    echo '<dt>', $title, '<dd>', h($user[$name]);
}
echo '</dl><p><a id="write-message" href="/online/?IM_DIALOG=', $user['ID'], '">Write a message</a></p>';
page_end();
