<?php
/** The portal's one connection, from .settings.php; `?` in a query stands for a quoted value. */
final class DB
{
    public static ?mysqli $link = null;
    public static int $queries = 0;

    public static function connect(): void
    {
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        $settings = \Bitrix\Main\Config\Configuration::getValue('connections')['default'] ?? [];
        [$host, $tail] = array_pad(explode(':', (string)($settings['host'] ?? 'localhost'), 2), 2, '');
        $socket = str_starts_with($tail, '/') ? $tail : null;
        $link = mysqli_init();
        $flags = 0;
        if (!empty($settings['ssl_ca'])) {
            $link->ssl_set(null, null, $settings['ssl_ca'], null, null);
            $flags = MYSQLI_CLIENT_SSL;
        }
        $link->options(MYSQLI_OPT_CONNECT_TIMEOUT, 5);
        $link->real_connect($host, $settings['login'] ?? '', $settings['password'] ?? '', $settings['database'] ?? '', (int)$tail ?: 3306, $socket, $flags);
        $link->set_charset('utf8mb4');
        self::$link = $link;
        $after = $_SERVER['DOCUMENT_ROOT'] . '/bitrix/php_interface/after_connect_d7.php';
        if (is_file($after)) {
            $connection = new class {
                public function queryExecute(string $sql): void
                {
                    DB::$link->query($sql);
                }
            };
            include $after;
        }
    }

    public static function quote(mixed $value): string
    {
        return match (true) {
            $value === null => 'NULL',
            is_bool($value) => $value ? "'Y'" : "'N'",
            is_int($value), is_float($value) => (string)$value,
            is_array($value) => $value === [] ? 'NULL' : implode(',', array_map(self::quote(...), $value)),
            default => "'" . self::$link->real_escape_string((string)$value) . "'",
        };
    }

    public static function q(string $sql, mixed ...$args): mysqli_result|bool
    {
        self::$queries++;
        return self::$link->query($args ? self::fill($sql, $args) : $sql);
    }

    private static function fill(string $sql, array $args): string
    {
        $parts = explode('?', $sql);
        $filled = array_shift($parts);
        foreach ($parts as $i => $part) {
            $filled .= self::quote($args[$i]) . $part;
        }
        return $filled;
    }

    /** @return list<array<string, ?string>> */
    public static function rows(string $sql, mixed ...$args): array
    {
        return self::q($sql, ...$args)->fetch_all(MYSQLI_ASSOC);
    }

    public static function row(string $sql, mixed ...$args): ?array
    {
        return self::q($sql, ...$args)->fetch_assoc() ?: null;
    }

    public static function val(string $sql, mixed ...$args): ?string
    {
        return self::q($sql, ...$args)->fetch_row()[0] ?? null;
    }

    /** First column of every row; with two columns, first => second. */
    public static function col(string $sql, mixed ...$args): array
    {
        $result = self::q($sql, ...$args);
        $rows = $result->fetch_all(MYSQLI_NUM);
        return $result->field_count > 1 ? array_column($rows, 1, 0) : array_column($rows, 0);
    }

    public static function insert(string $table, array $fields, bool $ignore = false): int
    {
        $columns = implode(',', array_map(static fn($c) => "`$c`", array_keys($fields)));
        self::q('INSERT ' . ($ignore ? 'IGNORE ' : '') . "INTO $table ($columns) VALUES (" . implode(',', array_map(self::quote(...), $fields)) . ')');
        return (int)self::$link->insert_id;
    }

    public static function update(string $table, array $fields, string $where, mixed ...$args): void
    {
        $set = implode(',', array_map(static fn($c, $v) => "`$c`=" . self::quote($v), array_keys($fields), $fields));
        if ($set !== '') {
            self::q("UPDATE $table SET $set WHERE " . self::fill($where, $args));
        }
    }

    /** Statements of an SQL file, which end in `;` at a line's end. */
    public static function script(string $file): void
    {
        foreach (preg_split('/;\s*\n/', (string)file_get_contents($file)) as $sql) {
            if (trim($sql) !== '') {
                self::$link->query(trim($sql, "; \n"));
            }
        }
    }

    /** Many rows in few statements. @param list<list<mixed>> $rows */
    public static function bulk(string $table, string $columns, array $rows, string $verb = 'INSERT'): void
    {
        foreach (array_chunk($rows, 1000) as $chunk) {
            $values = implode(',', array_map(static fn($r) => '(' . implode(',', array_map(self::quote(...), $r)) . ')', $chunk));
            self::$link->query("$verb INTO $table ($columns) VALUES $values");
        }
    }
}
