<?php
/** The portal's tests of itself: names and thresholds as the vendor's site checker has them. */
final class CSiteChecker
{
    private const SCRIPTS = ['restore.php', 'bitrix_server_test.php', 'bitrixsetup.php', 'bitrix_install.php', 'bitrix_setup.php', 'bitrix6setup.php', 'bitrix7setup.php', 'bitrix8setup.php', 'export_file.csv', '1c_bx_import.php'];

    /** The word that self-tests over HTTP must bring: only who can read the portal's files knows it. */
    public static function uniqueId(): string
    {
        $text = '';
        foreach (['/bitrix/license_key.php', '/bitrix/.settings.php', '/bitrix/.settings_extra.php'] as $name) {
            $file = $_SERVER['DOCUMENT_ROOT'] . $name;
            $text .= is_file($file) ? file_get_contents($file) . filemtime($file) : '';
        }
        return hash('sha256', $text);
    }

    /** @return array<string, array{ok: bool, told: string}> */
    public static function all(): array
    {
        $tests = [];
        foreach (get_class_methods(self::class) as $method) {
            if (str_starts_with($method, 'check_')) {
                $faults = self::$method();
                $tests[$method] = ['ok' => $faults === [], 'told' => implode('; ', $faults)];
            }
        }
        return $tests;
    }

    private static function size(string $text): int
    {
        return (int)$text * (['K' => 1024, 'M' => 1048576, 'G' => 1073741824][strtoupper(substr($text, -1))] ?? 1);
    }

    public static function check_php_modules(): array
    {
        return array_map(static fn($m) => "extension $m is missing", array_filter(['gd', 'xml', 'zlib', 'openssl', 'hash', 'mbstring', 'zip', 'mysqli', 'curl'], static fn($m) => !extension_loaded($m)));
    }

    public static function check_php_settings(): array
    {
        $faults = [];
        (int)ini_get('max_input_vars') >= 10000 || $faults[] = 'max_input_vars is under 10000';
        ini_get('short_open_tag') || $faults[] = 'short_open_tag is off';
        (int)ini_get('default_socket_timeout') >= 60 || $faults[] = 'default_socket_timeout is under 60';
        !extension_loaded('Zend OPcache') || (int)ini_get('opcache.revalidate_freq') === 0 || $faults[] = 'opcache.revalidate_freq is not 0';
        getenv('BITRIX_VA_VER') || isset($_SERVER['BITRIX_VA_VER']) || $faults[] = 'BITRIX_VA_VER is not set';
        return $faults;
    }

    public static function check_mbstring(): array
    {
        $faults = [];
        strcasecmp((string)ini_get('default_charset'), 'UTF-8') === 0 || $faults[] = 'default_charset is not UTF-8';
        in_array((string)ini_get('mbstring.internal_encoding'), ['', ini_get('default_charset')], true) || $faults[] = 'mbstring.internal_encoding differs from default_charset';
        return $faults;
    }

    public static function check_install_scripts(): array
    {
        $faults = [];
        foreach (['', '/bitrix', '/upload'] as $folder) {
            foreach (self::SCRIPTS as $name) {
                !is_file($_SERVER['DOCUMENT_ROOT'] . "$folder/$name") || $faults[] = "$folder/$name is there";
            }
        }
        return $faults;
    }

    public static function check_dbconn(): array
    {
        $text = (string)@file_get_contents($_SERVER['DOCUMENT_ROOT'] . '/bitrix/php_interface/dbconn.php');
        return trim((string)preg_replace('/<\?(php)?.*?(\?>|\z)/s', '', $text)) === '' ? [] : ['dbconn.php puts out text'];
    }

    public static function check_sites(): array
    {
        $sites = CSite::all();
        return count($sites) === 1 && (string)reset($sites)['DOC_ROOT'] !== '' ? ['the only site has a document root of its own'] : [];
    }

    public static function check_server_vars(): array
    {
        return preg_match('/^[a-z0-9.-]+\.[a-z]{2,}$/i', CSite::host()) ? [] : ['no valid host name'];
    }

    public static function check_mysql_mode(): array
    {
        $wanted = ['innodb_strict_mode' => 'OFF', 'sql_mode' => '', 'innodb_default_row_format' => 'dynamic', 'default_storage_engine' => 'InnoDB'];
        $faults = [];
        foreach (DB::rows("SHOW VARIABLES WHERE Variable_name IN ('innodb_strict_mode','sql_mode','innodb_default_row_format','default_storage_engine')") as $row) {
            strcasecmp($row['Value'], $wanted[$row['Variable_name']]) === 0 || $faults[] = "{$row['Variable_name']} is {$row['Value']}";
        }
        return $faults;
    }

    public static function check_mysql_time(): array
    {
        return abs(time() - strtotime((string)DB::val('SELECT NOW()'))) <= 1 ? [] : ['PHP and the database have different times'];
    }

    public static function check_mysql_charset(): array
    {
        $faults = [];
        $collation = (string)DB::val('SELECT @@collation_database');
        str_starts_with($collation, 'utf8mb4') || $faults[] = "the database has $collation";
        $other = (int)DB::val("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME LIKE 'b\\_%' AND TABLE_COLLATION<>?", $collation);
        $other === 0 || $faults[] = "$other tables have another collation than $collation";
        $engine = (int)DB::val("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME LIKE 'b\\_%' AND ENGINE<>'InnoDB'");
        $engine === 0 || $faults[] = "$engine tables are not InnoDB";
        return $faults;
    }

    /** Every table of the modules' install.sql must be there. */
    public static function check_mysql_table_structure(): array
    {
        $have = DB::col("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE()");
        $faults = [];
        foreach (glob($_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/*/install/mysql/install.sql') as $file) {
            preg_match_all('/CREATE TABLE IF NOT EXISTS (\w+)/', (string)file_get_contents($file), $m);
            $faults = [...$faults, ...array_map(static fn($t) => "table $t is missing", array_diff($m[1], $have))];
        }
        return $faults;
    }

    public static function check_bx_crontab(): array
    {
        if (PHP_SAPI !== 'cli' && defined('BX_CRONTAB')) {
            return ['BX_CRONTAB is defined on a hit'];
        }
        return DB::val("SELECT 1 FROM b_agent WHERE IS_PERIOD='N' AND LAST_EXEC > ? LIMIT 1", now(-86400)) ? [] : ['no agent of the schedule ran within a day'];
    }

    public static function check_pull_comments(): array
    {
        $faults = [];
        CPullOptions::GetNginxStatus() || $faults[] = 'the push server is not enabled';
        (int)CPullOptions::get('nginx_version') >= 4 || $faults[] = 'nginx_version is under 4';
        COption::GetOptionString('main', 'session_expand', 'Y') === 'N' || $faults[] = 'main.session_expand is not N';
        return $faults;
    }

    /** The server must take a message for a signed channel. */
    public static function check_pull_stream(): array
    {
        return CPullChannel::Send([bin2hex(random_bytes(16))], ['module_id' => 'main', 'command' => 'test', 'params' => []]) ? [] : ['the push server does not take messages at ' . CPullOptions::url('path_to_publish')];
    }

    public static function check_fast_download(): array
    {
        return COption::GetOptionString('main', 'bx_fast_download') === 'Y' ? [] : ['main.bx_fast_download is not Y'];
    }

    public static function check_search(): array
    {
        return DB::val('SELECT 1 FROM b_search_content LIMIT 1') ? [] : ['the search index is empty'];
    }

    public static function check_cache(): array
    {
        ManagedCache::set('site_checker', 1, 60);
        return ManagedCache::get('site_checker') === 1 ? [] : ['the cache does not keep anything'];
    }

    public static function check_upload(): array
    {
        return is_writable($_SERVER['DOCUMENT_ROOT'] . '/' . COption::GetOptionString('main', 'upload_dir', 'upload')) ? [] : ['the upload directory cannot be written'];
    }

    public static function check_memory_limit(): array
    {
        $limit = (string)ini_get('memory_limit');
        return $limit === '-1' || self::size($limit) >= 256 * 1048576 ? [] : ["memory_limit is $limit"];
    }

    public static function check_rest(): array
    {
        return \Bitrix\Rest\OAuthService::isRegistered() ? [] : ['the portal is not registered with the application service'];
    }
}
