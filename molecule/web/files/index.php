<?php
// Stands where a portal would be, and says what it was asked.
if (isset($_GET['give'])) {
    header('X-Accel-Redirect: ' . $_GET['give']);
    exit;
}
if (($_GET['own'] ?? '') === 'policy') {
    header("Content-Security-Policy: frame-ancestors 'self' https://app.example.com");
}
if (($_GET['own'] ?? '') === 'frame') {
    header('X-Frame-Options: DENY');
}
header('Content-Type: application/json');
echo json_encode([
    'script' => $_SERVER['SCRIPT_NAME'],
    'root' => $_SERVER['DOCUMENT_ROOT'],
    'uri' => $_SERVER['REQUEST_URI'],
    'name' => $_SERVER['SERVER_NAME'],
    'host' => $_SERVER['HTTP_HOST'],
    'headers' => array_filter($_SERVER, fn($name) => str_starts_with($name, 'HTTP_'), ARRAY_FILTER_USE_KEY),
    'port' => $_SERVER['SERVER_PORT'],
    'https' => $_SERVER['HTTPS'] ?? '',
    'from' => $_SERVER['REMOTE_ADDR'],
    'path_info' => $_SERVER['PATH_INFO'] ?? '',
    'body' => (int) ($_SERVER['CONTENT_LENGTH'] ?? 0),
    'file' => array_sum(array_column($_FILES, 'size')),
]);
