<?php
// Stand-in of the vendor's portal: files of activities, for those logged in and for an application's token.
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
$token = (string)($_GET['auth'] ?? '');
if (!$USER->IsAuthorized() && ($token === '' || !DB::val("SELECT 1 FROM b_rest_app WHERE APPLICATION_TOKEN=? AND ACTIVE='Y'", $token))) {
    header('Content-Type: text/html; charset=utf-8');
    exit('Access denied.');
}
CFile::send((int)(CDisk::object((int)($_GET['fileId'] ?? 0))['FILE_ID'] ?? 0), true);
