<?php
namespace Bitrix\Main\Config {
    /** Options: b_option_site over b_option over default_option.php, read through the managed cache. */
    final class Option
    {
        private static array $loaded = [];

        public static function get(string $module, string $name, mixed $default = '', mixed $site = false): mixed
        {
            return self::getRealValue($module, $name, $site) ?? ($default !== '' && $default !== false ? $default : (self::defaults($module)[$name] ?? $default));
        }

        /** The stored value, or null where there is no row. */
        public static function getRealValue(string $module, string $name, mixed $site = false): ?string
        {
            $values = self::load($module);
            $name = strtolower($name);
            return $values[$site ?: 's1'][$name] ?? $values['-'][$name] ?? null;
        }

        public static function set(string $module, string $name, mixed $value = '', mixed $site = ''): void
        {
            if ($site) {
                \DB::q('REPLACE INTO b_option_site (MODULE_ID, NAME, SITE_ID, VALUE) VALUES (?,?,?,?)', $module, $name, $site, (string)$value);
            } else {
                \DB::q('INSERT INTO b_option (MODULE_ID, NAME, VALUE) VALUES (?,?,?) ON DUPLICATE KEY UPDATE VALUE=VALUES(VALUE)', $module, $name, (string)$value);
            }
            self::forget($module);
        }

        /** @param array{name?: string, site_id?: string} $filter */
        public static function delete(string $module, array $filter = []): void
        {
            foreach (['b_option', 'b_option_site'] as $table) {
                $where = isset($filter['name']) ? ' AND NAME=' . \DB::quote($filter['name']) : '';
                \DB::q("DELETE FROM $table WHERE MODULE_ID=?$where", $module);
            }
            self::forget($module);
        }

        public static function defaults(string $module): array
        {
            $file = dirname(__DIR__, 2) . "/$module/default_option.php";
            if (!is_file($file)) {
                return [];
            }
            include $file;
            return ${$module . '_default_option'} ?? [];
        }

        private static function load(string $module): array
        {
            if (!isset(self::$loaded[$module])) {
                $ttl = (int)(Configuration::getValue('cache_flags')['config_options'] ?? 3600);
                $values = $ttl > 0 ? \ManagedCache::get("b_option:$module") : null;
                if ($values === null) {
                    $values = ['-' => []];
                    foreach (\DB::rows('SELECT NAME, VALUE FROM b_option WHERE MODULE_ID=?', $module) as $row) {
                        $values['-'][strtolower($row['NAME'])] = $row['VALUE'];
                    }
                    foreach (\DB::rows('SELECT NAME, VALUE, SITE_ID FROM b_option_site WHERE MODULE_ID=?', $module) as $row) {
                        $values[$row['SITE_ID']][strtolower($row['NAME'])] = $row['VALUE'];
                    }
                    \ManagedCache::set("b_option:$module", $values, $ttl);
                }
                self::$loaded[$module] = $values;
            }
            return self::$loaded[$module];
        }

        private static function forget(string $module): void
        {
            unset(self::$loaded[$module]);
            \ManagedCache::clean("b_option:$module");
        }
    }
}

namespace {
    /** The older names of the same. */
    final class COption
    {
        public static function GetOptionString(string $module, string $name, mixed $default = '', mixed $site = false): string
        {
            return (string)\Bitrix\Main\Config\Option::get($module, $name, $default, $site);
        }

        public static function SetOptionString(string $module, string $name, mixed $value = '', mixed $description = '', mixed $site = ''): bool
        {
            \Bitrix\Main\Config\Option::set($module, $name, $value, $site);
            return true;
        }

        public static function RemoveOption(string $module, string $name = ''): void
        {
            \Bitrix\Main\Config\Option::delete($module, $name === '' ? [] : ['name' => $name]);
        }
    }
}
