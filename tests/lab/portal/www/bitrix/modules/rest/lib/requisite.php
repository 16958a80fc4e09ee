<?php
/** REST methods of requisites, their bank details and their addresses. */
final class CRestRequisite
{
    private const REQUISITE = 8;
    private const OWNERS = [3 => 'contact', 4 => 'company'];
    private const READ_ONLY = ['ID' => 1, 'DATE_CREATE' => 1, 'DATE_MODIFY' => 1, 'CREATED_BY_ID' => 1, 'MODIFY_BY_ID' => 1];

    public static function methods(): array
    {
        $methods = [];
        foreach (['list', 'get', 'add', 'update', 'delete'] as $verb) {
            $methods["crm.requisite.$verb"] = [static fn($p, $s) => self::record('b_crm_requisite', 'ONCRMREQUISITE', $verb, $p, $s), 'crm'];
            $methods["crm.requisite.bankdetail.$verb"] = [static fn($p, $s) => self::record('b_crm_bank_detail', 'ONCRMBANKDETAIL', $verb, $p, $s), 'crm'];
        }
        $methods['crm.requisite.preset.list'] = [static fn($p, $s) => CRestCrm::tableSelect('b_crm_preset', $p), 'crm'];
        foreach (['list', 'add', 'update', 'delete'] as $verb) {
            $methods["crm.address.$verb"] = [static fn($p, $s) => self::address($verb, $p), 'crm'];
        }
        return $methods;
    }

    private static function record(string $table, string $event, string $verb, array $p, CRestServer $s): mixed
    {
        if ($verb === 'list') {
            return CRestCrm::tableSelect($table, $p);
        }
        $fields = array_diff_key(CRestCrm::tableStore($table, (array)($p['fields'] ?? [])), self::READ_ONLY);
        if ($verb === 'add') {
            self::owner($table, $fields);
            $id = DB::insert($table, $fields + ['DATE_CREATE' => now(), 'CREATED_BY_ID' => $s->user, 'SORT' => 500]);
            CRestEvent::fire("{$event}ADD", ['FIELDS' => ['ID' => $id]]);
            return $id;
        }
        $row = DB::row("SELECT * FROM $table WHERE ID=?", CRestCrm::id($p)) ?? throw new RestError('', 'Not found');
        if ($verb === 'get') {
            return CRestCrm::tableShow(CRestCrm::tableColumns($table), $row);
        }
        if ($verb === 'delete') {
            $table === 'b_crm_requisite' ? self::drop((int)$row['ID']) : DB::q('DELETE FROM b_crm_bank_detail WHERE ID=?', $row['ID']);
        } else {
            DB::update($table, array_diff_key($fields, ['ENTITY_TYPE_ID' => 1, 'ENTITY_ID' => 1]) + ['DATE_MODIFY' => now(), 'MODIFY_BY_ID' => $s->user], 'ID=?', $row['ID']);
        }
        CRestEvent::fire($event . strtoupper($verb), ['FIELDS' => ['ID' => (int)$row['ID']]]);
        return true;
    }

    private static function owner(string $table, array $fields): void
    {
        $entity = (int)($fields['ENTITY_ID'] ?? 0);
        $type = self::OWNERS[(int)($fields['ENTITY_TYPE_ID'] ?? 0)] ?? null;
        $known = $table === 'b_crm_bank_detail'
            ? DB::val('SELECT 1 FROM b_crm_requisite WHERE ID=?', $entity)
            : $type !== null && DB::val('SELECT 1 FROM ' . CCrm::TYPES[$type]['table'] . ' WHERE ID=?', $entity);
        if (!$known) {
            throw new RestError('', 'ENTITY_TYPE_ID or ENTITY_ID is not defined or invalid.');
        }
    }

    private static function drop(int $id): void
    {
        DB::q('DELETE FROM b_crm_requisite WHERE ID=?', $id);
        DB::q('DELETE FROM b_crm_bank_detail WHERE ENTITY_ID=?', $id);
        DB::q('DELETE FROM b_crm_addr WHERE ENTITY_TYPE_ID=? AND ENTITY_ID=?', self::REQUISITE, $id);
    }

    /** What goes with a contact or company. */
    public static function dropOf(int $type, int $entity): void
    {
        foreach (DB::col('SELECT ID FROM b_crm_requisite WHERE ENTITY_TYPE_ID=? AND ENTITY_ID=?', $type, $entity) as $id) {
            self::drop((int)$id);
            CRestEvent::fire('ONCRMREQUISITEDELETE', ['FIELDS' => ['ID' => (int)$id]]);
        }
        DB::q('DELETE FROM b_crm_addr WHERE ENTITY_TYPE_ID=? AND ENTITY_ID=?', $type, $entity);
    }

    /** An address has no identifier but its type and its owner, a requisite or a lead. */
    private static function address(string $verb, array $p): RestPage|bool
    {
        if ($verb === 'list') {
            return CRestCrm::tableSelect('b_crm_addr', $p);
        }
        $fields = CRestCrm::tableStore('b_crm_addr', (array)($p['fields'] ?? []));
        [$kind, $type, $entity] = [(int)($fields['TYPE_ID'] ?? 0), (int)($fields['ENTITY_TYPE_ID'] ?? 0), (int)($fields['ENTITY_ID'] ?? 0)];
        $owner = match (true) {
            $type === self::REQUISITE => DB::row('SELECT ENTITY_TYPE_ID, ENTITY_ID FROM b_crm_requisite WHERE ID=?', $entity),
            $type === CCrm::TYPES['lead']['id'] => DB::row('SELECT 1 ENTITY_TYPE_ID, ID ENTITY_ID FROM b_crm_lead WHERE ID=?', $entity),
            default => null,
        };
        if ($kind === 0 || $owner === null) {
            throw new RestError('', 'TYPE_ID, ENTITY_TYPE_ID or ENTITY_ID is not defined or invalid.');
        }
        $known = DB::val('SELECT 1 FROM b_crm_addr WHERE TYPE_ID=? AND ENTITY_TYPE_ID=? AND ENTITY_ID=?', $kind, $type, $entity);
        if ($verb === 'add' ? $known : !$known) {
            throw new RestError('', $verb === 'add' ? 'TypeAddress already exists.' : 'TypeAddress not found.');
        }
        $where = "TYPE_ID=$kind AND ENTITY_TYPE_ID=$type AND ENTITY_ID=$entity";
        if ($verb === 'add') {
            DB::insert('b_crm_addr', ['ANCHOR_TYPE_ID' => (int)$owner['ENTITY_TYPE_ID'], 'ANCHOR_ID' => (int)$owner['ENTITY_ID']] + $fields);
        } elseif ($verb === 'update') {
            DB::update('b_crm_addr', array_diff_key($fields, ['TYPE_ID' => 1, 'ENTITY_TYPE_ID' => 1, 'ENTITY_ID' => 1, 'ANCHOR_TYPE_ID' => 1, 'ANCHOR_ID' => 1]), $where);
        } else {
            DB::q("DELETE FROM b_crm_addr WHERE $where");
        }
        // An address is a part of its requisite, or of its lead.
        $type === self::REQUISITE ? DB::q('UPDATE b_crm_requisite SET DATE_MODIFY=? WHERE ID=?', now(), $entity) : DB::q('UPDATE b_crm_lead SET DATE_MODIFY=? WHERE ID=?', now(), $entity);
        CRestEvent::fire($verb === 'delete' ? 'ONCRMADDRESSUNREGISTER' : 'ONCRMADDRESSREGISTER', ['FIELDS' => ['TYPE_ID' => $kind, 'ENTITY_TYPE_ID' => $type, 'ENTITY_ID' => $entity, 'ANCHOR_TYPE_ID' => (int)$owner['ENTITY_TYPE_ID'], 'ANCHOR_ID' => (int)$owner['ENTITY_ID']]]);
        return true;
    }
}
