<?php
// Stand-in: a tester and the carry-over at work on a portal, by every way out that it has. Run in the document root:
//   channels.php prepare SINK IMAP_PORT   what a portal brings along: templates, triggers, handlers, queues (once)
//   channels.php provoke                  records made, moved and removed, buttons pressed, what agents do called by hand
declare(strict_types=1);

$_SERVER['DOCUMENT_ROOT'] = getcwd();
const NOT_CHECK_PERMISSIONS = true;
require 'bitrix/modules/main/include/prolog_before.php';
[, $command] = $argv;

/** A template with one step that reaches out. */
function template(string $name, array $step, array $columns): int
{
    return DB::insert('b_bp_workflow_template', $columns + [
        'MODULE_ID' => 'crm', 'ENTITY' => 'CCrmDocumentLead', 'DOCUMENT_TYPE' => 'LEAD', 'NAME' => "channel $name", 'MODIFIED' => now(),
        'TEMPLATE' => gzcompress(serialize([$step])), 'ACTIVE' => 'Y']);
}

function hook(string $address): array
{
    return ['Type' => 'WebHookActivity', 'Properties' => ['Handler' => $address]];
}

function sms(string $text): void
{
    DB::insert('b_messageservice_message', ['TYPE' => 'SMS', 'SENDER_ID' => 'channel', 'MESSAGE_TO' => '+34600000000', 'MESSAGE_BODY' => $text, 'DATE_INSERT' => now()]);
}

function mails(string $subject): void
{
    CEvent::Send('IM_NEW_NOTIFY', 's1', ['EMAIL_TO' => 'customer@world.test', 'TITLE' => $subject, 'MESSAGE' => 'x']);
}

if ($command === 'prepare') {
    [, , $sink, $port] = $argv;
    template('workflow-create', hook("$sink/workflow-create"), ['AUTO_EXECUTE' => 1]);
    template('workflow-edit', hook("$sink/workflow-edit"), ['AUTO_EXECUTE' => 6]);
    template('workflow-delete', hook("$sink/workflow-delete"), ['AUTO_EXECUTE' => 4]);
    template('workflow-manual', hook("$sink/workflow-manual"), ['AUTO_EXECUTE' => 0]);
    template('robot-add', hook("$sink/robot-add"), ['AUTO_EXECUTE' => 8, 'DOCUMENT_STATUS' => 'NEW']);
    template('robot-stage', hook("$sink/robot-stage"), ['AUTO_EXECUTE' => 8, 'DOCUMENT_STATUS' => 'IN_PROCESS', 'ACTIVE' => 'N']);
    template('trigger', hook("$sink/trigger"), ['AUTO_EXECUTE' => 8, 'DOCUMENT_STATUS' => 'PROCESSED']);
    template('trigger-field', hook("$sink/trigger-field"), ['AUTO_EXECUTE' => 8, 'DOCUMENT_STATUS' => 'JUNK']);
    template('robot-sms', ['Type' => 'CrmSendSmsActivity', 'Properties' => ['ProviderId' => 'channel', 'MessageText' => 'sms-robot']], ['AUTO_EXECUTE' => 8, 'DOCUMENT_STATUS' => 'NEW']);
    template('robot-mail', ['Type' => 'MailActivity', 'Properties' => []], ['AUTO_EXECUTE' => 8, 'DOCUMENT_STATUS' => 'NEW']);
    template('robot-delay', ['Type' => 'DelayActivity', 'Properties' => ['TimeoutDuration' => 0, 'Handler' => "$sink/robot-delay"]], ['AUTO_EXECUTE' => 8, 'DOCUMENT_STATUS' => 'NEW']);
    template('robot-messenger', ['Type' => 'StartWorkflowActivity', 'Properties' => ['Url' => "$sink/robot-messenger"]], ['AUTO_EXECUTE' => 8, 'DOCUMENT_STATUS' => 'NEW']);
    foreach (['CHANNEL' => 'PROCESSED', 'RESP_CHANGED' => 'JUNK'] as $code => $stage) {
        DB::insert('b_crm_automation_trigger', ['NAME' => 'channel', 'CODE' => $code, 'ENTITY_TYPE_ID' => 1, 'ENTITY_STATUS' => $stage]);
    }
    $app = DB::insert('b_rest_app', ['CLIENT_ID' => 'local.channel', 'CODE' => 'channel', 'INSTALLED' => 'Y', 'URL' => '', 'SCOPE' => 'crm', 'STATUS' => 'L']);
    foreach ([[$app, 'ONCRMLEADADD', 'event-application'], [null, 'ONCRMLEADUPDATE', 'event-webhook'], [$app, 'ONCRMLEADDELETE', 'event-delete'], [$app, 'ONEXTERNALCALLSTART', 'event-call']] as [$of, $event, $path]) {
        DB::insert('b_rest_event', ['APP_ID' => $of, 'EVENT_NAME' => $event, 'EVENT_HANDLER' => "$sink/$path"]);
    }
    DB::insert('b_messageservice_rest_app', ['APP_ID' => 'channel', 'CODE' => 'channel', 'TYPE' => 'SMS', 'HANDLER' => "$sink/sms", 'DATE_ADD' => now(), 'AUTHOR_ID' => 1]);
    DB::insert('b_pull_push', ['USER_ID' => 1, 'DEVICE_TOKEN' => 'channel', 'DATE_CREATE' => now()]);
    foreach (['push_service_url' => "$sink/push", 'push' => 'Y'] as $name => $value) {
        COption::SetOptionString('pull', $name, $value);
    }
    $box = DB::insert('b_mail_mailbox', ['LID' => 's1', 'ACTIVE' => 'Y', 'SERVER' => '127.0.0.1', 'PORT' => (int)$port, 'LOGIN' => 'channel']);
    CAgent::AddAgent("\\Bitrix\\Mail\\Helper::syncMailboxAgent($box);", 'mail', 'N', 60);
    CAgent::AddAgent("CTestAgent::leavesMail('agent@world.test');", 'main', 'Y', 60);
    // Queues of the backup.
    \Bitrix\Main\Messenger\Worker::send('calendar', 'Test', ['url' => "$sink/messenger-backup"]);
    sms('sms-backup');
    mails('mail-backup');
    CPushManager::Add(1, 'push-backup');
    return;
}

// What the carry-over and a tester do.
$lead = CCrm::add('lead', ['TITLE' => 'A visitor', 'EMAIL' => [['VALUE' => 'customer@world.test']], 'PHONE' => [['VALUE' => '+34600000000']]], 1);
CCrm::update('lead', $lead, ['TITLE' => 'A customer'], 1);
CCrm::update('lead', $lead, ['STATUS_ID' => 'IN_PROCESS'], 1);
CAutomation::trigger('CHANNEL', 'lead', $lead);
CCrm::update('lead', $lead, ['ASSIGNED_BY_ID' => 2], 1);
CAutomation::start((int)DB::val("SELECT ID FROM b_bp_workflow_template WHERE NAME='channel workflow-manual'"), 'lead', $lead);
CVoxExternalCall::start(1, '+34911222333', 'LEAD', $lead);
CCrm::delete('lead', $lead);
sms('sms-new');
mails('mail-new');
CPushManager::Add(1, 'push-new');
// Buttons that do at once what agents would do.
foreach (DB::rows("SELECT ID FROM b_mail_mailbox WHERE LOGIN='channel'") as $box) {
    \Bitrix\Mail\Helper::syncMailboxAgent((string)$box['ID']);
}
CPushManager::SendAgent();
\Bitrix\MessageService\Queue::run();
CEvent::SendImmediate('USER_INVITATION', 's1', ['EMAIL_TO' => 'immediate@world.test']);
CMain::FinalActions();
