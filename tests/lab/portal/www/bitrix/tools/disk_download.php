<?php
// Stand-in of the vendor's portal: files of the disk and of CRM fields, for those logged in or a REST caller's token.
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
$token = (string)($_GET['auth'] ?? '');
$allowed = $USER->IsAuthorized() || ($token !== '' && DB::val("SELECT 1 FROM b_rest_app WHERE APPLICATION_TOKEN=? AND ACTIVE='Y'", $token))
    || (preg_match('#^(\d+)/(\w+)$#', $token, $hook) && DB::val("SELECT 1 FROM b_rest_ap WHERE USER_ID=? AND PASSWORD=? AND ACTIVE='Y'", (int)$hook[1], $hook[2]));
if (!$allowed) {
    http_response_code(403);
    exit('Access denied');
}
CFile::send((int)($_GET['fileId'] ?? CDisk::object((int)($ROUTE['id'] ?? 0))['FILE_ID'] ?? 0), isset($_GET['download']));
