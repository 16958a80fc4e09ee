<?php
namespace Bitrix\Mail;

/** Mailboxes: the agent goes to the server of each, as the real one does, and reads its greeting. */
final class Helper
{
    public static function syncMailboxAgent(string $id): string
    {
        $box = \DB::row("SELECT * FROM b_mail_mailbox WHERE ID=? AND ACTIVE='Y'", (int)$id);
        if ($box === null) {
            return '';
        }
        $socket = @fsockopen(($box['USE_TLS'] === 'Y' ? 'ssl://' : '') . $box['SERVER'], (int)$box['PORT'], $code, $text, 2.0);
        if ($socket) {
            stream_set_timeout($socket, 2);
            fgets($socket, 512);
            fwrite($socket, "a1 LOGIN \"{$box['LOGIN']}\" \"***\"\r\n");
            fclose($socket);
        }
        return "\\Bitrix\\Mail\\Helper::syncMailboxAgent($id);";
    }
}
