<?php
// Stand-in of the vendor's portal: files of CRM fields.
require __DIR__ . '/disk_download.php';
