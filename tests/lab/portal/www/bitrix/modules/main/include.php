<?php
// Stand-in of the vendor's portal: the kernel. It keeps the vendor's observable contract, none of its code.
declare(strict_types=1);

if (defined('B_PROLOG_INCLUDED')) {
    return;
}
define('B_PROLOG_INCLUDED', true);
define('START_EXEC_TIME', microtime(true));
$_SERVER['DOCUMENT_ROOT'] = rtrim($_SERVER['DOCUMENT_ROOT'] ?? '', '/') ?: dirname(__DIR__, 3);

require __DIR__ . '/classes/general/version.php';
require __DIR__ . '/lib/config.php';
require __DIR__ . '/lib/database.php';
require __DIR__ . '/lib/cache.php';
require __DIR__ . '/lib/option.php';

/** Class => file under bitrix/modules, loaded when first used. */
const KERNEL_CLASSES = [
    'CSite' => 'main/lib/site.php',
    'CUser' => 'main/lib/user.php', 'SecurityPolicy' => 'main/lib/user.php', 'PasswordHash' => 'main/lib/user.php',
    'Bitrix\Main\UserTable' => 'main/lib/usertable.php',
    'CEvent' => 'main/lib/mail.php', 'EventHandlers' => 'main/lib/handlers.php',
    'CAgent' => 'main/lib/agent.php', 'CTestAgent' => 'main/lib/agent.php',
    'Bitrix\Main\Application' => 'main/lib/application.php', 'CMain' => 'main/lib/application.php', 'Bitrix\Main\Messenger\Worker' => 'main/lib/messenger.php',
    'CFile' => 'main/lib/file.php',
    'HttpClient' => 'main/lib/http.php',
    'CPortalSession' => 'main/lib/session.php',
    'CPullOptions' => 'pull/lib/pull.php', 'CPullChannel' => 'pull/lib/pull.php', 'CPullStack' => 'pull/lib/pull.php',
    'CPullWatch' => 'pull/lib/pull.php', 'CPushManager' => 'pull/lib/pull.php',
    'CIMDisk' => 'im/lib/im.php', 'CIMMessage' => 'im/lib/im.php', 'CIMNotify' => 'im/lib/im.php',
    'CDisk' => 'disk/lib/disk.php',
    'CSearch' => 'search/lib/search.php',
    'CCrm' => 'crm/lib/crm.php', 'CCrmActivity' => 'crm/lib/activity.php', 'CCrmImport' => 'crm/lib/import.php',
    'CAutomation' => 'bizproc/lib/automation.php', 'CBPSchedulerService' => 'bizproc/lib/automation.php',
    'CTasks' => 'tasks/lib/tasks.php',
    'CRestServer' => 'rest/lib/server.php', 'RestError' => 'rest/lib/server.php', 'RestPage' => 'rest/lib/server.php', 'CRestLimits' => 'rest/lib/limits.php',
    'CRestEvent' => 'rest/lib/event.php', 'CRestCrm' => 'rest/lib/crm.php', 'CRestOther' => 'rest/lib/other.php',
    'CRestUserField' => 'rest/lib/userfield.php', 'CRestRequisite' => 'rest/lib/requisite.php', 'CRestTimeline' => 'rest/lib/timeline.php', 'CRestTask' => 'rest/lib/task.php',
    'Bitrix\Rest\OAuthService' => 'rest/lib/event.php',
    'CRestFile' => 'rest/lib/file.php', 'CRestText' => 'rest/lib/text.php',
    'CVoxExternalCall' => 'voximplant/lib/call.php',
    'CSocServBitrix24Net' => 'socialservices/lib/network.php',
    'Bitrix\Mail\Helper' => 'mail/lib/helper.php',
    'Bitrix\MessageService\Queue' => 'messageservice/lib/queue.php',
    'Bitrix\Main\Loader' => 'main/lib/loader.php', 'Bitrix\Main\ModuleManager' => 'main/lib/loader.php', 'CModule' => 'main/lib/loader.php',
    'CSiteChecker' => 'main/lib/checker.php',
    'CLicence' => 'main/lib/licence.php', 'CUpdater' => 'main/lib/updater.php',
];
spl_autoload_register(static function (string $class): void {
    if (isset(KERNEL_CLASSES[$class])) {
        require_once dirname(__DIR__) . '/' . KERNEL_CLASSES[$class];
    }
});

const BX_PERSONAL_ROOT = '/bitrix';
foreach (['/bitrix/php_interface/dbconn.php', '/bitrix/license_key.php'] as $file) {
    if (is_file($_SERVER['DOCUMENT_ROOT'] . $file)) {
        require $_SERVER['DOCUMENT_ROOT'] . $file;
    }
}
define('LICENSE_KEY', $LICENSE_KEY ?? 'DEMO');
defined('BX_CRONTAB_SUPPORT') || define('BX_CRONTAB_SUPPORT', defined('BX_CRONTAB'));

/** The portal's clock: the host's, or as many seconds off as a test has it. */
function clock(): int
{
    return time() + (DB::$link === null ? 0 : (int)COption::GetOptionString('encaja', 'clock', '0'));
}

/** Local time as the database keeps it. */
function now(int $shift = 0): string
{
    return date('Y-m-d H:i:s', clock() + $shift);
}

function h(mixed $text): string
{
    return htmlspecialchars((string)$text, ENT_QUOTES | ENT_SUBSTITUTE, 'UTF-8');
}

/** True where the module row that only the vendor's cloud has is present. */
function is_cloud(): bool
{
    return \Bitrix\Main\ModuleManager::isModuleInstalled('bitrix24');
}

try {
    DB::connect();
} catch (mysqli_sql_exception $e) {
    if (PHP_SAPI !== 'cli') {
        http_response_code(500);
    }
    exit("DB connect error: check connections in bitrix/.settings.php ({$e->getMessage()})\n");
}

global $USER, $APPLICATION;
$USER = new CUser();
if (PHP_SAPI !== 'cli' && !CSite::isHostAllowed()) {
    http_response_code(403);
    exit('This host is not in the list of allowed hosts (security.restriction_hosts_hosts).');
}
if (PHP_SAPI !== 'cli' && !defined('BX_NO_SESSION')) {
    CPortalSession::start();
}
/** Has a function of the portal's own called at an event of the kernel. */
function AddEventHandler(string $module, string $event, callable $handler): void
{
    EventHandlers::add($module, $event, $handler);
}
if (is_file($_SERVER['DOCUMENT_ROOT'] . '/bitrix/php_interface/init.php')) {
    require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/php_interface/init.php';
}
if (PHP_SAPI !== 'cli') {
    header('X-Powered-CMS: Bitrix Site Manager (' . CLicence::hash() . ')');
}
if (!defined('STAND_IN_INSTALLER') && !defined('STAND_IN_TOOL')) {
    \Bitrix\Main\Application::registerMessenger();
    CLicence::gate();
    \Bitrix\Main\Application::registerKernelJobs();
}
if (PHP_SAPI !== 'cli') {
    // Every page of this portal ends in its epilog, after the answer has gone out. A script has to call it by itself.
    register_shutdown_function(static function (): void {
        if (session_status() === PHP_SESSION_ACTIVE) {
            session_write_close();
        }
        if (function_exists('fastcgi_finish_request')) {
            fastcgi_finish_request();
        }
        if (DB::$link !== null && !defined('BX_NO_HIT_AGENTS')) {
            CMain::epilog();
        }
    });
}
