<?php
// Stand-in of the vendor's portal: entry of REST requests.
define('BX_NO_SESSION', true);
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
CRestServer::handle((string)parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
