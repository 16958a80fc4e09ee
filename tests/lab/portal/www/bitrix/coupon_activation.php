<?php
// Stand-in of the vendor's portal: where a licence is entered.
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
header('Content-Type: text/html; charset=utf-8');
echo '<!doctype html><html lang="en"><head><title>Activation</title></head><body id="page-coupon"><form method="post"><input name="COUPON"></form></body></html>';
