<?php
global $USER;
$type = $route['type'];
$def = CCrm::TYPES[$type];
$id = (int)$route['id'];
if ($_SERVER['REQUEST_METHOD'] === 'POST' && CPortalSession::isValidToken()) {
    if (isset($_POST['comment']) && $id) {
        CCrmActivity::comment($def['id'], $id, trim((string)$_POST['comment']), $USER->GetID());
    } elseif ($id === 0) {
        $fields = array_intersect_key($_POST, array_flip(['TITLE', 'NAME', 'LAST_NAME', 'COMMENTS', 'COMPANY_TITLE', 'OPPORTUNITY']));
        foreach (['PHONE', 'EMAIL'] as $kind) {
            if (($_POST[$kind] ?? '') !== '') {
                $fields[$kind] = [['VALUE' => $_POST[$kind], 'VALUE_TYPE' => 'WORK']];
            }
        }
        $id = CCrm::add($type, $fields, $USER->GetID());
    }
    redirect("/crm/$type/details/$id/");
}
$token = '<input type="hidden" name="sessid" value="' . h(CPortalSession::id()) . '">';
if ($id === 0) {
    page_begin("New $type", "crm-$type-new");
    echo '<form id="crm-form" method="post">', $token;
    foreach ($type === 'contact' ? ['NAME', 'LAST_NAME', 'PHONE', 'EMAIL', 'COMMENTS'] : ($type === 'deal' ? ['TITLE', 'OPPORTUNITY', 'COMMENTS'] : ['TITLE', 'NAME', 'LAST_NAME', 'PHONE', 'EMAIL', 'COMMENTS']) as $name) {
        echo '<p><label>', $name, ' <input name="', $name, '"></label></p>';
    }
    echo '<button id="crm-save">Save</button></form>';
    page_end();
    return;
}
$row = CCrm::find($type, ['ID' => $id], [], 0, 1)[0] ?? null;
if ($row === null) {
    require $_SERVER['DOCUMENT_ROOT'] . '/404.php';
    return;
}
page_begin((string)(($row['TITLE'] ?? '') ?: ($row['FULL_NAME'] ?? '')), "crm-$type");
echo '<table id="crm-fields" data-id="', $id, '">';
foreach (array_filter($row, static fn($v) => $v !== null && $v !== '') as $name => $value) {
    echo '<tr><th>', $name, '<td class="field-', strtolower($name), '">', h($value), '</tr>';
}
foreach (CCrm::multi($type, [$id])[$id] ?? [] as $kind => $values) {
    foreach ($values as $v) {
        $call = $kind === 'PHONE' ? ' <button class="call-start" type="button" data-phone="' . h($v['VALUE']) . "\" data-type=\"$type\" data-id=\"$id\">Call</button>" : '';
        echo '<tr><th>', $kind, '<td class="field-', strtolower($kind), '"><span>', h($v['VALUE']), '</span>', $call, '</tr>';
    }
}
echo '</table>';
$rows = DB::rows('SELECT * FROM b_crm_product_row WHERE OWNER_TYPE=? AND OWNER_ID=? ORDER BY SORT', $def['short'], $id);
if ($rows) {
    echo '<h2>Products</h2><table id="product-rows">';
    foreach ($rows as $r) {
        echo '<tr><td>', h($r['PRODUCT_NAME']), '<td>', $r['PRICE'], '<td>', $r['QUANTITY'], '</tr>';
    }
    echo '</table>';
}
$entries = [];
foreach (DB::rows('SELECT a.* FROM b_crm_act a JOIN b_crm_act_bind b ON b.ACTIVITY_ID=a.ID WHERE b.OWNER_TYPE_ID=? AND b.OWNER_ID=? ORDER BY a.ID DESC LIMIT 100', $def['id'], $id) as $a) {
    $html = '<div class="timeline-item activity" data-id="' . $a['ID'] . '" data-provider="' . h($a['PROVIDER_ID']) . '"><b>' . h($a['SUBJECT']) . '</b> ' . nl2br(h($a['DESCRIPTION']));
    foreach (CCrmActivity::fileIds($a) as $object) {
        $file = CDisk::object($object);
        $url = CDisk::url($object);
        $html .= preg_match('/\.(wav|mp3)$/i', (string)($file['NAME'] ?? '')) ? "<br><audio class=\"recording\" controls preload=\"none\" src=\"$url\"></audio>" : '';
        $html .= " <a class=\"activity-file\" href=\"$url\">" . h($file['NAME'] ?? "#$object") . '</a>';
    }
    $entries[] = [$a['CREATED'], $html . '</div>'];
}
foreach (DB::rows('SELECT t.*, u.NAME, u.LAST_NAME, u.LOGIN FROM b_crm_timeline t JOIN b_crm_timeline_bind b ON b.OWNER_ID=t.ID LEFT JOIN b_user u ON u.ID=t.AUTHOR_ID WHERE b.ENTITY_TYPE_ID=? AND b.ENTITY_ID=? ORDER BY t.ID DESC LIMIT 100', $def['id'], $id) as $t) {
    $entries[] = [$t['CREATED'], '<div class="timeline-item comment" data-id="' . $t['ID'] . '"><span class="muted">' . h(CUser::name($t)) . '</span> ' . nl2br(h($t['COMMENT'])) . '</div>'];
}
rsort($entries);
echo '<h2>Timeline</h2><form id="comment-form" method="post">', $token, '<input id="comment-text" name="comment" size="60"> <button>Comment</button></form><div id="timeline">', implode('', array_column($entries, 1)), '</div>';
page_end();
