<?php
namespace Bitrix\MessageService;

/** SMS waiting in b_messageservice_message go to the address of the sender's application, at the end of any hit. */
final class Queue
{
    public static function run(): void
    {
        if (!\Bitrix\Main\Loader::includeModule('messageservice') || self::isStopped()) {
            return;
        }
        foreach (\DB::rows("SELECT m.*, a.HANDLER FROM b_messageservice_message m LEFT JOIN b_messageservice_rest_app a ON a.CODE=m.SENDER_ID WHERE m.SUCCESS_EXEC='N' AND (m.NEXT_EXEC IS NULL OR m.NEXT_EXEC <= ?) ORDER BY m.ID LIMIT 10", now()) as $row) {
            $sent = $row['HANDLER'] !== null && \HttpClient::post($row['HANDLER'], ['message_to' => $row['MESSAGE_TO'], 'message_body' => $row['MESSAGE_BODY']]) !== null;
            \DB::q('UPDATE b_messageservice_message SET SUCCESS_EXEC=?, DATE_EXEC=? WHERE ID=?', $sent ? 'Y' : 'E', now(), $row['ID']);
        }
    }

    private static function isStopped(): bool
    {
        if (\COption::GetOptionString('messageservice', 'queue_stopped', 'N') === 'Y') {
            return true;
        }
        if (defined('DisableMessageServiceCheck')) {
            return DisableMessageServiceCheck === true;
        }
        return defined('DisableEventsCheck') && DisableEventsCheck === true;
    }
}
