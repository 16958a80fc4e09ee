<?php
// Stand-in of the vendor's portal: router for `php -S`, in place of nginx, in tests.
$path = (string)parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if (is_file($_SERVER['DOCUMENT_ROOT'] . $path) && !str_contains($path, '/.')) {
    return false;
}
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/urlrewrite.php';
return true;
