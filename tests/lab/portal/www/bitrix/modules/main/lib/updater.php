<?php
/**
 * The vendor's updates: code of modules and what their updaters do to tables, with a key that the service knows. What the
 * service says and how it is asked is the stand-in's own: {"MODULE": {"version": …, "sql": […]}}.
 */
final class CUpdater
{
    /** @param list<string> $only modules, none for all @param array<string, string>|null $wanted versions by module */
    public static function run(array $only, ?array $wanted): int
    {
        if (LICENSE_KEY === 'DEMO') {
            fwrite(STDERR, "The licence key is not valid.\n");
            return 1;
        }
        $service = COption::GetOptionString('encaja', 'update_service') ?: 'https://' . (COption::GetOptionString('main', 'update_site') ?: 'www.bitrixsoft.com') . '/';
        $answer = HttpClient::post($service, ['key' => md5(LICENSE_KEY)], [], 60);
        $offered = $answer === null ? null : json_decode($answer, true);
        if (!is_array($offered)) {
            fwrite(STDERR, "The update service does not answer.\n");
            return 1;
        }
        uksort($offered, static fn(string $a, string $b): int => [$a !== 'main', $a] <=> [$b !== 'main', $b]);
        foreach ($offered as $module => $update) {
            if (($only !== [] && !in_array($module, $only, true)) || ($wanted !== null && ($wanted[$module] ?? '') !== $update['version'])
                || version_compare(self::version($module), $update['version'], '>=')) {
                continue;
            }
            foreach ($update['sql'] ?? [] as $statement) {
                DB::q($statement);
            }
            usleep((int)($update['pause'] ?? 0));
            self::place($module, $update['version']);
            echo "$module {$update['version']}\n";
        }
        ManagedCache::cleanAll();
        return 0;
    }

    private static function file(string $module): string
    {
        return dirname(__DIR__, 2) . "/$module/" . ($module === 'main' ? 'classes/general/version.php' : 'install/version.php');
    }

    private static function version(string $module): string
    {
        preg_match("/(?:SM_VERSION'\\s*,|'VERSION'\\s*=>)\\s*'([^']+)/", (string)@file_get_contents(self::file($module)), $found);
        return $found[1] ?? '0';
    }

    private static function place(string $module, string $version): void
    {
        $moment = now();
        file_put_contents(self::file($module), $module === 'main'
            ? "<?php\ndefine('SM_VERSION', '$version');\ndefine('SM_VERSION_DATE', '$moment');\n"
            : "<?php\n\$arModuleVersion = ['VERSION' => '$version', 'VERSION_DATE' => '$moment'];\n");
    }
}
