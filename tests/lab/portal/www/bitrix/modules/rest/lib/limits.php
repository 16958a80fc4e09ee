<?php
/** The cloud's limits: a leaky bucket per address, and seconds of work per method and caller over ten minutes. */
final class CRestLimits
{
    private const WINDOW = 600;

    /** Takes one request out of the caller's bucket. False when it is full. */
    public static function take(string $address): bool
    {
        if (!is_cloud()) {
            return true;
        }
        $size = (float)COption::GetOptionString('encaja', 'rest_bucket', '50');
        $rate = (float)COption::GetOptionString('encaja', 'rest_rate', '2');
        return self::locked("bucket-$address", static function (array &$state) use ($size, $rate): bool {
            $now = microtime(true);
            $level = max(0.0, ($state['level'] ?? 0.0) - ($now - ($state['at'] ?? $now)) * $rate);
            $allowed = $level + 1 <= $size;
            $state = ['level' => $allowed ? $level + 1 : $level, 'at' => $now];
            return $allowed;
        });
    }

    /** Seconds allowed per method, or 0 for no limit: off in the box unless switched on. */
    public static function limit(): float
    {
        if (is_cloud()) {
            return (float)COption::GetOptionString('encaja', 'rest_operating_limit', '480');
        }
        return COption::GetOptionString('rest', 'load_limiter_active') === 'Y' ? 420.0 : 0.0;
    }

    /** @return array{operating: float, operating_reset_at: int} */
    public static function operating(string $method, string $caller, float $spent = 0.0): array
    {
        if (self::limit() <= 0) {
            return ['operating' => 0.0, 'operating_reset_at' => time() + self::WINDOW];
        }
        $spent *= (float)COption::GetOptionString('encaja', 'rest_operating_factor', '1');
        return self::locked("operating-$caller-$method", static function (array &$state) use ($spent): array {
            $now = time();
            $minute = intdiv($now, 60);
            $state = array_filter($state, static fn($b) => $b[0] + self::WINDOW > $now);
            $state[$minute] ??= [$now, 0.0];
            $state[$minute][1] += $spent;
            return ['operating' => array_sum(array_column($state, 1)), 'operating_reset_at' => min(array_column($state, 0)) + self::WINDOW];
        });
    }

    private static function locked(string $key, callable $change): mixed
    {
        $folder = $_SERVER['DOCUMENT_ROOT'] . '/bitrix/cache/rest';
        if (!is_dir($folder)) {
            @mkdir($folder, 0775, true);
        }
        $file = fopen("$folder/" . md5($key), 'c+');
        flock($file, LOCK_EX);
        $state = json_decode((string)stream_get_contents($file), true) ?: [];
        $result = $change($state);
        rewind($file);
        ftruncate($file, 0);
        fwrite($file, json_encode($state));
        fclose($file);
        return $result;
    }
}
