<?php
// Stand-in of the vendor's portal: addresses that outside services call without logging in.
define('BX_NO_SESSION', true);
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
header('Content-Type: application/json; charset=utf-8');
echo json_encode(['result' => 'OK', 'receiver' => parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)], JSON_UNESCAPED_SLASHES);
