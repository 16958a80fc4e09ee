<?php
// Stand-in of the vendor's portal: its tests of itself, for an administrator or who knows the unique_id.
define('BX_NO_HIT_AGENTS', true);
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
$known = hash_equals(CSiteChecker::uniqueId(), (string)($_GET['unique_id'] ?? ''));
if (!$known && !$USER->IsAdmin()) {
    http_response_code(403);
    exit('Access denied');
}
$type = (string)($_GET['test_type'] ?? '');
if ($type === '') {
    header('Content-Type: application/json; charset=utf-8');
    exit(json_encode(CSiteChecker::all(), JSON_PRETTY_PRINT | JSON_UNESCAPED_UNICODE));
}
header('Content-Type: text/plain; charset=utf-8');
$method = "check_$type";
$faults = match ($type) {
    'socket_test', 'dbconn_test', 'webdav_test' => [],
    'session_test' => isset($_SESSION['CHECKER']) ? [] : ($_SESSION['CHECKER'] = ['the session is new: ask again with its cookie']),
    'upload_test' => ($_FILES['test_file']['error'] ?? UPLOAD_ERR_NO_FILE) === UPLOAD_ERR_OK ? [] : ['the upload did not arrive'],
    'post_test' => count($_POST) >= 200 ? [] : ['only ' . count($_POST) . ' fields arrived'],
    'auth_test' => isset($_SERVER['PHP_AUTH_USER']) || isset($_SERVER['HTTP_AUTHORIZATION']) ? [] : ['HTTP authorization did not arrive'],
    'memory_test' => (static function (): array {
        str_repeat('x', 64 * 1048576);
        return [];
    })(),
    'pcre_recursion_test' => preg_match('/^(?:ab)*$/', str_repeat('ab', 2500)) === 1 ? [] : ['PCRE gave up'],
    'fast_download' => CSiteChecker::check_fast_download(),
    'perf' => [],
    default => method_exists(CSiteChecker::class, $method) ? CSiteChecker::$method() : ['no such test'],
};
echo $faults === [] ? 'SUCCESS' : implode("\n", $faults);
