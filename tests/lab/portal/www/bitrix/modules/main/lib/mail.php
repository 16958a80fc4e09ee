<?php
/** The mail queue b_event and its templates. */
final class CEvent
{
    public static function Send(string $event, string $site, array $fields, string $duplicate = 'Y', int|string $message = '', array $files = [], string $language = ''): int
    {
        $id = DB::insert('b_event', [
            'EVENT_NAME' => $event, 'MESSAGE_ID' => $message === '' ? null : (int)$message, 'LID' => $site, 'C_FIELDS' => serialize($fields), 'DATE_INSERT' => now(),
            'SUCCESS_EXEC' => 'N', 'DUPLICATE' => $duplicate, 'LANGUAGE_ID' => $language === '' ? null : $language,
        ]);
        ManagedCache::clean('events');
        return $id;
    }

    /** A letter at once, without a row in the queue. */
    public static function SendImmediate(string $event, string $site, array $fields, string $duplicate = 'Y', int|string $message = '', array $files = [], string $language = ''): string
    {
        return self::deliver(['LID' => $site, 'EVENT_NAME' => $event, 'MESSAGE_ID' => $message, 'C_FIELDS' => serialize($fields), 'LANGUAGE_ID' => $language]);
    }

    /** Sends some of what waits, unless frozen by DisableEventsCheck, or left to cron by BX_CRONTAB_SUPPORT. Returns how many rows were handled. */
    public static function CheckEvents(): int
    {
        if ((defined('DisableEventsCheck') && DisableEventsCheck === true)
            || (defined('BX_CRONTAB_SUPPORT') && BX_CRONTAB_SUPPORT === true && !(defined('BX_CRONTAB') && BX_CRONTAB === true))) {
            return 0;
        }
        $cached = defined('CACHED_b_event') && CACHED_b_event !== false ? (int)CACHED_b_event : 0;
        if ($cached && ManagedCache::get('events') !== null) {
            return 0;
        }
        if (!DB::val("SELECT GET_LOCK(CONCAT(DATABASE(), '_event'), 0)")) {
            return 0;
        }
        $bulk = max(1, (int)COption::GetOptionString('main', 'mail_event_bulk', '5'));
        $rows = DB::rows("SELECT * FROM b_event WHERE SUCCESS_EXEC='N' ORDER BY ID LIMIT $bulk");
        foreach ($rows as $row) {
            try {
                $state = self::deliver($row);
            } catch (Throwable $e) {
                error_log("mail {$row['ID']}: {$e->getMessage()}");
                $state = 'E';
            }
            DB::q('UPDATE b_event SET SUCCESS_EXEC=?, DATE_EXEC=? WHERE ID=?', $state, now(), $row['ID']);
        }
        if ($rows === [] && $cached) {
            ManagedCache::set('events', true, $cached);
        }
        DB::val("SELECT RELEASE_LOCK(CONCAT(DATABASE(), '_event'))");
        return count($rows);
    }

    /** State of the row afterwards: Y sent, F failed, P some failed, 0 no active template for this event and site. */
    private static function deliver(array $row): string
    {
        $site = CSite::all()[$row['LID']] ?? null;
        $culture = $site === null ? null : DB::val('SELECT CHARSET FROM b_culture WHERE ID=?', $site['CULTURE_ID'] ?? null);
        if (!$culture) {
            return '0';
        }
        $fields = @unserialize((string)$row['C_FIELDS'], ['allowed_classes' => false]);
        if (!is_array($fields)) {
            throw new UnexpectedValueException('C_FIELDS is not an array');
        }
        $fields += [
            'DEFAULT_EMAIL_FROM' => ($site['EMAIL'] ?? '') ?: COption::GetOptionString('main', 'email_from'), 'SITE_NAME' => $site['SITE_NAME'] ?? '',
            'SERVER_NAME' => CSite::serverName(), 'PROTOCOL' => CSite::protocol(),
        ];
        $templates = DB::rows(
            "SELECT m.* FROM b_event_message m JOIN b_event_message_site s ON s.EVENT_MESSAGE_ID=m.ID AND s.SITE_ID=? WHERE m.EVENT_NAME=? AND m.ACTIVE='Y'"
            . ($row['MESSAGE_ID'] ? ' AND m.ID=' . (int)$row['MESSAGE_ID'] : ''), $row['LID'], $row['EVENT_NAME']);
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

    /** With ONLY_EMAIL a letter to anybody else is dropped, and counts as sent; a function custom_mail of the portal's own gets all others. */
    public static function mail(string $to, string $subject, string $body, string $from, bool $html = false): bool
    {
        $headers = ['From' => $from, 'MIME-Version' => '1.0', 'Content-Type' => ($html ? 'text/html' : 'text/plain') . '; charset=UTF-8', 'X-Bitrix-Stand-In' => COption::GetOptionString('main', 'server_name')];
        if (defined('ONLY_EMAIL') && $to !== ONLY_EMAIL) {
            return true;
        }
        $server = \Bitrix\Main\Config\Configuration::getValue('smtp') ?? [];
        if (($server['enabled'] ?? false) === true && !empty($server['host']) && !empty($server['login'])) {
            return self::smtp($server, $to, $subject);
        }
        if (function_exists('custom_mail')) {
            return (bool)custom_mail($to, $subject, $body, $headers);
        }
        return str_contains($to, '@') && @mail($to, mb_encode_mimeheader($subject, 'UTF-8'), $body, $headers);
    }

    /** The mail server of the settings is asked before PHP's own mailer. */
    private static function smtp(array $server, string $to, string $subject): bool
    {
        $socket = @fsockopen($server['host'], (int)($server['port'] ?? 25), $code, $text, 2.0);
        if (!$socket) {
            return false;
        }
        stream_set_timeout($socket, 2);
        fgets($socket);
        foreach (['HELO portal', "MAIL FROM:<{$server['login']}>", "RCPT TO:<$to>", 'DATA', "Subject: $subject\r\n\r\n.", 'QUIT'] as $line) {
            fwrite($socket, "$line\r\n");
            fgets($socket);
        }
        return fclose($socket);
    }

    private static function fill(string $text, array $fields): string
    {
        return preg_replace_callback('/#([A-Z0-9_]+)#/', static fn($m) => (string)($fields[$m[1]] ?? ''), $text);
    }

    /** Agent: old rows go. */
    public static function CleanUpAgent(): string
    {
        DB::q('DELETE FROM b_event WHERE DATE_EXEC < ?', now(-86400 * (int)COption::GetOptionString('main', 'mail_event_period', '14')));
        return 'CEvent::CleanUpAgent();';
    }
}
