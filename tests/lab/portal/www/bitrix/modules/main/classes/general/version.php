<?php
// Stand-in of the vendor's portal.
define('SM_VERSION', '26.250.0');
define('SM_VERSION_DATE', '2026-05-12 10:00:00');
