<?php
/** Settings of push & pull: rows of b_option over .settings.php over defaults; some keys are never read from the file. */
final class CPullOptions
{
    private const NOT_IN_FILE = ['server_mode', 'enable_protobuf', 'shared_worker_allowed', 'host_id', 'shared_server_address', 'shared_server_key', 'registered_on_shared_server'];

    public static function get(string $name): string
    {
        $stored = \Bitrix\Main\Config\Option::getRealValue('pull', $name);
        if ($stored !== null) {
            return $stored;
        }
        $file = \Bitrix\Main\Config\Configuration::getValue('pull') ?? [];
        if (isset($file[$name]) && !in_array($name, self::NOT_IN_FILE, true)) {
            return (string)$file[$name];
        }
        return (string)(\Bitrix\Main\Config\Option::defaults('pull')[$name] ?? '');
    }

    public static function IsServerShared(): bool
    {
        return self::get('server_mode') === 'shared';
    }

    /** "The push server is enabled", from which the messenger's files hang. */
    public static function GetNginxStatus(): bool
    {
        return self::IsServerShared() ? self::isRegistered() : self::get('nginx') === 'Y';
    }

    /** A registration with the shared server is of one host: rows that came along from another portal do not hold. */
    private static function isRegistered(): bool
    {
        $host = preg_replace('/:\d+$/', '', (string)($_SERVER['HTTP_HOST'] ?? '')) ?: CSite::serverName();
        return self::get('registered_on_shared_server') === 'Y' && self::get('host_id') === md5($host);
    }

    /** An address option with #DOMAIN# filled in. */
    public static function url(string $name): string
    {
        return str_replace('#DOMAIN#', CSite::host(), self::get($name));
    }

    /** What a page needs to subscribe, for one user. */
    public static function config(int $user): array
    {
        $secure = CSite::isHttps() ? '_secure' : '';
        $shared = rtrim(self::get('shared_server_address'), '/');
        return [
            'server_enabled' => self::GetNginxStatus(), 'mode' => self::get('server_mode'), 'version' => (int)self::get('nginx_version'),
            'websocket_enabled' => self::get('websocket') === 'Y',
            'websocket' => self::IsServerShared() ? preg_replace('#^http#', 'ws', $shared) . '/subws/' : self::url("path_to_websocket$secure"),
            'long_poll' => self::IsServerShared() ? "$shared/sub/" : self::url("path_to_modern_listener$secure"),
            'mobile' => self::url("path_to_mobile_listener$secure"), 'channel' => CPullChannel::Sign(CPullChannel::Get($user)),
        ];
    }
}

/** Channels of users, signed for the push server. */
final class CPullChannel
{
    public static function Get(int $user): string
    {
        $row = DB::row("SELECT * FROM b_pull_channel WHERE USER_ID=? AND CHANNEL_TYPE='private'", $user);
        if ($row !== null && strtotime($row['DATE_CREATE']) > time() - 43200) {
            return $row['CHANNEL_ID'];
        }
        $id = bin2hex(random_bytes(16));
        DB::q("REPLACE INTO b_pull_channel (USER_ID, CHANNEL_TYPE, CHANNEL_ID, CHANNEL_PUBLIC_ID, DATE_CREATE) VALUES (?,'private',?,?,?)", $user, $id, bin2hex(random_bytes(16)), now());
        return $id;
    }

    public static function Sign(string $channel): string
    {
        return $channel . '.' . hash_hmac(CPullOptions::get('signature_algo') ?: 'sha1', $channel, CPullOptions::get('signature_key'));
    }

    /** Publishes a message to channels. False where the server did not take it. */
    public static function Send(array $channels, array $message): bool
    {
        if (!CPullOptions::GetNginxStatus() || $channels === [] || (CPullOptions::IsServerShared() && is_cloud())) {
            return false;
        }
        $url = CPullOptions::IsServerShared() ? rtrim(CPullOptions::get('shared_server_address'), '/') . '/pub/' : CPullOptions::url('path_to_publish');
        $sent = true;
        foreach (array_chunk($channels, max(1, (int)CPullOptions::get('nginx_command_per_hit'))) as $part) {
            $sent = HttpClient::post($url . '?CHANNEL_ID=' . implode('/', $part), json_encode($message, JSON_UNESCAPED_UNICODE), ['Content-Type: application/json', 'Message-Expiry: 86400']) !== null && $sent;
        }
        return $sent;
    }

    /** Agents of the module. */
    public static function CheckOnlineChannel(): string
    {
        return 'CPullChannel::CheckOnlineChannel();';
    }

    public static function CheckExpireAgent(): string
    {
        DB::q('DELETE FROM b_pull_channel WHERE DATE_CREATE < ?', now(-86400));
        return 'CPullChannel::CheckExpireAgent();';
    }
}

final class CPullWatch
{
    public static function CheckExpireAgent(): string
    {
        DB::q('DELETE FROM b_pull_watch WHERE DATE_CREATE < ?', now(-1860));
        return 'CPullWatch::CheckExpireAgent();';
    }
}

final class CPullStack
{
    /** Sends a module's command to users' pages. */
    public static function AddByUsers(array $users, string $module, string $command, array $params): bool
    {
        return CPullChannel::Send(array_map(CPullChannel::Get(...), $users), ['module_id' => $module, 'command' => $command, 'params' => $params, 'extra' => ['server_time' => date('c'), 'server_name' => CSite::host()]]);
    }
}

/** Push to mobile devices through the vendor's service. */
final class CPushManager
{
    public static function Add(int $user, string $text): void
    {
        if (CPullOptions::get('push') === 'Y' && DB::val('SELECT 1 FROM b_pull_push WHERE USER_ID=? LIMIT 1', $user)) {
            DB::insert('b_pull_push_queue', ['USER_ID' => $user, 'MESSAGE' => $text, 'DATE_CREATE' => now(), 'APP_ID' => 'Bitrix24']);
        }
    }

    public static function SendAgent(): string
    {
        $again = 'CPushManager::SendAgent();';
        if (CPullOptions::get('push') !== 'Y') {
            return $again;
        }
        foreach (DB::rows('SELECT q.*, p.DEVICE_TOKEN FROM b_pull_push_queue q LEFT JOIN b_pull_push p ON p.USER_ID=q.USER_ID ORDER BY q.ID LIMIT ' . (int)CPullOptions::get('push_message_per_hit')) as $row) {
            $address = CPullOptions::get('push_service_url') . '?key=' . md5(LICENSE_KEY);
            if ($row['DEVICE_TOKEN'] !== null && HttpClient::post($address, ['token' => $row['DEVICE_TOKEN'], 'message' => $row['MESSAGE']]) === null) {
                break;
            }
            DB::q('DELETE FROM b_pull_push_queue WHERE ID=?', $row['ID']);
        }
        return $again;
    }
}
