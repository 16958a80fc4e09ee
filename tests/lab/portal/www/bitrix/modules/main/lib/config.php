<?php
namespace Bitrix\Main\Config;

/** Sections of bitrix/.settings.php; those of .settings_extra.php replace whole sections. */
final class Configuration
{
    private static ?array $sections = null;

    public static function getValue(string $name): mixed
    {
        self::$sections ??= self::load();
        return self::$sections[$name]['value'] ?? null;
    }

    private static function load(): array
    {
        $sections = [];
        foreach (['/bitrix/.settings.php', '/bitrix/.settings_extra.php'] as $file) {
            $path = $_SERVER['DOCUMENT_ROOT'] . $file;
            $read = is_file($path) ? include $path : [];
            $sections = array_replace($sections, is_array($read) ? $read : []);
        }
        return $sections;
    }
}
