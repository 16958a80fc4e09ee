<?php
/** Agents: rows of b_agent, run on hits or by cron as constants and options decide. */
final class CAgent
{
    public static function AddAgent(string $name, string $module = '', string $period = 'N', int $interval = 86400, string $check = '', string $active = 'Y', string $next = ''): int
    {
        $id = (int)DB::val('SELECT ID FROM b_agent WHERE NAME=? AND MODULE_ID=?', $name, $module);
        return $id ?: DB::insert('b_agent', [
            'MODULE_ID' => $module, 'NAME' => $name, 'IS_PERIOD' => $period, 'AGENT_INTERVAL' => $interval, 'ACTIVE' => $active, 'NEXT_EXEC' => $next ?: now(), 'SORT' => 100]);
    }

    /** Runs the agents that are due here and returns how many ran. */
    public static function CheckAgents(): int
    {
        if (defined('NO_AGENT_CHECK') && NO_AGENT_CHECK === true) {
            return 0;
        }
        $period = '';
        if (self::isCronAgents()) {
            $period = defined('BX_CRONTAB') && BX_CRONTAB === true ? " AND IS_PERIOD='N'" : " AND IS_PERIOD='Y'";
        }
        $due = DB::rows("SELECT * FROM b_agent WHERE ACTIVE='Y' AND NEXT_EXEC <= ? AND (DATE_CHECK IS NULL OR DATE_CHECK <= ?)$period ORDER BY SORT, ID LIMIT 20", now(), now());
        $ran = 0;
        foreach ($due as $agent) {
            DB::q('UPDATE b_agent SET DATE_CHECK=? WHERE ID=? AND (DATE_CHECK IS NULL OR DATE_CHECK <= ?)', now(600), $agent['ID'], now());
            if (DB::$link->affected_rows === 1) {
                self::run($agent);
                $ran++;
            }
        }
        return $ran;
    }

    public static function isCronAgents(): bool
    {
        return COption::GetOptionString('main', 'agents_use_crontab', 'N') === 'Y' || (defined('BX_CRONTAB_SUPPORT') && BX_CRONTAB_SUPPORT === true);
    }

    private static function run(array $agent): void
    {
        DB::q("UPDATE b_agent SET RUNNING='Y' WHERE ID=?", $agent['ID']);
        $known = true;
        $result = self::call((string)$agent['NAME'], $known);
        if (!$known) {
            DB::q("UPDATE b_agent SET RUNNING='N', DATE_CHECK=NULL, RETRY_COUNT=RETRY_COUNT+1, NEXT_EXEC=? WHERE ID=?", now(max(60, (int)$agent['AGENT_INTERVAL'])), $agent['ID']);
        } elseif ($result === '') {
            DB::q('DELETE FROM b_agent WHERE ID=?', $agent['ID']);
        } else {
            $next = $agent['IS_PERIOD'] === 'Y' ? max(time(), strtotime($agent['NEXT_EXEC'])) : time();
            DB::q("UPDATE b_agent SET NAME=?, RUNNING='N', RETRY_COUNT=0, LAST_EXEC=?, DATE_CHECK=NULL, NEXT_EXEC=? WHERE ID=?",
                $result, now(), date('Y-m-d H:i:s', $next + (int)$agent['AGENT_INTERVAL']), $agent['ID']);
        }
    }

    /** `Class::method(arguments);` of the classes that this portal has; others are left for later. */
    private static function call(string $name, bool &$known): string
    {
        $known = false;
        if (!preg_match('/^\\\\?([\w\\\\]+)::(\w+)\((.*)\);?\s*$/s', $name, $m) || !isset(KERNEL_CLASSES[$m[1]]) || !is_callable([$m[1], $m[2]])) {
            return '';
        }
        $known = true;
        $arguments = $m[3] === '' ? [] : array_map(static fn($a) => trim($a, " '\""), explode(',', $m[3]));
        try {
            return (string)call_user_func([$m[1], $m[2]], ...$arguments);
        } catch (Throwable $e) {
            error_log("agent $name: {$e->getMessage()}");
            return $name;
        }
    }
}
