<?php
// Stand-in of the vendor's portal: its own cron entry. It runs no agents and no mail by itself, but ends in what every hit ends in.
$_SERVER['DOCUMENT_ROOT'] = $_SERVER['DOCUMENT_ROOT'] ?: dirname(__DIR__, 4);
define('BX_CRONTAB', true);
define('BX_WITH_ON_AFTER_EPILOG', true);
set_time_limit(0);
require dirname(__DIR__) . '/include/prolog_before.php';
if (\Bitrix\Main\Loader::includeModule('sender')) {
    \Bitrix\Sender\MailingManager::checkPeriod();
    \Bitrix\Sender\MailingManager::checkSend();
}
CMain::FinalActions();
