<?php
/** Managed cache: files under bitrix/managed_cache, or Redis where section `cache` says so. */
final class ManagedCache
{
    private static Redis|false|null $redis = null;

    public static function get(string $id): mixed
    {
        if ($redis = self::redis()) {
            $raw = $redis->get(self::key($id));
            return $raw === false ? null : unserialize($raw);
        }
        $raw = @file_get_contents(self::file($id));
        if ($raw === false || !($entry = @unserialize(substr($raw, strlen(self::GUARD)))) || $entry['expires'] < time()) {
            return null;
        }
        return $entry['value'];
    }

    public static function set(string $id, mixed $value, int $ttl): void
    {
        if ($ttl <= 0) {
            return;
        }
        if ($redis = self::redis()) {
            $redis->setex(self::key($id), $ttl, serialize($value));
            return;
        }
        $file = self::file($id);
        if (!is_dir(dirname($file))) {
            @mkdir(dirname($file), 0775, true);
        }
        $temporary = $file . '.' . getmypid();
        if (@file_put_contents($temporary, self::GUARD . serialize(['expires' => time() + $ttl, 'value' => $value])) !== false) {
            rename($temporary, $file);
        }
    }

    public static function clean(string $id): void
    {
        if ($redis = self::redis()) {
            $redis->del(self::key($id));
        } else {
            @unlink(self::file($id));
        }
    }

    public static function cleanAll(): void
    {
        if ($redis = self::redis()) {
            foreach ($redis->keys(self::key('*')) as $key) {
                $redis->del($key);
            }
        }
        foreach (glob($_SERVER['DOCUMENT_ROOT'] . '/bitrix/managed_cache/MYSQL/*/*.php') as $file) {
            @unlink($file);
        }
    }

    /** Connects as a redis section of .settings.php says; a host that begins with `/` is a socket. */
    public static function openRedis(array $settings): Redis|false
    {
        if (!extension_loaded('redis')) {
            return false;
        }
        try {
            $redis = new Redis();
            $host = (string)($settings['host'] ?? '127.0.0.1');
            $redis->connect($host, str_starts_with($host, '/') ? 0 : (int)($settings['port'] ?? 6379), 1.0);
            if (!empty($settings['password'])) {
                $redis->auth($settings['password']);
            }
            return $redis;
        } catch (RedisException) {
            return false;
        }
    }

    private const GUARD = "<?php exit; ?>\n";

    private static function redis(): Redis|false
    {
        if (self::$redis === null) {
            $cache = \Bitrix\Main\Config\Configuration::getValue('cache') ?? [];
            $type = is_array($cache['type'] ?? null) ? ($cache['type']['extension'] ?? $cache['type']['class_name'] ?? '') : ($cache['type'] ?? '');
            self::$redis = stripos((string)$type, 'redis') === false ? false : self::openRedis($cache['redis'] ?? $cache);
        }
        return self::$redis;
    }

    private static function key(string $id): string
    {
        return (\Bitrix\Main\Config\Configuration::getValue('cache')['sid'] ?? 'bx') . ':managed:' . $id;
    }

    private static function file(string $id): string
    {
        $name = md5($id);
        return $_SERVER['DOCUMENT_ROOT'] . '/bitrix/managed_cache/MYSQL/' . substr($name, 0, 2) . "/$name.php";
    }
}
