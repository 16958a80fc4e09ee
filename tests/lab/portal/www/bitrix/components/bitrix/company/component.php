<?php
page_begin('Staff', 'company');
echo '<table id="staff"><tr><th>Name<th>Position<th>Phone<th>E-mail</tr>';
foreach (DB::rows("SELECT u.*, f.UF_PHONE_INNER FROM b_user u LEFT JOIN b_uts_user f ON f.VALUE_ID=u.ID WHERE u.ACTIVE='Y' AND (u.EXTERNAL_AUTH_ID IS NULL OR u.EXTERNAL_AUTH_ID IN ('','socservices')) ORDER BY u.LAST_NAME, u.ID") as $row) {
    echo '<tr class="employee" data-id="', $row['ID'], '"><td><a href="/company/personal/user/', $row['ID'], '/">', h(CUser::name($row)), '</a><td>', h($row['WORK_POSITION']), '<td>', h($row['UF_PHONE_INNER']), '<td>', h($row['EMAIL']), '</tr>';
}
echo '</table>';
page_end();
