<?php
// Stand-in: people and programs at work on a portal. Everything that makes it reach out is done once: run in the document
// root with the command line's PHP; prints what was done.
declare(strict_types=1);

$_SERVER['DOCUMENT_ROOT'] = getcwd();
const NOT_CHECK_PERMISSIONS = true;
require 'bitrix/modules/main/include/prolog_before.php';

CEvent::Send('IM_NEW_NOTIFY', 's1', ['EMAIL_TO' => 'customer@world.test', 'TITLE' => 'Offer', 'MESSAGE' => 'Hello']);
$mails = CEvent::CheckEvents();
@mail('customer@world.test', 'Straight', 'From PHP itself');
DB::q("UPDATE b_agent SET NEXT_EXEC = NOW(), DATE_CHECK = NULL");
$agents = CAgent::CheckAgents();
// What agents do, called as a page of the administrator would.
foreach (DB::rows('SELECT ID FROM b_mail_mailbox') as $box) {
    Bitrix\Mail\Helper::syncMailboxAgent((string)$box['ID']);
}
DB::insert('b_messageservice_message', ['TYPE' => 'SMS', 'SENDER_ID' => 'sms', 'MESSAGE_TO' => '+34600000000', 'MESSAGE_BODY' => 'Hello', 'DATE_INSERT' => now()]);
Bitrix\MessageService\Queue::run();
CPushManager::Add(1, 'A deal was won');
CPushManager::SendAgent();
$lead = CCrm::add('lead', ['TITLE' => 'A visitor'], 1);
$call = CVoxExternalCall::start(1, '+34911222333', 'LEAD', $lead);
echo json_encode(['mails' => $mails, 'agents' => $agents, 'lead' => $lead, 'call' => $call]), "\n";
