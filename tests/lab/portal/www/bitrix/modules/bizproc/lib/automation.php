<?php
/** Workflows, robots and triggers of CRM records: who starts what, and the steps that reach out. An import starts none of them. */
final class CAutomation
{
    public const CREATE = 1, EDIT = 2, DELETE = 4;
    private const TRIGGERS_CACHED = 7200;

    public static function added(string $type, int $id, array $row): void
    {
        self::workflows($type, $id, self::CREATE);
        self::robots($type, $id, self::stage($type, $row));
    }

    /** The robots of a stage start only when a record comes to it. */
    public static function updated(string $type, int $id, array $old, array $row): void
    {
        self::workflows($type, $id, self::EDIT);
        $stage = self::stage($type, $row);
        if ($stage !== '' && $stage !== self::stage($type, $old)) {
            self::robots($type, $id, $stage);
        }
        if (isset($row['ASSIGNED_BY_ID']) && (int)$row['ASSIGNED_BY_ID'] !== (int)$old['ASSIGNED_BY_ID']) {
            self::trigger('RESP_CHANGED', $type, $id);
        }
    }

    public static function deleted(string $type, int $id): void
    {
        self::workflows($type, $id, self::DELETE);
    }

    /** A trigger moves a record to its stage, and so starts the robots there; triggers are read through a long cache. */
    public static function trigger(string $code, string $type, int $id): bool
    {
        $def = CCrm::TYPES[$type];
        $all = ManagedCache::get('crm_triggers');
        if ($all === null) {
            $all = DB::rows('SELECT * FROM b_crm_automation_trigger ORDER BY ID');
            ManagedCache::set('crm_triggers', $all, self::TRIGGERS_CACHED);
        }
        $stages = $def['dictionary'] === null ? [] : array_column(CCrm::stages($type), 'STATUS_ID');
        foreach ($all as $trigger) {
            if ($trigger['CODE'] === $code && (int)$trigger['ENTITY_TYPE_ID'] === $def['id'] && in_array($trigger['ENTITY_STATUS'], $stages, true)) {
                DB::update($def['table'], [$def['stage'] => $trigger['ENTITY_STATUS'], 'MOVED_TIME' => now()], 'ID=?', $id);
                self::robots($type, $id, $trigger['ENTITY_STATUS']);
                return true;
            }
        }
        return false;
    }

    /** What a person starts by hand: any active template. */
    public static function start(int $template, string $type, int $id): bool
    {
        $row = DB::row("SELECT * FROM b_bp_workflow_template WHERE ID=? AND ACTIVE='Y'", $template);
        $row !== null && self::run($row, $type, $id);
        return $row !== null;
    }

    private static function stage(string $type, array $row): string
    {
        return (string)($row[CCrm::TYPES[$type]['stage'] ?? ''] ?? '');
    }

    private static function workflows(string $type, int $id, int $bit): void
    {
        $found = self::templates("ACTIVE='Y' AND AUTO_EXECUTE BETWEEN 1 AND 7 AND (AUTO_EXECUTE & ?) > 0", $type, $bit);
        array_walk($found, static fn($template) => self::run($template, $type, $id));
    }

    /** The engine asks for the stage alone: neither ACTIVE nor AUTO_EXECUTE. */
    private static function robots(string $type, int $id, string $stage): void
    {
        $found = $stage === '' ? [] : self::templates('DOCUMENT_STATUS=?', $type, $stage);
        array_walk($found, static fn($template) => self::run($template, $type, $id));
    }

    private static function templates(string $where, string $type, mixed $value): array
    {
        static $known = [];
        return $known["$type $where $value"] ??= DB::rows(
            "SELECT * FROM b_bp_workflow_template WHERE MODULE_ID='crm' AND ENTITY=? AND DOCUMENT_TYPE=? AND $where ORDER BY ID",
            'CCrmDocument' . ucfirst($type), CCrm::TYPES[$type]['name'], $value);
    }

    private static function run(array $template, string $type, int $id): void
    {
        $def = CCrm::TYPES[$type];
        $workflow = substr(md5(uniqid('', true)), 0, 32);
        DB::insert('b_bp_workflow_state', [
            'ID' => $workflow, 'MODULE_ID' => 'crm', 'ENTITY' => $template['ENTITY'], 'DOCUMENT_ID' => "{$def['name']}_$id", 'WORKFLOW_TEMPLATE_ID' => $template['ID'],
            'STATE' => 'Completed', 'STARTED' => now()], true);
        $values = DB::col('SELECT TYPE_ID, VALUE FROM b_crm_field_multi WHERE ENTITY_ID=? AND ELEMENT_ID=? ORDER BY ID DESC', $def['name'], $id);
        $row = DB::row("SELECT * FROM {$def['table']} WHERE ID=?", $id) ?? [];
        $packed = @gzuncompress((string)$template['TEMPLATE']);
        foreach ($packed === false ? [] : (array)@unserialize($packed, ['allowed_classes' => false]) as $step) {
            self::step($step['Type'] ?? '', (array)($step['Properties'] ?? []), [
                'workflow' => $workflow, 'name' => (string)$template['NAME'], 'link' => "/crm/$type/details/$id/", 'record' => "{$def['name']}_$id",
                'mail' => $values['EMAIL'] ?? '', 'phone' => $values['PHONE'] ?? '']);
        }
        CIMNotify::Add((int)($row['ASSIGNED_BY_ID'] ?? 1), 0, 'crm', "{$template['NAME']}: [URL=/crm/$type/details/$id/]" . ($row['TITLE'] ?? $row['FULL_NAME'] ?? "#$id") . '[/URL]');
    }

    private static function step(string $kind, array $properties, array $of): void
    {
        match ($kind) {
            'MailActivity' => $of['mail'] === '' ?: CEvent::Send('BIZPROC_HTML_MAIL_TEMPLATE', 's1', ['RECEIVER' => $of['mail'], 'TITLE' => $of['name'], 'MESSAGE' => CSite::absolute($of['link'])]),
            'CrmSendSmsActivity' => DB::insert('b_messageservice_message', [
                'TYPE' => 'SMS', 'SENDER_ID' => $properties['ProviderId'] ?? '', 'MESSAGE_TO' => $of['phone'], 'MESSAGE_BODY' => $properties['MessageText'] ?? '', 'DATE_INSERT' => now()]),
            'WebHookActivity' => HttpClient::post((string)($properties['Handler'] ?? ''), ['document_id' => $of['record']]),
            'DelayActivity' => CAgent::AddAgent("CBPSchedulerService::OnAgent('{$of['workflow']}', 'delay', '" . ($properties['Handler'] ?? '') . "');", 'bizproc', 'N', 1, '', 'Y', now((int)($properties['TimeoutDuration'] ?? 60))),
            'StartWorkflowActivity' => \Bitrix\Main\Messenger\Worker::send('start_workflow_queue', 'StartWorkflowMessage', ['url' => $properties['Url'] ?? null]),
            default => null,
        };
    }
}

/** What goes on when a delay is over: here an address that is called. */
final class CBPSchedulerService
{
    public static function OnAgent(string $workflow, string $event, string $address = ''): string
    {
        $address === '' ?: HttpClient::post($address, ['workflow' => $workflow]);
        return '';
    }
}
