<?php
// Stand-in of the vendor's portal: files of the disk, for those logged in; others are led to a form, which is no error.
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
if (!$USER->IsAuthorized()) {
    header('Location: /auth/?backurl=' . rawurlencode((string)$_SERVER['REQUEST_URI']), true, 302);
    exit;
}
CFile::send((int)(CDisk::object((int)$ROUTE['id'])['FILE_ID'] ?? 0), isset($_GET['download']));
