<?php
/** CRM records: leads, deals, contacts and companies, with multi-fields, user fields and links. */
final class CCrm
{
    public const TYPES = [
        'lead' => ['id' => 1, 'table' => 'b_crm_lead', 'name' => 'LEAD', 'short' => 'L', 'stage' => 'STATUS_ID', 'semantic' => 'STATUS_SEMANTIC_ID', 'dictionary' => 'STATUS', 'multi' => true],
        'deal' => ['id' => 2, 'table' => 'b_crm_deal', 'name' => 'DEAL', 'short' => 'D', 'stage' => 'STAGE_ID', 'semantic' => 'STAGE_SEMANTIC_ID', 'dictionary' => 'DEAL_STAGE', 'multi' => false],
        'contact' => ['id' => 3, 'table' => 'b_crm_contact', 'name' => 'CONTACT', 'short' => 'C', 'stage' => null, 'semantic' => null, 'dictionary' => null, 'multi' => true],
        'company' => ['id' => 4, 'table' => 'b_crm_company', 'name' => 'COMPANY', 'short' => 'CO', 'stage' => null, 'semantic' => null, 'dictionary' => null, 'multi' => true],
    ];
    public const MULTI = ['PHONE', 'EMAIL', 'WEB', 'IM', 'LINK'];
    public const READ_ONLY = [
        'ID', 'DATE_CREATE', 'DATE_MODIFY', 'CREATED_BY_ID', 'MODIFY_BY_ID', 'MOVED_BY_ID', 'MOVED_TIME', 'STATUS_SEMANTIC_ID', 'STAGE_SEMANTIC_ID', 'HAS_PHONE', 'HAS_EMAIL',
        'HAS_IMOL', 'FULL_NAME', 'LAST_ACTIVITY_BY', 'LAST_ACTIVITY_TIME', 'DATE_CLOSED', 'IS_RETURN_CUSTOMER', 'CLOSED', 'IS_NEW'];

    public static function typeById(int $id): ?string
    {
        return array_search($id, array_map(static fn($t) => $t['id'], self::TYPES), true) ?: null;
    }

    /** Columns of a record and of its user fields, column => SQL type, through the managed cache. */
    public static function columns(string $type): array
    {
        static $known = [];
        if (!isset($known[$type])) {
            $known[$type] = ManagedCache::get("crm_columns_$type");
            if ($known[$type] === null) {
                $read = static fn($table) => DB::col('SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME=? ORDER BY ORDINAL_POSITION', $table);
                $known[$type] = ['own' => array_diff_key($read(self::TYPES[$type]['table']), ['SEARCH_CONTENT' => 1]), 'uf' => array_diff_key($read("b_uts_crm_$type"), ['VALUE_ID' => 1])];
                ManagedCache::set("crm_columns_$type", $known[$type], 3600);
            }
        }
        return $known[$type];
    }

    /** A value from outside as its column keeps it. */
    public static function store(mixed $value, string $sql): mixed
    {
        if (is_array($value)) {
            return serialize($value);
        }
        if (is_bool($value)) {
            return str_contains($sql, 'int') ? (int)$value : ($value ? 'Y' : 'N');
        }
        if ($value === null || ($value === '' && !in_array($sql, ['varchar', 'text', 'char', 'mediumtext'], true))) {
            return null;
        }
        return match ($sql) {
            'datetime', 'timestamp' => ($t = strtotime((string)$value)) === false ? null : date('Y-m-d H:i:s', $t),
            'date' => ($t = strtotime((string)$value)) === false ? null : date('Y-m-d', $t),
            'int', 'tinyint', 'smallint', 'bigint' => is_numeric($value) ? (int)$value : null,
            'decimal' => is_numeric($value) ? (string)$value : null,
            default => (string)$value,
        };
    }

    /** A stored value as REST gives it. */
    public static function show(?string $value, string $sql): mixed
    {
        if ($value === null || $value === '') {
            return $value;
        }
        if (str_starts_with($sql, 'date') || $sql === 'timestamp') {
            return date('c', strtotime($value));
        }
        return $sql === 'text' && str_starts_with($value, 'a:') ? @unserialize($value, ['allowed_classes' => false]) : $value;
    }

    /**
     * Adds a record. $system holds created and updated times and authors of an import, which starts no automation.
     */
    public static function add(string $type, array $fields, int $user, ?array $system = null): int
    {
        $def = self::TYPES[$type];
        $columns = self::columns($type);
        $row = [];
        foreach (array_diff_key($fields, array_flip(self::READ_ONLY)) as $name => $value) {
            if (isset($columns['own'][$name])) {
                $row[$name] = self::store($value, $columns['own'][$name]);
            }
        }
        $row += ($system ?? []) + ['DATE_CREATE' => now(), 'CREATED_BY_ID' => $user];
        $row += ['DATE_MODIFY' => $row['DATE_CREATE'], 'MODIFY_BY_ID' => $row['CREATED_BY_ID'], 'OPENED' => 'Y', 'LAST_ACTIVITY_TIME' => $row['DATE_CREATE']];
        $row['ASSIGNED_BY_ID'] = ($row['ASSIGNED_BY_ID'] ?? 0) ?: $user;
        if ($def['stage'] !== null) {
            $row[$def['stage']] = ($row[$def['stage']] ?? '') ?: (self::stages($type, (int)($row['CATEGORY_ID'] ?? 0))[0]['STATUS_ID'] ?? 'NEW');
            $row += ['MOVED_TIME' => $row['DATE_CREATE'], 'MOVED_BY_ID' => $row['CREATED_BY_ID'], 'CURRENCY_ID' => 'EUR'];
        }
        self::derive($type, $row, $fields);
        $id = DB::insert($def['table'], $row);
        if (($row['TITLE'] ?? '') === '' && isset($columns['own']['TITLE'])) {
            DB::update($def['table'], ['TITLE' => ucfirst($type) . " #$id"], 'ID=?', $id);
        }
        self::saveUserFields($type, $id, $fields);
        self::saveMulti($type, $id, $fields);
        self::saveLinks($type, $id, $fields + $row);
        CSearch::indexCrm($type, $id);
        CRestEvent::fire('ONCRM' . $def['name'] . 'ADD', ['FIELDS' => ['ID' => $id]]);
        if ($system === null) {
            CAutomation::added($type, $id, $row);
        }
        return $id;
    }

    public static function update(string $type, int $id, array $fields, int $user): bool
    {
        $def = self::TYPES[$type];
        $old = DB::row("SELECT * FROM {$def['table']} WHERE ID=?", $id);
        if ($old === null) {
            return false;
        }
        $columns = self::columns($type);
        $row = [];
        foreach (array_diff_key($fields, array_flip(self::READ_ONLY)) as $name => $value) {
            if (isset($columns['own'][$name])) {
                $row[$name] = self::store($value, $columns['own'][$name]);
            }
        }
        if ($def['stage'] !== null && isset($row[$def['stage']]) && $row[$def['stage']] !== $old[$def['stage']]) {
            $row += ['MOVED_TIME' => now(), 'MOVED_BY_ID' => $user];
        }
        $row = array_merge($row, ['DATE_MODIFY' => now(), 'MODIFY_BY_ID' => $user]);
        self::saveMulti($type, $id, $fields);
        self::derive($type, $row, $fields, $old);
        DB::update($def['table'], $row, 'ID=?', $id);
        self::saveUserFields($type, $id, $fields);
        self::saveLinks($type, $id, $fields);
        CSearch::indexCrm($type, $id);
        CRestEvent::fire('ONCRM' . $def['name'] . 'UPDATE', ['FIELDS' => ['ID' => $id]]);
        CAutomation::updated($type, $id, $old, $row);
        return true;
    }

    public static function delete(string $type, int $id): bool
    {
        $def = self::TYPES[$type];
        DB::q("DELETE FROM {$def['table']} WHERE ID=?", $id);
        if (DB::$link->affected_rows === 0) {
            return false;
        }
        DB::q('DELETE FROM b_crm_field_multi WHERE ENTITY_ID=? AND ELEMENT_ID=?', $def['name'], $id);
        DB::q("DELETE FROM b_uts_crm_$type WHERE VALUE_ID=?", $id);
        DB::q('DELETE FROM b_crm_product_row WHERE OWNER_TYPE=? AND OWNER_ID=?', $def['short'], $id);
        DB::q('DELETE FROM b_crm_timeline_bind WHERE ENTITY_TYPE_ID=? AND ENTITY_ID=?', $def['id'], $id);
        foreach (DB::col('SELECT ID FROM b_crm_act WHERE OWNER_TYPE_ID=? AND OWNER_ID=?', $def['id'], $id) as $activity) {
            CCrmActivity::delete((int)$activity);
        }
        if ($type === 'deal' || $type === 'lead') {
            DB::q("DELETE FROM b_crm_{$type}_contact WHERE {$def['name']}_ID=?", $id);
        } else {
            DB::q("DELETE FROM b_crm_contact_company WHERE {$def['name']}_ID=?", $id);
        }
        CRestRequisite::dropOf($def['id'], $id);
        CSearch::remove('crm', "{$def['name']}.$id");
        CRestEvent::fire('ONCRM' . $def['name'] . 'DELETE', ['FIELDS' => ['ID' => $id]]);
        CAutomation::deleted($type, $id);
        return true;
    }

    /** @return list<array> rows as stored, with user fields; null filter values mean empty. */
    public static function find(string $type, array $filter, array $order, int $offset, int $limit, bool $strict = false): array
    {
        [$from, $where] = self::query($type, $filter, $strict);
        $columns = self::columns($type);
        $sort = [];
        foreach ($order ?: ['ID' => 'ASC'] as $name => $way) {
            if (isset($columns['own'][$name]) || isset($columns['uf'][$name])) {
                $sort[] = "`$name` " . (strtoupper((string)$way) === 'DESC' ? 'DESC' : 'ASC');
            }
        }
        return DB::rows("SELECT t.*" . ($columns['uf'] ? ', u.*' : '') . " FROM $from WHERE $where ORDER BY " . (implode(',', $sort) ?: 'ID') . " LIMIT $offset, $limit");
    }

    public static function count(string $type, array $filter, bool $strict = false): int
    {
        [$from, $where] = self::query($type, $filter, $strict);
        return (int)DB::val("SELECT COUNT(*) FROM $from WHERE $where");
    }

    private static function query(string $type, array $filter, bool $strict): array
    {
        $table = self::TYPES[$type]['table'];
        return ["$table t LEFT JOIN b_uts_crm_$type u ON u.VALUE_ID=t.ID", self::where($type, $filter, $strict)];
    }

    public static function where(string $type, array $filter, bool $strict): string
    {
        $columns = self::columns($type);
        $known = $columns['own'] + $columns['uf'];
        $logic = strtoupper((string)($filter['LOGIC'] ?? $filter['logic'] ?? 'AND')) === 'OR' ? ' OR ' : ' AND ';
        unset($filter['LOGIC'], $filter['logic']);
        $parts = [];
        foreach ($filter as $key => $value) {
            if (is_int($key) && is_array($value)) {
                $parts[] = '(' . self::where($type, $value, $strict) . ')';
                continue;
            }
            preg_match('/^([!<>=%@?]*)(.*)$/', (string)$key, $m);
            [, $operator, $name] = $m;
            if (in_array($name, self::MULTI, true) && self::TYPES[$type]['multi']) {
                $parts[] = 't.ID IN (SELECT ELEMENT_ID FROM b_crm_field_multi WHERE ENTITY_ID=' . DB::quote(self::TYPES[$type]['name']) . " AND TYPE_ID='$name' AND " . sql_condition('VALUE', $operator, $value) . ')';
            } elseif (isset($known[$name])) {
                $convert = static fn($v) => self::store($v, $known[$name]);
                $parts[] = sql_condition("`$name`", $operator, is_array($value) ? array_map($convert, array_values($value)) : $convert($value));
            } elseif ($strict) {
                throw new RestError('INVALID_ARG_VALUE', "Invalid filter: field '$name' is not allowed in filter");
            }
        }
        return $parts ? implode($logic, $parts) : '1=1';
    }

    /** Multi-fields of records, id => type => list. */
    public static function multi(string $type, array $ids): array
    {
        $found = [];
        if ($ids && self::TYPES[$type]['multi']) {
            foreach (DB::rows('SELECT * FROM b_crm_field_multi WHERE ENTITY_ID=? AND ELEMENT_ID IN (?) ORDER BY ID', self::TYPES[$type]['name'], array_map(intval(...), $ids)) as $row) {
                $found[$row['ELEMENT_ID']][$row['TYPE_ID']][] = ['ID' => $row['ID'], 'VALUE_TYPE' => $row['VALUE_TYPE'], 'VALUE' => $row['VALUE'], 'TYPE_ID' => $row['TYPE_ID']];
            }
        }
        return $found;
    }

    /** Contacts of leads or deals, companies of contacts: id => list, the primary one first. */
    public static function links(string $type, array $ids): array
    {
        $other = ['lead' => 'contact', 'deal' => 'contact', 'contact' => 'company'][$type] ?? null;
        $found = [];
        if ($ids && $other !== null) {
            [$owner, $column] = [strtoupper($type) . '_ID', strtoupper($other) . '_ID'];
            foreach (DB::rows("SELECT $owner, $column FROM b_crm_{$type}_$other WHERE $owner IN (?) ORDER BY SORT", array_map(intval(...), $ids)) as $row) {
                $found[$row[$owner]][] = (int)$row[$column];
            }
        }
        return $found;
    }

    /** @return list<array> stages of a type (and deal category) in order */
    public static function stages(string $type, int $category = 0): array
    {
        static $known = [];
        $entity = self::TYPES[$type]['dictionary'] . ($category ? "_$category" : '');
        return $known[$entity] ??= DB::rows('SELECT * FROM b_crm_status WHERE ENTITY_ID=? ORDER BY SORT, ID', $entity);
    }

    private static function derive(string $type, array &$row, array $fields, array $old = []): void
    {
        $def = self::TYPES[$type];
        if ($type === 'lead' || $type === 'contact') {
            $row['FULL_NAME'] = trim(($row['NAME'] ?? $old['NAME'] ?? '') . ' ' . ($row['LAST_NAME'] ?? $old['LAST_NAME'] ?? ''));
        }
        if ($def['multi']) {
            $present = isset($old['ID']) ? self::multi($type, [(int)$old['ID']])[$old['ID']] ?? [] : $fields;
            $row['HAS_PHONE'] = !empty($present['PHONE']) ? 'Y' : 'N';
            $row['HAS_EMAIL'] = !empty($present['EMAIL']) ? 'Y' : 'N';
        }
        if ($def['stage'] !== null && isset($row[$def['stage']])) {
            $category = (int)($row['CATEGORY_ID'] ?? $old['CATEGORY_ID'] ?? 0);
            $semantics = array_column(self::stages($type, $category), 'SEMANTICS', 'STATUS_ID')[$row[$def['stage']]] ?? null;
            $row[$def['semantic']] = $semantics ?: 'P';
            $closed = in_array($semantics, ['S', 'F'], true);
            $row += $type === 'lead' ? ['DATE_CLOSED' => $closed ? now() : null] : ['CLOSED' => $closed ? 'Y' : 'N'];
        }
    }

    private static function saveUserFields(string $type, int $id, array $fields): void
    {
        $columns = self::columns($type)['uf'];
        $kinds = CRestUserField::kinds($type);
        $row = [];
        foreach (array_intersect_key($fields, $columns) as $name => $value) {
            if (($kinds[$name][0] ?? '') === 'file') {
                $value = CRestUserField::takeFile($value, $kinds[$name][1]);
            }
            $row[$name] = self::store($value, $columns[$name]);
        }
        if ($row) {
            DB::insert("b_uts_crm_$type", ['VALUE_ID' => $id], true);
            DB::update("b_uts_crm_$type", $row, 'VALUE_ID=?', $id);
        }
    }

    private static function saveMulti(string $type, int $id, array $fields): void
    {
        if (!self::TYPES[$type]['multi']) {
            return;
        }
        $entity = self::TYPES[$type]['name'];
        foreach (array_intersect_key($fields, array_flip(self::MULTI)) as $kind => $values) {
            foreach (is_array($values) ? $values : [['VALUE' => $values]] as $value) {
                $value = is_array($value) ? $value : ['VALUE' => $value];
                $known = (int)DB::val('SELECT ID FROM b_crm_field_multi WHERE ID=? AND ENTITY_ID=? AND ELEMENT_ID=?', (int)($value['ID'] ?? 0), $entity, $id);
                $text = (string)($value['VALUE'] ?? '');
                if ($known && ($text === '' || ($value['DELETE'] ?? '') === 'Y')) {
                    DB::q('DELETE FROM b_crm_field_multi WHERE ID=? AND ENTITY_ID=? AND ELEMENT_ID=?', $known, $entity, $id);
                } elseif ($known) {
                    DB::update('b_crm_field_multi', ['VALUE' => $text] + (isset($value['VALUE_TYPE']) ? ['VALUE_TYPE' => $value['VALUE_TYPE']] : []), 'ID=? AND ENTITY_ID=? AND ELEMENT_ID=?', $known, $entity, $id);
                } elseif ($text !== '') {
                    $form = $value['VALUE_TYPE'] ?? 'WORK';
                    DB::insert('b_crm_field_multi', ['ENTITY_ID' => $entity, 'ELEMENT_ID' => $id, 'TYPE_ID' => $kind, 'VALUE_TYPE' => $form, 'COMPLEX_ID' => "{$kind}_$form", 'VALUE' => $text]);
                }
            }
        }
    }

    private static function saveLinks(string $type, int $id, array $fields): void
    {
        if ($type === 'contact') {
            self::replaceLinks('b_crm_contact_company', 'CONTACT_ID', 'COMPANY_ID', $id, self::wanted($fields, 'COMPANY_ID', 'COMPANY_IDS'));
        } elseif ($type === 'deal' || $type === 'lead') {
            self::replaceLinks("b_crm_{$type}_contact", strtoupper($type) . '_ID', 'CONTACT_ID', $id, self::wanted($fields, 'CONTACT_ID', 'CONTACT_IDS'));
        }
    }

    private static function wanted(array $fields, string $one, string $many): ?array
    {
        if (isset($fields[$many])) {
            return array_values(array_filter(array_map(intval(...), (array)$fields[$many])));
        }
        return array_key_exists($one, $fields) ? array_values(array_filter([(int)$fields[$one]])) : null;
    }

    public static function replaceLinks(string $table, string $owner, string $other, int $id, ?array $others): void
    {
        if ($others !== null) {
            DB::q("DELETE FROM $table WHERE $owner=?", $id);
            foreach ($others as $i => $linked) {
                DB::insert($table, [$owner => $id, $other => $linked, 'SORT' => 10 * ($i + 1), 'IS_PRIMARY' => $i === 0 ? 'Y' : 'N'], true);
            }
        }
    }
}

/** One condition of a filter in the vendor's notation, as SQL. */
function sql_condition(string $column, string $operator, mixed $value): string
{
    $many = is_array($value);
    $empty = $value === null || $value === '' || $value === [];
    return match ($operator) {
        '>', '<', '>=', '<=' => "$column $operator " . DB::quote($many ? reset($value) : $value),
        '%' => "$column LIKE " . DB::quote('%' . addcslashes((string)($many ? reset($value) : $value), '%_\\') . '%'),
        '=%', '%=' => "$column LIKE " . DB::quote($many ? reset($value) : $value),
        '!%' => "$column NOT LIKE " . DB::quote('%' . addcslashes((string)($many ? reset($value) : $value), '%_\\') . '%'),
        '><' => "$column BETWEEN " . DB::quote($value[0] ?? null) . ' AND ' . DB::quote($value[1] ?? null),
        '!', '!=', '!@' => $empty ? "($column IS NOT NULL AND $column<>'')" : "($column IS NULL OR $column NOT IN (" . DB::quote($many ? $value : [$value]) . '))',
        default => $empty ? "($column IS NULL OR $column='')" : "$column IN (" . DB::quote($many ? $value : [$value]) . ')',
    };
}
