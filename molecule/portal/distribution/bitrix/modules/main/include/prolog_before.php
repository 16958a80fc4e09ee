<?php
// A kernel that only says as whom it was run, for which environment, and what was called.
namespace Bitrix\Main {
    final class Loader
    {
        public static function includeModule(string $module): bool
        {
            return false;
        }
    }
}

namespace {
    function ran(string $what): void
    {
        file_put_contents($_SERVER['DOCUMENT_ROOT'] . '/upload/ran', "$what\n", FILE_APPEND);
    }

    final class CAgent
    {
        public static function CheckAgents(): void
        {
            ran(defined('BX_CRONTAB') ? 'agents of cron' : 'agents');
        }
    }

    final class CEvent
    {
        public static function CheckEvents(): void
        {
            ran('mail');
        }
    }

    final class CMain
    {
        public static function FinalActions(): never
        {
            ran('jobs');
            exit;
        }
    }

    if (is_executable('/usr/local/bin/setgid-id')) {
        $said = shell_exec('/usr/local/bin/setgid-id --group --name; id --user --name; echo $HOME');
        file_put_contents($_SERVER['DOCUMENT_ROOT'] . '/upload/started', $said);
    }
    ran(posix_getpwuid(posix_geteuid())['name'] . ' ' . getenv('BITRIX_VA_VER'));
}
