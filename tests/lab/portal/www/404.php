<?php
// Stand-in of the vendor's portal: what is not there.
http_response_code(404);
require_once $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
require_once $_SERVER['DOCUMENT_ROOT'] . '/bitrix/templates/bitrix24/page.php';
page_begin('Not found');
echo '<p id="not-found">There is no such page.</p>';
page_end();
