<?php
/** Functions of the portal's own (bitrix/php_interface/init.php) that the kernel calls at its events. */
final class EventHandlers
{
    /** @var array<string, list<callable>> */
    private static array $handlers = [];

    public static function add(string $module, string $event, callable $handler): void
    {
        self::$handlers["$module/$event"][] = $handler;
    }

    /** @return list<callable> */
    public static function of(string $module, string $event): array
    {
        return self::$handlers["$module/$event"] ?? [];
    }
}
