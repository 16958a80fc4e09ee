<?php
// Stand-in of the vendor's portal: every address that is no file comes here.
$path = (string)parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
require $_SERVER['DOCUMENT_ROOT'] . '/urlrewrite.php';
foreach ($arUrlRewrite as $rule) {
    if (preg_match($rule['CONDITION'], $path, $ROUTE)) {
        if (isset($rule['PATH'])) {
            require $_SERVER['DOCUMENT_ROOT'] . $rule['PATH'];
            return;
        }
        require_once $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
        require_once $_SERVER['DOCUMENT_ROOT'] . '/bitrix/templates/bitrix24/page.php';
        run_page($rule['ID'], $ROUTE);
        return;
    }
}
require $_SERVER['DOCUMENT_ROOT'] . '/404.php';
