<?php
// Stand-in of the vendor's portal: what scripts include to get the kernel.
require_once dirname(__DIR__) . '/include.php';
