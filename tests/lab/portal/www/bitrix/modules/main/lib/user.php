<?php
/** Hashes of b_user.PASSWORD and CHECKWORD: crypt SHA-512, or the old `<salt>md5(salt+word)`. */
final class PasswordHash
{
    public static function make(string $word): string
    {
        return crypt($word, '$6$' . substr(strtr(base64_encode(random_bytes(16)), '+', '.'), 0, 16) . '$');
    }

    public static function equals(string $hash, string $word): bool
    {
        if (str_starts_with($hash, '$6$')) {
            return strlen($hash) > 100 && hash_equals($hash, crypt($word, $hash));
        }
        $salt = substr($hash, 0, -32);
        return strlen($hash) >= 32 && hash_equals(substr($hash, -32), md5($salt . $word));
    }
}

/** What b_group.SECURITY_POLICY of a user's groups comes to: the strictest of each. */
final class SecurityPolicy
{
    public static function ofUser(int $user): array
    {
        $policy = [
            'SESSION_TIMEOUT' => (int)ceil((int)ini_get('session.gc_maxlifetime') / 60), 'SESSION_IP_MASK' => '0.0.0.0',
            'STORE_IP_MASK' => '0.0.0.0', 'STORE_TIMEOUT' => 93000, 'CHECKWORD_TIMEOUT' => 2880, 'LOGIN_ATTEMPTS' => 0, 'PASSWORD_LENGTH' => 6,
        ];
        $groups = DB::col("SELECT SECURITY_POLICY FROM b_group WHERE ACTIVE='Y' AND SECURITY_POLICY<>'' AND (ANONYMOUS='Y' OR ID IN (SELECT GROUP_ID FROM b_user_group WHERE USER_ID=?))", $user);
        foreach ($groups as $text) {
            foreach ((array)@unserialize($text, ['allowed_classes' => false]) as $key => $value) {
                $policy[$key] = match (true) {
                    !isset($policy[$key]), $policy[$key] === 0 => $value,
                    str_ends_with($key, '_MASK') => long2ip(ip2long($policy[$key]) | (ip2long((string)$value) ?: 0)),
                    $key === 'PASSWORD_LENGTH' => max($policy[$key], (int)$value),
                    default => min((int)$policy[$key], (int)$value),
                };
            }
        }
        return $policy;
    }
}

/** The visitor, and what can be done to users. */
final class CUser
{
    public string $LAST_ERROR = '';
    private ?array $user = null;

    public function IsAuthorized(): bool
    {
        return $this->user !== null;
    }

    public function GetID(): int
    {
        return (int)($this->user['ID'] ?? 0);
    }

    public function IsAdmin(): bool
    {
        return $this->user !== null && self::isAdministrator($this->GetID());
    }

    public static function isAdministrator(int $user): bool
    {
        return (bool)DB::val('SELECT 1 FROM b_user_group WHERE USER_ID=? AND GROUP_ID=1', $user);
    }

    public function GetParam(string $name): ?string
    {
        return $this->user[$name] ?? null;
    }

    public static function name(array $user): string
    {
        return trim(($user['NAME'] ?? '') . ' ' . ($user['LAST_NAME'] ?? '')) ?: (string)($user['LOGIN'] ?? $user['ID'] ?? '');
    }

    /** Password log-in sees only users without an external mark; those of the vendor's network are not among them. */
    public function Login(string $login, string $password, string $remember = 'N'): true|string
    {
        $user = DB::row("SELECT * FROM b_user WHERE LOGIN=? AND (EXTERNAL_AUTH_ID IS NULL OR EXTERNAL_AUTH_ID='')", $login);
        if ($user === null || !PasswordHash::equals((string)$user['PASSWORD'], $password)) {
            if ($user !== null) {
                DB::q('UPDATE b_user SET LOGIN_ATTEMPTS=IFNULL(LOGIN_ATTEMPTS,0)+1 WHERE ID=?', $user['ID']);
            }
            return 'Wrong login or password.';
        }
        if ($user['ACTIVE'] !== 'Y' || $user['BLOCKED'] === 'Y') {
            return 'Your account is inactive.';
        }
        if ($user['PASSWORD_EXPIRED'] === 'Y') {
            return 'Your password has expired. Ask for a new one.';
        }
        if ($user['LAST_LOGIN'] === null && CLicence::isFull()) {
            return 'The licence allows no more users.';
        }
        $this->Authorize((int)$user['ID'], $remember === 'Y');
        return true;
    }

    public function Authorize(int $id, bool $remember = false): bool
    {
        $this->user = DB::row("SELECT * FROM b_user WHERE ID=? AND ACTIVE='Y' AND BLOCKED<>'Y'", $id);
        if ($this->user === null) {
            return false;
        }
        DB::q('UPDATE b_user SET LAST_LOGIN=?, LOGIN_ATTEMPTS=0, TIMESTAMP_X=TIMESTAMP_X WHERE ID=?', now(), $id);
        if (session_status() === PHP_SESSION_ACTIVE) {
            session_regenerate_id(true);
            $_SESSION['SESS_AUTH'] = ['USER_ID' => $id];
            unset($_SESSION['SESS_DROPPED']);
        }
        if ($remember && COption::GetOptionString('main', 'store_password', 'Y') === 'Y') {
            $hash = bin2hex(random_bytes(16));
            DB::insert('b_user_stored_auth', [
                'USER_ID' => $id, 'DATE_REG' => now(), 'LAST_AUTH' => now(), 'STORED_HASH' => $hash, 'TEMP_HASH' => 'N',
                'IP_ADDR' => ip2long(CPortalSession::address()) ?: 0,
            ]);
            self::cookie('UIDL', (string)$this->user['LOGIN']);
            self::cookie('UIDH', $hash);
        }
        return true;
    }

    public function Logout(): void
    {
        $this->user = null;
        $_SESSION = [];
        session_regenerate_id(true);
        if ($hash = $_COOKIE[self::cookieName('UIDH')] ?? '') {
            DB::q('DELETE FROM b_user_stored_auth WHERE STORED_HASH=?', $hash);
            self::cookie('UIDH', '');
        }
    }

    public function restore(int $id): void
    {
        $this->user = DB::row("SELECT * FROM b_user WHERE ID=? AND ACTIVE='Y' AND BLOCKED<>'Y'", $id);
        if ($this->user !== null && strtotime((string)$this->user['LAST_ACTIVITY_DATE']) < time() - 60) {
            DB::q('UPDATE b_user SET LAST_ACTIVITY_DATE=?, TIMESTAMP_X=TIMESTAMP_X WHERE ID=?', now(), $id);
        }
    }

    /** Remembered log-in, unless the group's policy ties it to an address. */
    public function loginByCookie(): void
    {
        $hash = (string)($_COOKIE[self::cookieName('UIDH')] ?? '');
        $stored = $hash === '' ? null : DB::row(
            'SELECT a.* FROM b_user_stored_auth a JOIN b_user u ON u.ID=a.USER_ID WHERE a.STORED_HASH=? AND u.LOGIN=?', $hash, $_COOKIE[self::cookieName('UIDL')] ?? '');
        if ($stored === null) {
            return;
        }
        $policy = SecurityPolicy::ofUser((int)$stored['USER_ID']);
        $mask = ip2long($policy['STORE_IP_MASK']) ?: 0;
        $fresh = strtotime($stored['LAST_AUTH']) + (int)$policy['STORE_TIMEOUT'] * 60 > time();
        if ($fresh && ((int)$stored['IP_ADDR'] & $mask) === ((ip2long(CPortalSession::address()) ?: 0) & $mask)) {
            DB::q('UPDATE b_user_stored_auth SET LAST_AUTH=? WHERE ID=?', now(), $stored['ID']);
            $this->Authorize((int)$stored['USER_ID']);
        }
    }

    public function Add(array $fields): int
    {
        $fields += ['DATE_REGISTER' => now(), 'LID' => 's1', 'ACTIVE' => 'Y'];
        $groups = $fields['GROUP_ID'] ?? [2];
        unset($fields['GROUP_ID']);
        $fields['PASSWORD'] = PasswordHash::make($fields['PASSWORD'] ?? bin2hex(random_bytes(8)));
        $id = DB::insert('b_user', $fields);
        DB::bulk('b_user_group', 'USER_ID, GROUP_ID', array_map(static fn($g) => [$id, $g], $groups), 'REPLACE');
        return $id;
    }

    public function Update(int $id, array $fields): bool
    {
        if (isset($fields['PASSWORD'])) {
            $fields['PASSWORD'] = PasswordHash::make($fields['PASSWORD']);
            $fields += ['PASSWORD_EXPIRED' => 'N', 'LOGIN_ATTEMPTS' => 0];
            DB::insert('b_user_password', ['USER_ID' => $id, 'PASSWORD' => $fields['PASSWORD'], 'DATE_CHANGE' => now()]);
            DB::q('DELETE FROM b_user_stored_auth WHERE USER_ID=?', $id);
        }
        try {
            DB::update('b_user', $fields, 'ID=?', $id);
        } catch (mysqli_sql_exception $e) {
            $this->LAST_ERROR = $e->getMessage();
            return false;
        }
        return true;
    }

    /**
     * "Forgot your password": a letter at once for everybody without a mark whose login or address it is. What comes back does not
     * say whether there is anybody; only handlers and the captcha refuse.
     *
     * @return array{MESSAGE: string, TYPE: string}
     */
    public static function SendPassword(string $login, string $email = '', string|false $site = false, string $captcha_word = '', string $captcha_sid = ''): array
    {
        foreach (EventHandlers::of('main', 'OnBeforeUserSendPassword') as $handler) {
            $fields = ['LOGIN' => $login, 'EMAIL' => $email, 'SITE_ID' => $site];
            if ($handler($fields) === false) {
                return ['MESSAGE' => 'Refused.', 'TYPE' => 'ERROR'];
            }
        }
        if (COption::GetOptionString('main', 'captcha_restoring_password', 'N') === 'Y' && !self::isCaptcha($captcha_word, $captcha_sid)) {
            return ['MESSAGE' => 'The word of the picture is wrong.', 'TYPE' => 'ERROR'];
        }
        $site = $site ?: (string)(CSite::current()['LID'] ?? 's1');
        $users = DB::rows(
            "SELECT * FROM b_user WHERE ((?<>'' AND LOGIN=?) OR (?<>'' AND EMAIL=?)) AND (ACTIVE='Y' OR IFNULL(CONFIRM_CODE,'')<>'')"
            . " AND (EXTERNAL_AUTH_ID IS NULL OR EXTERNAL_AUTH_ID='')", $login, $login, $email, $email);
        foreach ($users as $user) {
            if ($user['ACTIVE'] === 'Y' && $user['BLOCKED'] !== 'Y') {
                self::SendUserInfo((int)$user['ID'], $site, 'You asked for your registration data.', true, 'USER_PASS_REQUEST');
            } elseif ($user['ACTIVE'] !== 'Y' && COption::GetOptionString('main', 'new_user_registration_email_confirmation', 'N') === 'Y') {
                CEvent::SendImmediate('NEW_USER_CONFIRM', $site, $user);
            }
        }
        if (COption::GetOptionString('main', 'event_log_password_request', 'N') === 'Y') {
            foreach (array_column($users, 'ID') ?: [$login ?: $email] as $item) {
                DB::insert('b_event_log', ['TIMESTAMP_X' => now(), 'SEVERITY' => 'UNKNOWN', 'AUDIT_TYPE_ID' => 'USER_INFO', 'MODULE_ID' => 'main', 'ITEM_ID' => (string)$item]);
            }
        }
        return ['MESSAGE' => 'If there is such a user, a mail with a link is on its way.', 'TYPE' => 'OK'];
    }

    /** A new checkword for one person without a mark, who belongs to the site from then on, and a letter with it: in the queue, or at once. */
    public static function SendUserInfo(int $id, string $site, string $text, bool $immediate = false, string $event = 'USER_INFO', ?string $checkword = null): void
    {
        foreach (EventHandlers::of('main', 'OnBeforeSendUserInfo') as $handler) {
            if ($handler($id, $site) === false) {
                return;
            }
        }
        $user = DB::row("SELECT * FROM b_user WHERE ID=? AND (EXTERNAL_AUTH_ID IS NULL OR EXTERNAL_AUTH_ID='')", $id);
        if ($user === null) {
            return;
        }
        $checkword ??= bin2hex(random_bytes(16));
        DB::q('UPDATE b_user SET CHECKWORD=?, CHECKWORD_TIME=?, LID=?, TIMESTAMP_X=TIMESTAMP_X WHERE ID=?', PasswordHash::make($checkword), now(), $site, $id);
        $fields = [
            'USER_ID' => $id, 'STATUS' => $user['ACTIVE'] === 'Y' ? 'Active' : 'Blocked', 'MESSAGE' => $text, 'LOGIN' => $user['LOGIN'],
            'URL_LOGIN' => rawurlencode($user['LOGIN']), 'CHECKWORD' => $checkword, 'NAME' => $user['NAME'], 'LAST_NAME' => $user['LAST_NAME'], 'EMAIL' => $user['EMAIL'],
        ];
        foreach (EventHandlers::of('main', 'OnSendUserInfo') as $handler) {
            $parameters = ['FIELDS' => &$fields, 'SITE_ID' => &$site, 'EVENT_NAME' => &$event];
            $handler($parameters);
        }
        if ($immediate) {
            CEvent::SendImmediate($event, $site, $fields, 'Y', '', [], (string)$user['LANGUAGE_ID']);
        } else {
            CEvent::Send($event, $site, $fields, 'Y', '', [], (string)$user['LANGUAGE_ID']);
        }
    }

    /** The word of a picture, which counts once. */
    private static function isCaptcha(string $word, string $sid): bool
    {
        $code = DB::val('SELECT CODE FROM b_captcha WHERE ID=?', $sid);
        DB::q('DELETE FROM b_captcha WHERE ID=?', $sid);
        return $code !== null && $code !== '' && strcasecmp($code, $word) === 0;
    }

    public function ChangePassword(string $login, string $checkword, string $password): true|string
    {
        $user = DB::row("SELECT * FROM b_user WHERE LOGIN=? AND (EXTERNAL_AUTH_ID IS NULL OR EXTERNAL_AUTH_ID='')", $login);
        if ($user === null || !PasswordHash::equals((string)$user['CHECKWORD'], $checkword)) {
            return 'Invalid check string for this login.';
        }
        $policy = SecurityPolicy::ofUser((int)$user['ID']);
        if (strtotime((string)$user['CHECKWORD_TIME']) + (int)$policy['CHECKWORD_TIMEOUT'] * 60 < time()) {
            return 'The check string has expired.';
        }
        if (strlen($password) < (int)$policy['PASSWORD_LENGTH']) {
            return "The password must have at least {$policy['PASSWORD_LENGTH']} characters.";
        }
        $this->Update((int)$user['ID'], ['PASSWORD' => $password, 'CHECKWORD' => PasswordHash::make(bin2hex(random_bytes(16))), 'BLOCKED' => 'N']);
        return true;
    }

    private static function cookieName(string $name): string
    {
        return COption::GetOptionString('main', 'cookie_name', 'BITRIX_SM') . '_' . $name;
    }

    private static function cookie(string $name, string $value): void
    {
        $settings = \Bitrix\Main\Config\Configuration::getValue('cookies') ?? [];
        setcookie(self::cookieName($name), $value, [
            'expires' => $value === '' ? 1 : time() + 31536000, 'path' => '/', 'httponly' => (bool)($settings['http_only'] ?? true),
            'secure' => !empty($settings['secure']), 'samesite' => 'Lax',
        ]);
    }
}
