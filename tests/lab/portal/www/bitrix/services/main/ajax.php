<?php
// Stand-in of the vendor's portal: what the pages' scripts ask for.
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include.php';
header('Content-Type: application/json; charset=utf-8');
$fail = static function (string $text, int $status = 200): never {
    http_response_code($status);
    exit(json_encode(['status' => 'error', 'errors' => [['message' => $text, 'code' => 0]], 'data' => null]));
};
if (!$USER->IsAuthorized()) {
    $fail('You are not logged in.', 401);
}
if (($_GET['action'] ?? '') === 'crm.controller.item.getFile') {
    header_remove('Content-Type');
    CFile::send((int)($_GET['fileId'] ?? 0), true);
}
if (!CPortalSession::isValidToken()) {
    $fail('The session token is wrong.', 403);
}
if (($_GET['action'] ?? '') === 'voximplant.call.start') {
    try {
        $told = CVoxExternalCall::start($USER->GetID(), (string)($_POST['phone'] ?? ''), strtoupper((string)($_POST['type'] ?? '')), (int)($_POST['id'] ?? 0));
    } catch (RestError $e) {
        $fail($e->getMessage());
    }
    $told || $fail('No telephony is connected.');
    exit(json_encode(['status' => 'success', 'data' => ['message' => null], 'errors' => []]));
}
$chat = (int)($_POST['chat'] ?? 0);
if (!CIMMessage::isMember($chat, $USER->GetID())) {
    $fail('You are not in this chat.', 403);
}
session_write_close();
try {
    switch ($_GET['action'] ?? '') {
        case 'im.message.send':
            $message = CIMMessage::send($chat, $USER->GetID(), trim((string)($_POST['text'] ?? '')));
            break;
        case 'im.file.send':
            if (!CIMDisk::Enabled()) {
                $fail('Files cannot be sent: the push server or the disk is off.');
            }
            $file = $_FILES['file'] ?? null;
            if ($file === null || $file['error'] !== UPLOAD_ERR_OK) {
                $fail('The file did not arrive.');
            }
            $object = CIMDisk::upload($chat, basename($file['name']), (string)file_get_contents($file['tmp_name']), $USER->GetID());
            $message = CIMMessage::send($chat, $USER->GetID(), '', [$object]);
            break;
        default:
            $fail('Unknown action.', 404);
    }
} catch (RuntimeException $e) {
    $fail($e->getMessage());
}
echo json_encode(['status' => 'success', 'data' => ['message' => $message], 'errors' => []], JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
