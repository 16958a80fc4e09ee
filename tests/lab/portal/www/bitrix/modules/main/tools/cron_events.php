<?php
// Stand-in of the vendor's portal: cron entry, every minute: mail queue and agents.
$_SERVER['DOCUMENT_ROOT'] = $_SERVER['DOCUMENT_ROOT'] ?: dirname(__DIR__, 4);
define('NO_KEEP_STATISTIC', true);
define('NOT_CHECK_PERMISSIONS', true);
define('BX_NO_ACCELERATOR_RESET', true);
define('CHK_EVENT', true);
define('BX_CRONTAB', true);
set_time_limit(0);
require dirname(__DIR__) . '/include/prolog_before.php';
$agents = CAgent::CheckAgents();
$mails = CEvent::CheckEvents();
if (in_array('-v', $_SERVER['argv'] ?? [], true)) {
    echo "agents $agents, mails $mails\n";
}
