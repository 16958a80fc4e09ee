<?php
/** The mail queue b_event and its templates. */
final class CEvent
{
    public static function Send(string $event, string $site, array $fields, string $duplicate = 'Y', int|string $message = '', array $files = [], string $language = ''): int
    {
        return DB::insert('b_event', [
            'EVENT_NAME' => $event, 'MESSAGE_ID' => $message === '' ? null : (int)$message, 'LID' => $site, 'C_FIELDS' => serialize($fields), 'DATE_INSERT' => now(),
            'SUCCESS_EXEC' => 'N', 'DUPLICATE' => $duplicate, 'LANGUAGE_ID' => $language === '' ? null : $language,
        ]);
    }

    /** Sends what waits, unless frozen by DisableEventsCheck, or left to cron by BX_CRONTAB_SUPPORT. Returns how many rows were handled. */
    public static function CheckEvents(): int
    {
        if ((defined('DisableEventsCheck') && DisableEventsCheck === true)
            || (defined('BX_CRONTAB_SUPPORT') && BX_CRONTAB_SUPPORT === true && !(defined('BX_CRONTAB') && BX_CRONTAB === true))) {
            return 0;
        }
        $done = 0;
        $bulk = max(1, (int)COption::GetOptionString('main', 'mail_event_bulk', '5'));
        foreach (DB::rows("SELECT * FROM b_event WHERE SUCCESS_EXEC='N' ORDER BY ID LIMIT $bulk") as $row) {
            DB::q("UPDATE b_event SET SUCCESS_EXEC='P' WHERE ID=? AND SUCCESS_EXEC='N'", $row['ID']);
            if (DB::$link->affected_rows === 1) {
                DB::q('UPDATE b_event SET SUCCESS_EXEC=?, DATE_EXEC=? WHERE ID=?', self::deliver($row), now(), $row['ID']);
                $done++;
            }
        }
        return $done;
    }

    /** State of the row afterwards: Y sent, F failed, P some failed, 0 no template. */
    private static function deliver(array $row): string
    {
        $site = CSite::all()[$row['LID']] ?? CSite::current();
        $fields = (array)@unserialize((string)$row['C_FIELDS'], ['allowed_classes' => false]) + [
            'DEFAULT_EMAIL_FROM' => ($site['EMAIL'] ?? '') ?: COption::GetOptionString('main', 'email_from'), 'SITE_NAME' => $site['SITE_NAME'] ?? '',
            'SERVER_NAME' => CSite::serverName(), 'PROTOCOL' => CSite::protocol(),
        ];
        $templates = DB::rows(
            "SELECT * FROM b_event_message WHERE EVENT_NAME=? AND ACTIVE='Y'" . ($row['MESSAGE_ID'] ? ' AND ID=' . (int)$row['MESSAGE_ID'] : ''), $row['EVENT_NAME']);
        $own = array_filter($templates, static fn($t) => $row['LANGUAGE_ID'] && $t['LANGUAGE_ID'] === $row['LANGUAGE_ID']);
        $templates = $own ?: array_filter($templates, static fn($t) => !$t['LANGUAGE_ID']);
        $sent = 0;
        foreach ($templates as $template) {
            $sent += self::mail(
                self::fill($template['EMAIL_TO'], $fields), self::fill((string)$template['SUBJECT'], $fields), self::fill((string)$template['MESSAGE'], $fields),
                self::fill($template['EMAIL_FROM'], $fields), $template['BODY_TYPE'] === 'html') ? 1 : 0;
        }
        return match (true) {
            $templates === [] => '0',
            $sent === count($templates) => 'Y',
            default => $sent > 0 ? 'P' : 'F',
        };
    }

    public static function mail(string $to, string $subject, string $body, string $from, bool $html = false): bool
    {
        $headers = ['From' => $from, 'MIME-Version' => '1.0', 'Content-Type' => ($html ? 'text/html' : 'text/plain') . '; charset=UTF-8', 'X-Bitrix-Stand-In' => COption::GetOptionString('main', 'server_name')];
        return str_contains($to, '@') && @mail($to, mb_encode_mimeheader($subject, 'UTF-8'), $body, $headers);
    }

    private static function fill(string $text, array $fields): string
    {
        return preg_replace_callback('/#([A-Z0-9_]+)#/', static fn($m) => (string)($fields[$m[1]] ?? ''), $text);
    }

    /** Agent: rows older than a month go. */
    public static function CleanUpAgent(): string
    {
        DB::q("DELETE FROM b_event WHERE SUCCESS_EXEC IN ('Y','0') AND DATE_EXEC < ?", now(-30 * 86400));
        return 'CEvent::CleanUpAgent();';
    }
}
