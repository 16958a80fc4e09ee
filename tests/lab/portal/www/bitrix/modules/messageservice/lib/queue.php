<?php
namespace Bitrix\MessageService;

/** SMS waiting in b_messageservice_message go to the address of the sender's application. */
final class Queue
{
    public static function run(): string
    {
        foreach (\DB::rows("SELECT m.*, a.HANDLER FROM b_messageservice_message m LEFT JOIN b_messageservice_rest_app a ON a.CODE=m.SENDER_ID WHERE m.SUCCESS_EXEC='N' ORDER BY m.ID LIMIT 10") as $row) {
            $sent = $row['HANDLER'] !== null && \HttpClient::post($row['HANDLER'], ['message_to' => $row['MESSAGE_TO'], 'message_body' => $row['MESSAGE_BODY']]) !== null;
            \DB::q('UPDATE b_messageservice_message SET SUCCESS_EXEC=?, DATE_EXEC=? WHERE ID=?', $sent ? 'Y' : 'F', now(), $row['ID']);
        }
        return '\\Bitrix\\MessageService\\Queue::run();';
    }
}
