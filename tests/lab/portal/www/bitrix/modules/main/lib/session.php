<?php
/** PHP sessions as section `session` says, and the kernel's own reasons to drop one. */
final class CPortalSession
{
    public static function start(): void
    {
        $handler = \Bitrix\Main\Config\Configuration::getValue('session')['handlers']['general'] ?? null;
        $type = is_array($handler) ? ($handler['type'] ?? 'file') : $handler;
        if ($type === 'redis' && extension_loaded('redis')) {
            $host = (string)($handler['host'] ?? '127.0.0.1');
            $query = http_build_query(array_filter(['prefix' => $handler['keyPrefix'] ?? 'BX', 'auth' => $handler['password'] ?? null]));
            ini_set('session.save_handler', 'redis');
            ini_set('session.save_path', (str_starts_with($host, '/') ? "unix://$host" : "tcp://$host:" . ($handler['port'] ?? 6379)) . "?$query");
        } elseif ($type === 'database') {
            session_set_save_handler(new CDatabaseSession(), true);
        }
        $cookies = \Bitrix\Main\Config\Configuration::getValue('cookies') ?? [];
        session_set_cookie_params([
            'path' => '/', 'httponly' => (bool)($cookies['http_only'] ?? true), 'samesite' => 'Lax',
            'secure' => !empty($cookies['secure']) || ini_get('session.cookie_secure'),
        ]);
        session_start();
        self::check();
        self::restoreUser();
    }

    /** Empties a session that the kernel must not go on with: other address, too old, other portal. */
    private static function check(): void
    {
        $policy = SecurityPolicy::ofUser((int)($_SESSION['SESS_AUTH']['USER_ID'] ?? 0));
        $sign = md5(COption::GetOptionString('main', 'server_uniq_id'));
        $address = self::address();
        $mask = ip2long($policy['SESSION_IP_MASK']) ?: 0;
        $timeout = (int)$policy['SESSION_TIMEOUT'] * 60;
        $reason = match (true) {
            isset($_SESSION['BX_SESSION_SIGN']) && $_SESSION['BX_SESSION_SIGN'] !== $sign => 'sign',
            $mask !== 0 && isset($_SESSION['SESS_IP']) && (ip2long($_SESSION['SESS_IP']) & $mask) !== (ip2long($address) & $mask) => 'address',
            $timeout > 0 && isset($_SESSION['SESS_TIME']) && $_SESSION['SESS_TIME'] + $timeout < time() => 'timeout',
            default => null,
        };
        if ($reason !== null) {
            $_SESSION = ['SESS_DROPPED' => $reason];
            session_regenerate_id(true);
        }
        $_SESSION['BX_SESSION_SIGN'] = $sign;
        $_SESSION['SESS_IP'] = $address;
        $_SESSION['SESS_TIME'] = time();
        $_SESSION['fixed_session_id'] ??= bin2hex(random_bytes(16));
    }

    private static function restoreUser(): void
    {
        global $USER;
        if (!empty($_SESSION['SESS_AUTH']['USER_ID'])) {
            $USER->restore((int)$_SESSION['SESS_AUTH']['USER_ID']);
        }
        if (!$USER->IsAuthorized()) {
            $USER->loginByCookie();
        }
    }

    public static function address(): string
    {
        return (string)($_SERVER['REMOTE_ADDR'] ?? '127.0.0.1');
    }

    public static function id(): string
    {
        return (string)($_SESSION['fixed_session_id'] ?? '');
    }

    /** The token that every changing request must carry. */
    public static function isValidToken(): bool
    {
        return hash_equals(self::id(), (string)($_REQUEST['sessid'] ?? $_SERVER['HTTP_X_BITRIX_CSRF_TOKEN'] ?? ''));
    }
}

/** Sessions in b_user_session. */
final class CDatabaseSession implements SessionHandlerInterface
{
    public function open(string $path, string $name): bool
    {
        return true;
    }

    public function close(): bool
    {
        return true;
    }

    public function read(string $id): string
    {
        return (string)base64_decode((string)DB::val('SELECT SESSION_DATA FROM b_user_session WHERE SESSION_ID=?', $id));
    }

    public function write(string $id, string $data): bool
    {
        DB::q('REPLACE INTO b_user_session (SESSION_ID, TIMESTAMP_X, SESSION_DATA) VALUES (?,?,?)', $id, now(), base64_encode($data));
        return true;
    }

    public function destroy(string $id): bool
    {
        DB::q('DELETE FROM b_user_session WHERE SESSION_ID=?', $id);
        return true;
    }

    public function gc(int $max_lifetime): int
    {
        DB::q('DELETE FROM b_user_session WHERE TIMESTAMP_X < ?', now(-$max_lifetime));
        return 0;
    }
}
