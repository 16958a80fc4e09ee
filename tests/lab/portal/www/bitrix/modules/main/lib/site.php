<?php
/** Sites (b_lang) and the absolute addresses made from them. */
final class CSite
{
    /** Active sites by LID, cached as table b_lang is. */
    public static function all(): array
    {
        $sites = ManagedCache::get('b_lang');
        if ($sites === null) {
            $sites = array_column(DB::rows("SELECT * FROM b_lang WHERE ACTIVE='Y' ORDER BY SORT, LID"), null, 'LID');
            ManagedCache::set('b_lang', $sites, defined('CACHED_b_lang') ? (int)CACHED_b_lang : 3600);
        }
        return $sites;
    }

    public static function current(): array
    {
        $sites = self::all();
        foreach ($sites as $site) {
            if ($site['DEF'] === 'Y') {
                return $site;
            }
        }
        return reset($sites) ?: [];
    }

    /** Name for links sent out: the site's own, else the main module's, else nothing. */
    public static function serverName(): string
    {
        return trim((string)(self::current()['SERVER_NAME'] ?? '')) ?: trim(COption::GetOptionString('main', 'server_name'));
    }

    public static function protocol(): string
    {
        return COption::GetOptionString('main', 'mail_link_protocol') ?: 'http';
    }

    /** An address for a notification or a mail. Without a name the link has no domain at all, and does not work. */
    public static function absolute(string $path): string
    {
        $name = self::serverName();
        return $name === '' ? ltrim($path, '/') : self::protocol() . '://' . $name . '/' . ltrim($path, '/');
    }

    /** #DOMAIN# of addresses: the host of the request, unless the cloud's constant overrides it. */
    public static function host(): string
    {
        if (defined('BX24_HOST_NAME')) {
            return BX24_HOST_NAME;
        }
        return preg_replace('/:\d+$/', '', (string)($_SERVER['SERVER_NAME'] ?? '')) ?: self::serverName();
    }

    public static function isHttps(): bool
    {
        return ($_SERVER['HTTPS'] ?? '') === 'on' || ($_SERVER['HTTPS'] ?? '') === 'YES' || ($_SERVER['SERVER_PORT'] ?? '') === '443';
    }

    /** The handler of module security lets in only the hosts of its list, while its row is there. */
    public static function isHostAllowed(): bool
    {
        $handlers = ManagedCache::get('b_module_to_module');
        if ($handlers === null) {
            $handlers = DB::rows("SELECT TO_CLASS FROM b_module_to_module WHERE FROM_MODULE_ID='main' AND MESSAGE_ID='OnPageStart' AND TO_CLASS LIKE '%HostRestriction'");
            ManagedCache::set('b_module_to_module', $handlers, 3600);
        }
        if ($handlers === []) {
            return true;
        }
        $host = preg_replace('/:\d+$/', '', (string)($_SERVER['HTTP_HOST'] ?? ''));
        foreach (preg_split('/[\s,]+/', COption::GetOptionString('security', 'restriction_hosts_hosts'), -1, PREG_SPLIT_NO_EMPTY) as $allowed) {
            if (fnmatch($allowed, $host)) {
                return true;
            }
        }
        return false;
    }

    /** False where a site's document root is of another host, or the access file is missing: then there is only a log-in form. */
    public static function isReadable(): bool
    {
        $root = (string)(self::current()['DOC_ROOT'] ?? '');
        $here = (string)realpath($_SERVER['DOCUMENT_ROOT']);
        return ($root === '' || rtrim($root, '/') === rtrim($_SERVER['DOCUMENT_ROOT'], '/') || realpath($root) === $here)
            && is_file($_SERVER['DOCUMENT_ROOT'] . '/.access.php');
    }
}
