<?php
// Stand-in of the vendor's portal: home page.
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/urlrewrite.php';
