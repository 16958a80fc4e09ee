<?php
// Shown for every address until a portal has been restored. 503: neither browsers nor search engines keep it.
http_response_code(503);
header('Retry-After: 600');
header('Cache-Control: no-store');
header('Content-Type: text/html; charset=utf-8');
readfile(__DIR__ . '/holding.html');
