<?php
/** Agents: rows of b_agent, of which constants and options decide who runs which. */
final class CAgent
{
    /** A pass does not start another agent after this many seconds. */
    private const SECONDS = 570;
    private const RETRY = 600;

    public static function AddAgent(string $name, string $module = '', string $period = 'N', int $interval = 86400, string $check = '', string $active = 'Y', string $next = ''): int
    {
        $id = (int)DB::val('SELECT ID FROM b_agent WHERE NAME=? AND MODULE_ID=?', $name, $module);
        if ($id) {
            return $id;
        }
        $id = DB::insert('b_agent', [
            'MODULE_ID' => $module, 'NAME' => $name, 'IS_PERIOD' => $period, 'AGENT_INTERVAL' => $interval, 'ACTIVE' => $active, 'NEXT_EXEC' => $next ?: now(), 'SORT' => 100]);
        self::forget();
        return $id;
    }

    /** Runs the agents that are due here and returns how many were started. */
    public static function CheckAgents(): int
    {
        if ((defined('NO_AGENT_CHECK') && NO_AGENT_CHECK === true) || (defined('BX_CLUSTER_GROUP') && (int)BX_CLUSTER_GROUP !== 1)) {
            return 0;
        }
        define('START_EXEC_AGENTS_1', microtime()); // a second pass in one process makes PHP complain, and goes on
        return self::OnCron();
    }

    public static function isCronAgents(): bool
    {
        return COption::GetOptionString('main', 'agents_use_crontab', 'N') === 'Y' || (defined('BX_CRONTAB_SUPPORT') && BX_CRONTAB_SUPPORT === true);
    }

    private static function OnCron(): int
    {
        $divided = self::isCronAgents();
        $cron = $divided && defined('BX_CRONTAB') && BX_CRONTAB === true;
        $period = $divided ? ($cron ? " AND IS_PERIOD='N'" : " AND IS_PERIOD='Y'") : '';
        $cached = defined('CACHED_b_agent') && CACHED_b_agent !== false ? (int)CACHED_b_agent : 0;
        if ($cached && ManagedCache::get("agents$period") !== null) {
            return 0;
        }
        if (!DB::val("SELECT GET_LOCK(CONCAT(DATABASE(), '_agent'), 0)")) {
            return 0;
        }
        $limit = (int)($cron ? COption::GetOptionString('main', 'agents_cron_limit', '1000') : COption::GetOptionString('main', 'agents_limit', '100'));
        $due = DB::rows("SELECT * FROM b_agent WHERE ACTIVE='Y' AND NEXT_EXEC <= ? AND (DATE_CHECK IS NULL OR DATE_CHECK <= ?)$period ORDER BY RUNNING ASC, SORT DESC LIMIT $limit", now(), now());
        if ($due !== []) {
            DB::q('UPDATE b_agent SET DATE_CHECK=? WHERE ID IN (?)', now(self::RETRY), array_map(intval(...), array_column($due, 'ID')));
        }
        DB::val("SELECT RELEASE_LOCK(CONCAT(DATABASE(), '_agent'))");
        if ($due === [] && $cached) {
            $next = DB::val("SELECT MIN(GREATEST(NEXT_EXEC, COALESCE(DATE_CHECK, NEXT_EXEC))) FROM b_agent WHERE ACTIVE='Y'$period");
            ManagedCache::set("agents$period", true, min($cached, $next === null ? $cached : strtotime((string)$next) - clock()));
        }
        $begun = time();
        $started = 0;
        foreach ($due as $agent) {
            if (time() - $begun > self::SECONDS) {
                break;
            }
            if (!in_array((string)$agent['MODULE_ID'], ['', 'main'], true) && !\Bitrix\Main\Loader::includeModule((string)$agent['MODULE_ID'])) {
                continue;
            }
            $started++;
            self::run($agent);
        }
        return $started;
    }

    private static function run(array $agent): void
    {
        DB::q("UPDATE b_agent SET RUNNING='Y', RETRY_COUNT=COALESCE(RETRY_COUNT, 0)+1 WHERE ID=?", $agent['ID']);
        try {
            $result = self::call((string)$agent['NAME']);
        } catch (Throwable $e) {
            error_log("agent {$agent['NAME']}: {$e->getMessage()}");
            return;
        }
        if ($result === '') {
            DB::q('DELETE FROM b_agent WHERE ID=?', $agent['ID']);
            return;
        }
        $next = ($agent['IS_PERIOD'] === 'Y' ? strtotime((string)$agent['NEXT_EXEC']) : clock()) + (int)$agent['AGENT_INTERVAL'];
        DB::q("UPDATE b_agent SET NAME=?, LAST_EXEC=?, NEXT_EXEC=?, DATE_CHECK=NULL, RUNNING='N', RETRY_COUNT=0 WHERE ID=?", $result, now(), date('Y-m-d H:i:s', $next), $agent['ID']);
    }

    /** `Class::method(arguments);` of the classes that this portal has; of the others it knows only that they ran. */
    private static function call(string $name): string
    {
        if (!preg_match('/^\\\\?([\w\\\\]+)::(\w+)\((.*)\);?\s*$/s', $name, $m) || !isset(KERNEL_CLASSES[$m[1]]) || !is_callable([$m[1], $m[2]])) {
            return $name;
        }
        $arguments = $m[3] === '' ? [] : array_map(static fn($a) => trim($a, " '\""), explode(',', $m[3]));
        return (string)call_user_func([$m[1], $m[2]], ...$arguments);
    }

    /** What was cached about nothing being due. */
    private static function forget(): void
    {
        foreach (['', " AND IS_PERIOD='N'", " AND IS_PERIOD='Y'"] as $period) {
            ManagedCache::clean("agents$period");
        }
    }
}

/** Agents that go wrong, for tests. */
final class CTestAgent
{
    public static function throws(): string
    {
        throw new RuntimeException('it cannot');
    }

    public static function dies(): string
    {
        exit(255);
    }

    public static function hangs(): string
    {
        while (true) {
            sleep(60);
        }
    }

    public static function once(): string
    {
        return '';
    }

    public static function leavesMessage(): string
    {
        \Bitrix\Main\Messenger\Worker::send('search', 'Test', []);
        return 'CTestAgent::leavesMessage();';
    }

    public static function leavesMail(string $address): string
    {
        CEvent::Send('IM_NEW_NOTIFY', 's1', ['EMAIL_TO' => $address, 'TITLE' => 'Of an agent', 'MESSAGE' => 'x']);
        return "CTestAgent::leavesMail('$address');";
    }
}
