<?php
// Says as whom it ran, and for which environment.
file_put_contents(dirname(__DIR__, 4) . '/upload/ran', posix_getpwuid(posix_geteuid())['name'] . ' ' . getenv('BITRIX_VA_VER'));
