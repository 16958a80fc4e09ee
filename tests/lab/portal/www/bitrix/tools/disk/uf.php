<?php
// Stand-in of the vendor's portal: attached files, for those logged in.
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
if (!$USER->IsAuthorized()) {
    header('Content-Type: application/json; charset=utf-8');
    exit(json_encode(['status' => 'denied', 'message' => '']));
}
$row = DB::row('SELECT o.FILE_ID FROM b_disk_attached_object a JOIN b_disk_object o ON o.ID=a.OBJECT_ID WHERE a.ID=?', (int)($_GET['attachedId'] ?? 0));
CFile::send((int)($row['FILE_ID'] ?? 0), true);
