<?php
// Managed by encaja. What the portal does by itself, once a minute: php portal_cron.php DOCUMENT_ROOT
//
// CHK_EVENT comes before the prolog: dbconn.php defines BX_CRONTAB_SUPPORT only without it, so that one pass takes the
// agents of both kinds and pages take none. Where it is defined all the same, a pass takes one kind before BX_CRONTAB is
// defined and the other kind after it.
declare(strict_types=1);

final class EncajaCron
{
    private const PASSES = 10;
    private const AGENTS_SECONDS = 300;
    private const MAIL_SECONDS = 240;

    public static string $phase = 'start';
    private static bool $stopped = false;
    private static int $faults = 0;
    private static ?mysqli $link = null;
    /** @var list<int> */
    private static array $taken = [];
    /** @var resource */
    private static $lock;

    /** One run at a time; a stop takes effect between passes, so that no letter is sent twice. */
    public static function begin(): void
    {
        self::$lock = fopen(__FILE__, 're');
        if (!flock(self::$lock, LOCK_EX | LOCK_NB)) {
            exit("another run is under way\n");
        }
        if (function_exists('pcntl_signal')) {
            pcntl_async_signals(true);
            pcntl_signal(SIGTERM, static function (): void {
                self::$stopped = true;
                self::leaveAgents(); // one that hangs is killed in a moment
            });
        }
        register_shutdown_function(self::end(...));
    }

    /** Until no agent is due, or a pass gets nowhere: a pass takes no more than main.agents_limit. */
    public static function agents(): void
    {
        $end = time() + self::AGENTS_SECONDS;
        for ($pass = 0; $pass < self::PASSES && time() < $end && !self::$stopped; $pass++) {
            $due = self::due();
            if ($due === [] || ($pass > 0 && $due === $before)) {
                return;
            }
            $before = $due;
            self::$taken = array_keys($due ?? []);
            self::attempt('agents', static fn() => CAgent::CheckAgents());
            self::$taken = [];
            if ($due === null) {
                return;
            }
        }
    }

    /** Until the queue is empty, or a pass gets nowhere: a pass sends no more than main.mail_event_bulk. */
    public static function mail(): void
    {
        $end = time() + self::MAIL_SECONDS;
        $before = null;
        while (time() < $end && !self::$stopped) {
            $waiting = self::query("SELECT COUNT(*) AS mails, MIN(ID) AS first FROM b_event WHERE SUCCESS_EXEC = 'N'");
            if ($waiting !== null && ($waiting[0]['first'] === null || $waiting === $before)) {
                return;
            }
            $before = $waiting;
            self::attempt('mail', static fn() => CEvent::CheckEvents());
            if ($waiting === null) {
                return;
            }
        }
    }

    /** Mailings, which no constant of the product holds back. */
    public static function sender(): void
    {
        if (defined('DisableEventsCheck') && DisableEventsCheck === true) {
            return;
        }
        self::attempt('sender', static function (): void {
            if (\Bitrix\Main\Loader::includeModule('sender')) {
                \Bitrix\Sender\MailingManager::checkPeriod();
                \Bitrix\Sender\MailingManager::checkSend();
            }
        });
    }

    /** The jobs that the prolog and the agents left, the Messenger's among them; the product ends the program with it. */
    public static function jobs(): void
    {
        if (!self::$stopped) {
            self::$phase = 'jobs';
            CMain::FinalActions();
        }
        self::$phase = 'jobs';
    }

    private static function attempt(string $phase, callable $work): void
    {
        if (self::$stopped) {
            return;
        }
        self::$phase = $phase;
        try {
            $work();
        } catch (Throwable $fault) {
            self::$faults++;
            fwrite(STDERR, "$phase: {$fault->getMessage()} ({$fault->getFile()}:{$fault->getLine()})\n");
        }
    }

    /** Agents that are due, each with when it was to run; null when the database does not say. */
    private static function due(): ?array
    {
        $now = date('Y-m-d H:i:s');
        $rows = self::query("SELECT ID, NEXT_EXEC FROM b_agent WHERE ACTIVE = 'Y' AND NEXT_EXEC <= '$now'"
            . " AND (DATE_CHECK IS NULL OR DATE_CHECK <= '$now') ORDER BY ID");
        return $rows === null ? null : array_column($rows, 'NEXT_EXEC', 'ID');
    }

    /** A look at the queues over a connection of its own, made as the portal's settings say. */
    private static function query(string $sql): ?array
    {
        try {
            self::$link ??= self::connect();
            $answer = self::$link->query($sql);
            return $answer instanceof mysqli_result ? $answer->fetch_all(MYSQLI_ASSOC) : [];
        } catch (Throwable $fault) {
            self::$link = null;
            fwrite(STDERR, "database: {$fault->getMessage()}\n");
            return null;
        }
    }

    private static function connect(): mysqli
    {
        $settings = \Bitrix\Main\Config\Configuration::getValue('connections')['default'];
        [$host, $tail] = array_pad(explode(':', (string)$settings['host'], 2), 2, '');
        $link = mysqli_init();
        $link->options(MYSQLI_OPT_CONNECT_TIMEOUT, 10);
        $flags = 0;
        if (!empty($settings['ssl_ca'])) {
            $link->ssl_set(null, null, $settings['ssl_ca'], null, null);
            $flags = MYSQLI_CLIENT_SSL;
        }
        $socket = str_starts_with($tail, '/') ? $tail : null;
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        $link->real_connect($host, $settings['login'], $settings['password'], $settings['database'], (int)$tail ?: 3306, $socket, $flags);
        return $link;
    }

    private static function end(): void
    {
        if (self::$phase !== 'jobs') {
            fwrite(STDERR, 'the run was ended by its phase "' . self::$phase . "\"\n");
            self::leaveAgents();
            exit(1);
        }
        if (self::$faults > 0) {
            exit(1);
        }
    }

    /** An agent that takes its pass along is named, and the others of the pass need not wait for ten minutes. */
    private static function leaveAgents(): void
    {
        if (self::$taken === []) {
            return;
        }
        $ids = implode(',', array_map(intval(...), self::$taken));
        $now = date('Y-m-d H:i:s');
        foreach (self::query("SELECT ID, NAME FROM b_agent WHERE ID IN ($ids) AND RUNNING = 'Y'") ?? [] as $row) {
            fwrite(STDERR, "agent {$row['ID']} was running: {$row['NAME']}\n");
        }
        self::query("UPDATE b_agent SET DATE_CHECK = NULL WHERE ID IN ($ids) AND RUNNING = 'N' AND DATE_CHECK > '$now'");
    }
}

if (PHP_SAPI !== 'cli' || !is_file(($argv[1] ?? '') . '/bitrix/modules/main/include/prolog_before.php')) {
    fwrite(STDERR, "usage: php portal_cron.php DOCUMENT_ROOT\n");
    exit(2);
}
EncajaCron::begin();
$_SERVER['DOCUMENT_ROOT'] = $DOCUMENT_ROOT = (string)realpath($argv[1]);
chdir($DOCUMENT_ROOT);
set_time_limit(0);
define('NO_KEEP_STATISTIC', true);
define('NOT_CHECK_PERMISSIONS', true);
define('BX_NO_ACCELERATOR_RESET', true);
define('BX_WITH_ON_AFTER_EPILOG', true);
define('CHK_EVENT', true);
require $DOCUMENT_ROOT . '/bitrix/modules/main/include/prolog_before.php';

EncajaCron::mail(); // before an agent that hangs can hold it up
EncajaCron::agents();
define('BX_CRONTAB', true);
EncajaCron::agents();
EncajaCron::mail();
EncajaCron::sender();
EncajaCron::jobs();
