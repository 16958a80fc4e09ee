<?php
namespace Bitrix\Main {
    /** Which modules are installed: rows of b_module, through the managed cache. */
    final class ModuleManager
    {
        private static ?array $modules = null;

        public static function isModuleInstalled(string $module): bool
        {
            if (self::$modules === null) {
                self::$modules = \ManagedCache::get('b_module');
                if (self::$modules === null) {
                    self::$modules = \DB::col('SELECT ID FROM b_module');
                    \ManagedCache::set('b_module', self::$modules, 3600);
                }
            }
            return in_array($module, self::$modules, true);
        }
    }

    final class Loader
    {
        public static function includeModule(string $module): bool
        {
            return ModuleManager::isModuleInstalled($module) && is_dir($_SERVER['DOCUMENT_ROOT'] . "/bitrix/modules/$module");
        }
    }
}

namespace {
    final class CModule
    {
        public static function IncludeModule(string $module): bool
        {
            return \Bitrix\Main\Loader::includeModule($module);
        }
    }
}
