<?php
/** The licence, as far as it can be observed: what options say of it, and where it leads when it has ended. */
final class CLicence
{
    private const PAGE = '/bitrix/coupon_activation.php';
    private const OPEN = [self::PAGE, '/bitrix/services/main/ajax.php'];
    private const GRACE = 15 * 86400;

    /** What a response tells of the key. */
    public static function hash(): string
    {
        return LICENSE_KEY === 'DEMO' ? 'DEMO' : md5('stand-in ' . LICENSE_KEY);
    }

    /** A time-bound licence past its end and the days of grace, or a date that is none, shuts everything but two pages. */
    public static function gate(): void
    {
        $end = COption::GetOptionString('main', '~support_finish_date');
        if ($end === '' || (self::moment($end) !== null && (COption::GetOptionString('encaja', 'unbound') === 'Y' || clock() < self::moment($end) + self::GRACE))) {
            return;
        }
        if (PHP_SAPI === 'cli') {
            exit;
        }
        if (!in_array((string)parse_url($_SERVER['REQUEST_URI'] ?? '', PHP_URL_PATH), self::OPEN, true)) {
            header('Location: ' . self::PAGE, true, 302);
            \Bitrix\Main\Application::getInstance()->end();
        }
    }

    /** Whether nobody may log in for the first time; people with a department count. */
    public static function isFull(): bool
    {
        $limit = (int)COption::GetOptionString('main', 'PARAM_MAX_USERS');
        return $limit > 0 && $limit <= (int)DB::val(
            "SELECT COUNT(*) FROM b_user b JOIN b_uts_user u ON u.VALUE_ID=b.ID WHERE b.ACTIVE='Y' AND b.LAST_LOGIN IS NOT NULL AND COALESCE(u.UF_DEPARTMENT, '') NOT IN ('', 'a:0:{}')");
    }

    private static function moment(string $day): ?int
    {
        $read = DateTime::createFromFormat('!Y-m-d', $day);
        return $read !== false && $read->format('Y-m-d') === $day ? $read->getTimestamp() : null;
    }
}
