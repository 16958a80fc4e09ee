<?php
// Stand-in of the vendor's portal: what the mobile application asks first, by its own log-in.
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
header('Content-Type: application/json; charset=utf-8');
if (!$USER->IsAuthorized() && isset($_SERVER['PHP_AUTH_USER'])) {
    $USER->Login($_SERVER['PHP_AUTH_USER'], (string)($_SERVER['PHP_AUTH_PW'] ?? ''));
}
if (!$USER->IsAuthorized()) {
    http_response_code(401);
    header('WWW-Authenticate: Basic realm="Bitrix24"');
    exit(json_encode(['status' => 'failed', 'bitrix_sessid' => CPortalSession::id()]));
}
$pull = CPullOptions::config($USER->GetID());
echo json_encode([
    'status' => 'success', 'user_id' => $USER->GetID(), 'sessid_md5' => CPortalSession::id(), 'target' => hash('sha256', (string)$USER->GetID()), 'site' => CSite::serverName(),
    'pull' => ['enabled' => $pull['server_enabled'], 'path' => $pull['mobile'], 'websocket' => $pull['websocket'], 'channel' => $pull['channel']], 'push' => CPullOptions::get('push') === 'Y'], JSON_UNESCAPED_SLASHES);
