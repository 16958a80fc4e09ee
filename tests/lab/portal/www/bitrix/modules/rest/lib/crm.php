<?php
/** REST methods of the CRM. */
final class CRestCrm
{
    public static function methods(): array
    {
        $methods = [];
        foreach (array_keys(CCrm::TYPES) as $type) {
            foreach (['add', 'get', 'list', 'update', 'delete', 'fields'] as $verb) {
                $methods["crm.$type.$verb"] = [static fn($p, $s) => self::$verb($type, $p, $s), 'crm'];
            }
            $methods["crm.$type.userfield.list"] = [static fn($p, $s) => self::userFields($type, $p), 'crm'];
            $methods["crm.$type.userfield.add"] = [static fn($p, $s) => self::userFieldAdd($type, $p, $s), 'crm'];
        }
        foreach (['lead', 'deal'] as $type) {
            $methods["crm.$type.productrows.get"] = [static fn($p, $s) => self::rows($type, (int)($p['id'] ?? $p['ID'] ?? 0)), 'crm'];
            $methods["crm.$type.productrows.set"] = [static fn($p, $s) => self::rowsSet($type, (int)($p['id'] ?? $p['ID'] ?? 0), (array)($p['rows'] ?? [])), 'crm'];
            $methods["crm.$type.contact.items.get"] = [static fn($p, $s) => DB::rows("SELECT CONTACT_ID, SORT, ROLE_ID, IS_PRIMARY FROM b_crm_{$type}_contact WHERE {$type}_ID=? ORDER BY SORT", (int)($p['id'] ?? 0)), 'crm'];
        }
        $methods['crm.contact.company.items.get'] = [static fn($p, $s) => DB::rows('SELECT COMPANY_ID, SORT, ROLE_ID, IS_PRIMARY FROM b_crm_contact_company WHERE CONTACT_ID=? ORDER BY SORT', (int)($p['id'] ?? 0)), 'crm'];
        foreach (['list', 'get', 'add', 'update', 'delete', 'import', 'batchImport', 'fields'] as $verb) {
            $methods["crm.item.$verb"] = [static fn($p, $s) => self::{'item' . ucfirst($verb)}($p, $s), 'crm'];
        }
        $methods['crm.item.productrow.list'] = [self::itemRows(...), 'crm'];
        $methods['crm.item.productrow.set'] = [self::itemRowsSet(...), 'crm'];
        foreach (['list', 'get', 'add', 'update', 'delete'] as $verb) {
            $methods["crm.activity.$verb"] = [static fn($p, $s) => self::{'activity' . ucfirst($verb)}($p, $s), 'crm'];
            $methods["crm.timeline.comment.$verb"] = [static fn($p, $s) => self::{'comment' . ucfirst($verb)}($p, $s), 'crm'];
            $methods["crm.requisite.$verb"] = [static fn($p, $s) => self::table('b_crm_requisite', $verb, $p, $s), 'crm'];
            $methods["crm.status.$verb"] = [static fn($p, $s) => self::table('b_crm_status', $verb, $p, $s), 'crm'];
        }
        $methods['crm.address.list'] = [static fn($p, $s) => self::table('b_crm_addr', 'list', $p, $s), 'crm'];
        $methods['crm.address.add'] = [self::addressAdd(...), 'crm'];
        $methods['crm.dealcategory.list'] = [static fn($p, $s) => self::table('b_crm_deal_category', 'list', $p, $s), 'crm'];
        $methods['crm.category.list'] = [static fn($p, $s) => ['categories' => self::categories((int)($p['entityTypeId'] ?? 2))], 'crm'];
        return $methods;
    }

    private static function id(array $p): int
    {
        return (int)($p['id'] ?? $p['ID'] ?? 0) ?: throw new RestError('', 'ID is not defined or invalid.');
    }

    private static function add(string $type, array $p, CRestServer $s): int
    {
        return CCrm::add($type, (array)($p['fields'] ?? []), $s->user);
    }

    private static function update(string $type, array $p, CRestServer $s): bool
    {
        return CCrm::update($type, self::id($p), (array)($p['fields'] ?? []), $s->user) ?: throw new RestError('', 'Not found');
    }

    private static function delete(string $type, array $p, CRestServer $s): bool
    {
        return CCrm::delete($type, self::id($p)) ?: throw new RestError('', 'Not found');
    }

    private static function get(string $type, array $p, CRestServer $s): array
    {
        $rows = CCrm::find($type, ['ID' => self::id($p)], [], 0, 1);
        return $rows ? self::present($type, $rows, ['*', 'UF_*', ...CCrm::MULTI])[0] : throw new RestError('', 'Not found');
    }

    private static function list(string $type, array $p, CRestServer $s): RestPage
    {
        $filter = (array)($p['filter'] ?? []);
        $start = RestPage::start($p);
        $total = $start < 0 ? null : CCrm::count($type, $filter);
        $rows = CCrm::find($type, $filter, (array)($p['order'] ?? []), max(0, $start), RestPage::SIZE);
        return new RestPage(self::present($type, $rows, (array)($p['select'] ?? []) ?: ['*']), $total, $start);
    }

    private static function present(string $type, array $rows, array $select): array
    {
        $columns = CCrm::columns($type);
        $wanted = [];
        foreach ($select as $name) {
            $wanted += match ($name) {
                '*' => $columns['own'],
                'UF_*' => $columns['uf'],
                default => array_intersect_key($columns['own'] + $columns['uf'], [$name => 1]),
            };
        }
        $wanted = ['ID' => 'int'] + $wanted;
        $kinds = array_intersect(CCrm::MULTI, $select);
        $multi = $kinds ? CCrm::multi($type, array_column($rows, 'ID')) : [];
        return array_map(static function (array $row) use ($wanted, $kinds, $multi): array {
            $shown = [];
            foreach ($wanted as $name => $sql) {
                $shown[$name] = CCrm::show($row[$name] ?? null, $sql);
            }
            return $shown + array_intersect_key($multi[$row['ID']] ?? [], array_flip($kinds));
        }, $rows);
    }

    private static function fields(string $type, array $p, CRestServer $s): array
    {
        $columns = CCrm::columns($type);
        $fields = [];
        foreach ($columns['own'] + $columns['uf'] as $name => $sql) {
            $fields[$name] = self::field($name, $sql);
        }
        foreach (CCrm::TYPES[$type]['multi'] ? CCrm::MULTI : [] as $name) {
            $fields[$name] = ['type' => 'crm_multifield', 'isRequired' => false, 'isReadOnly' => false, 'isImmutable' => false, 'isMultiple' => true, 'isDynamic' => false, 'title' => $name];
        }
        return $fields;
    }

    private static function field(string $name, string $sql): array
    {
        $kind = match (true) {
            in_array($name, ['STATUS_ID', 'STAGE_ID', 'SOURCE_ID', 'HONORIFIC', 'TYPE_ID', 'COMPANY_TYPE', 'INDUSTRY'], true) => 'crm_status',
            str_ends_with($name, '_BY_ID') => 'user',
            default => ['int' => 'integer', 'decimal' => 'double', 'datetime' => 'datetime', 'date' => 'date', 'char' => 'char'][$sql] ?? 'string',
        };
        return ['type' => $kind, 'isRequired' => false, 'isReadOnly' => in_array($name, CCrm::READ_ONLY, true), 'isImmutable' => false, 'isMultiple' => false, 'isDynamic' => str_starts_with($name, 'UF_'), 'title' => $name];
    }

    private static function userFields(string $type, array $p): RestPage
    {
        $rows = DB::rows('SELECT ID, ENTITY_ID, FIELD_NAME, USER_TYPE_ID, XML_ID, SORT, MULTIPLE, MANDATORY FROM b_user_field WHERE ENTITY_ID=? ORDER BY ID', 'CRM_' . CCrm::TYPES[$type]['name']);
        return new RestPage($rows, count($rows), 0);
    }

    private static function userFieldAdd(string $type, array $p, CRestServer $s): int
    {
        $s->needAdmin();
        $name = 'UF_CRM_' . preg_replace('/^UF_CRM_/', '', strtoupper((string)($p['fields']['FIELD_NAME'] ?? '')));
        if (!preg_match('/^UF_CRM_[A-Z0-9_]{1,40}$/', $name) || isset(CCrm::columns($type)['uf'][$name])) {
            throw new RestError('', "User field $name exists or has no valid name");
        }
        DB::q("ALTER TABLE b_uts_crm_$type ADD `$name` text");
        ManagedCache::clean("crm_columns_$type");
        return DB::insert('b_user_field', ['ENTITY_ID' => 'CRM_' . CCrm::TYPES[$type]['name'], 'FIELD_NAME' => $name, 'USER_TYPE_ID' => $p['fields']['USER_TYPE_ID'] ?? 'string', 'SORT' => 100]);
    }

    private static function rows(string $type, int $id): array
    {
        return DB::rows('SELECT * FROM b_crm_product_row WHERE OWNER_TYPE=? AND OWNER_ID=? ORDER BY SORT, ID', CCrm::TYPES[$type]['short'], $id);
    }

    private static function rowsSet(string $type, int $id, array $rows): bool
    {
        DB::q('DELETE FROM b_crm_product_row WHERE OWNER_TYPE=? AND OWNER_ID=?', CCrm::TYPES[$type]['short'], $id);
        $sum = 0.0;
        $known = array_flip(['PRODUCT_ID', 'PRODUCT_NAME', 'PRICE', 'PRICE_ACCOUNT', 'PRICE_EXCLUSIVE', 'PRICE_NETTO', 'PRICE_BRUTTO', 'QUANTITY', 'DISCOUNT_TYPE_ID', 'DISCOUNT_RATE', 'DISCOUNT_SUM', 'TAX_RATE', 'TAX_INCLUDED', 'CUSTOMIZED', 'MEASURE_CODE', 'MEASURE_NAME']);
        foreach (array_values($rows) as $i => $row) {
            $row = array_intersect_key($row, $known) + ['PRICE' => 0, 'QUANTITY' => 1];
            $sum += (float)$row['PRICE'] * (float)$row['QUANTITY'];
            DB::insert('b_crm_product_row', $row + ['OWNER_ID' => $id, 'OWNER_TYPE' => CCrm::TYPES[$type]['short'], 'SORT' => 10 * ($i + 1)]);
        }
        DB::q('UPDATE ' . CCrm::TYPES[$type]['table'] . " SET OPPORTUNITY=IF(IS_MANUAL_OPPORTUNITY='Y', OPPORTUNITY, ?), DATE_MODIFY=? WHERE ID=?", number_format($sum, 2, '.', ''), now(), $id);
        return true;
    }

    // crm.item.*

    private static function type(array $p): string
    {
        return CCrm::typeById((int)($p['entityTypeId'] ?? 0)) ?? throw new RestError('NOT_FOUND', 'Smart process not found');
    }

    private static function items(string $type, array $rows): array
    {
        $multi = CCrm::multi($type, array_column($rows, 'ID'));
        return array_map(static fn($row) => CCrmImport::item($type, $row, $multi[$row['ID']] ?? []), $rows);
    }

    private static function itemList(array $p, CRestServer $s): RestPage
    {
        $type = self::type($p);
        $filter = CCrmImport::keys($type, (array)($p['filter'] ?? []));
        $start = RestPage::start($p);
        $total = $start < 0 ? null : CCrm::count($type, $filter, true);
        $items = self::items($type, CCrm::find($type, $filter, CCrmImport::keys($type, (array)($p['order'] ?? [])), max(0, $start), RestPage::SIZE, true));
        $select = (array)($p['select'] ?? []);
        if ($select && !in_array('*', $select, true)) {
            $wanted = array_flip($select) + ['id' => 1];
            $items = array_map(static fn($i) => array_intersect_key($i, $wanted), $items);
        }
        return new RestPage($items, $total, $start, 'items');
    }

    private static function itemGet(array $p, CRestServer $s): array
    {
        $type = self::type($p);
        $rows = CCrm::find($type, ['ID' => self::id($p)], [], 0, 1) ?: throw new RestError('NOT_FOUND', 'Element not found');
        $item = self::items($type, $rows)[0];
        if ($type === 'deal' || $type === 'lead') {
            $item['contactIds'] = array_map(intval(...), DB::col("SELECT CONTACT_ID FROM b_crm_{$type}_contact WHERE {$type}_ID=? ORDER BY SORT", $item['id']));
        } elseif ($type === 'contact') {
            $item['companyIds'] = array_map(intval(...), DB::col('SELECT COMPANY_ID FROM b_crm_contact_company WHERE CONTACT_ID=? ORDER BY SORT', $item['id']));
        }
        return ['item' => $item];
    }

    private static function itemAdd(array $p, CRestServer $s): array
    {
        $type = self::type($p);
        return self::itemGet(['entityTypeId' => $p['entityTypeId'], 'id' => CCrm::add($type, CCrmImport::columns($type, (array)($p['fields'] ?? [])), $s->user)], $s);
    }

    private static function itemUpdate(array $p, CRestServer $s): array
    {
        $type = self::type($p);
        CCrm::update($type, self::id($p), CCrmImport::columns($type, (array)($p['fields'] ?? [])), $s->user) ?: throw new RestError('NOT_FOUND', 'Element not found');
        return self::itemGet($p, $s);
    }

    private static function itemDelete(array $p, CRestServer $s): array
    {
        CCrm::delete(self::type($p), self::id($p)) ?: throw new RestError('NOT_FOUND', 'Element not found');
        return [];
    }

    private static function itemImport(array $p, CRestServer $s): array
    {
        return ['item' => ['id' => CCrmImport::import(self::type($p), (array)($p['fields'] ?? []), $s->user)]];
    }

    private static function itemBatchImport(array $p, CRestServer $s): array
    {
        $type = self::type($p);
        $data = (array)($p['data'] ?? []);
        if (count($data) > 20) {
            throw new RestError('MAX_IMPORT_BATCH_SIZE_EXCEEDED', 'Maximum number of items to import is 20');
        }
        $items = [];
        foreach ($data as $fields) {
            try {
                $items[] = ['item' => ['id' => CCrmImport::import($type, (array)$fields, $s->user)]];
            } catch (RestError $e) {
                $items[] = ['error' => $e->name, 'error_description' => $e->getMessage()];
            }
        }
        return ['items' => $items];
    }

    private static function itemFields(array $p, CRestServer $s): array
    {
        $type = self::type($p);
        $columns = CCrm::columns($type);
        $fields = [];
        foreach (CCrmImport::names($type) as $column => $name) {
            $fields[$name] = self::field($column, $columns['own'][$column] ?? $columns['uf'][$column]) + ['upperName' => $column];
        }
        return ['fields' => $fields];
    }

    private static function owner(array $p): array
    {
        $filter = (array)($p['filter'] ?? $p);
        $short = (string)($filter['=ownerType'] ?? $filter['ownerType'] ?? 'D');
        $type = array_search($short, array_map(static fn($t) => $t['short'], CCrm::TYPES), true) ?: throw new RestError('INVALID_ARG_VALUE', 'Unknown ownerType');
        return [$type, (int)($filter['=ownerId'] ?? $filter['ownerId'] ?? 0)];
    }

    private static function itemRows(array $p, CRestServer $s): RestPage
    {
        [$type, $id] = self::owner($p);
        $rows = array_map(static fn($row) => array_combine(array_map(CCrmImport::camel(...), array_keys($row)), $row), self::rows($type, $id));
        return new RestPage($rows, count($rows), 0, 'productRows', 1000);
    }

    private static function itemRowsSet(array $p, CRestServer $s): array
    {
        [$type, $id] = self::owner($p);
        $upper = static fn($row) => array_combine(array_map(static fn($k) => strtoupper(preg_replace('/(?<=[a-z0-9])(?=[A-Z])/', '_', $k)), array_keys($row)), $row);
        self::rowsSet($type, $id, array_map($upper, (array)($p['productRows'] ?? [])));
        return ['productRows' => self::itemRows($p, $s)->answer()['result']['productRows']];
    }

    private static function categories(int $entity): array
    {
        $list = [['id' => 0, 'name' => 'General', 'sort' => 10, 'entityTypeId' => $entity, 'isDefault' => 'Y']];
        foreach ($entity === 2 ? DB::rows('SELECT * FROM b_crm_deal_category ORDER BY ID') : [] as $row) {
            $list[] = ['id' => (int)$row['ID'], 'name' => $row['NAME'], 'sort' => (int)$row['SORT'], 'entityTypeId' => 2, 'isDefault' => 'N'];
        }
        return $list;
    }

    // Tables with plain columns

    private static function tableColumns(string $table): array
    {
        static $known = [];
        return $known[$table] ??= DB::col('SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME=? ORDER BY ORDINAL_POSITION', $table);
    }

    private static function tableWhere(string $table, array $filter): string
    {
        $columns = self::tableColumns($table);
        $parts = [];
        foreach ($filter as $key => $value) {
            preg_match('/^([!<>=%@?]*)(.*)$/', (string)$key, $m);
            if (isset($columns[$m[2]])) {
                $convert = static fn($v) => CCrm::store($v, $columns[$m[2]]);
                $parts[] = sql_condition("`$m[2]`", $m[1], is_array($value) ? array_map($convert, array_values($value)) : $convert($value));
            }
        }
        return $parts ? implode(' AND ', $parts) : '1=1';
    }

    private static function tableSelect(string $table, array $p, string $extra = '', string $key = ''): RestPage
    {
        $columns = self::tableColumns($table);
        $where = self::tableWhere($table, (array)($p['filter'] ?? [])) . $extra;
        $start = RestPage::start($p);
        $sort = [];
        foreach ((array)($p['order'] ?? []) as $name => $way) {
            if (isset($columns[$name])) {
                $sort[] = "`$name` " . (strtoupper((string)$way) === 'DESC' ? 'DESC' : 'ASC');
            }
        }
        $rows = DB::rows("SELECT * FROM $table WHERE $where ORDER BY " . (implode(',', $sort) ?: '1') . ' LIMIT ' . max(0, $start) . ', ' . RestPage::SIZE);
        $rows = array_map(static fn($row) => self::tableShow($columns, $row), $rows);
        return new RestPage($rows, $start < 0 ? null : (int)DB::val("SELECT COUNT(*) FROM $table WHERE $where"), $start, $key);
    }

    private static function tableShow(array $columns, array $row): array
    {
        return array_combine(array_keys($row), array_map(static fn($name, $v) => CCrm::show($v, $columns[$name]), array_keys($row), $row));
    }

    private static function tableStore(string $table, array $fields): array
    {
        $columns = self::tableColumns($table);
        $row = [];
        foreach (array_intersect_key($fields, $columns) as $name => $value) {
            $row[$name] = CCrm::store($value, $columns[$name]);
        }
        return array_diff_key($row, ['ID' => 1]);
    }

    private static function table(string $table, string $verb, array $p, CRestServer $s): mixed
    {
        $columns = self::tableColumns($table);
        $fields = self::tableStore($table, (array)($p['fields'] ?? []));
        if ($verb === 'list') {
            return self::tableSelect($table, $p);
        }
        if ($verb === 'add') {
            $fields += array_intersect_key(['DATE_CREATE' => now(), 'DATE_MODIFY' => now(), 'CREATED_BY_ID' => $s->user, 'SORT' => 500], $columns);
            return DB::insert($table, $fields);
        }
        $row = DB::row("SELECT * FROM $table WHERE ID=?", self::id($p)) ?? throw new RestError('', 'Not found');
        if ($verb === 'get') {
            return self::tableShow($columns, $row);
        }
        if ($verb === 'delete') {
            DB::q("DELETE FROM $table WHERE ID=?", $row['ID']);
        } else {
            DB::update($table, $fields + (isset($columns['DATE_MODIFY']) ? ['DATE_MODIFY' => now()] : []), 'ID=?', $row['ID']);
        }
        return true;
    }

    private static function addressAdd(array $p, CRestServer $s): bool
    {
        DB::insert('b_crm_addr', self::tableStore('b_crm_addr', (array)($p['fields'] ?? [])), true);
        return true;
    }

    // Activities

    private static function activityShow(array $rows, bool $files): array
    {
        $communications = [];
        foreach ($rows ? DB::rows('SELECT * FROM b_crm_act_comm WHERE ACTIVITY_ID IN (?) ORDER BY ID', array_map(intval(...), array_column($rows, 'ID'))) : [] as $c) {
            $communications[$c['ACTIVITY_ID']][] = $c;
        }
        foreach ($rows as &$row) {
            $row['COMMUNICATIONS'] = $communications[$row['ID']] ?? [];
            $row['FILES'] = $files ? array_map(static fn($id) => ['id' => $id, 'url' => CDisk::url($id)], CCrmActivity::fileIds($row)) : [];
            $row['SETTINGS'] = @unserialize((string)$row['SETTINGS'], ['allowed_classes' => false]) ?: [];
            unset($row['STORAGE_ELEMENT_IDS']);
        }
        return $rows;
    }

    private static function activityList(array $p, CRestServer $s): RestPage
    {
        $filter = (array)($p['filter'] ?? []);
        $extra = '';
        foreach ((array)($filter['BINDINGS'] ?? []) as $b) {
            $extra .= ' AND ID IN (SELECT ACTIVITY_ID FROM b_crm_act_bind WHERE OWNER_TYPE_ID=' . (int)($b['OWNER_TYPE_ID'] ?? 0) . ' AND OWNER_ID=' . (int)($b['OWNER_ID'] ?? 0) . ')';
        }
        $columns = self::tableColumns('b_crm_act');
        $where = self::tableWhere('b_crm_act', $filter) . $extra;
        $start = RestPage::start($p);
        $sort = [];
        foreach ((array)($p['order'] ?? []) as $name => $way) {
            if (isset($columns[$name])) {
                $sort[] = "`$name` " . (strtoupper((string)$way) === 'DESC' ? 'DESC' : 'ASC');
            }
        }
        $raw = DB::rows("SELECT * FROM b_crm_act WHERE $where ORDER BY " . (implode(',', $sort) ?: 'ID') . ' LIMIT ' . max(0, $start) . ', ' . RestPage::SIZE);
        $rows = array_map(static fn($row) => array_merge(self::tableShow($columns, $row), ['STORAGE_ELEMENT_IDS' => $row['STORAGE_ELEMENT_IDS'], 'SETTINGS' => $row['SETTINGS']]), $raw);
        return new RestPage(self::activityShow($rows, true), $start < 0 ? null : (int)DB::val("SELECT COUNT(*) FROM b_crm_act WHERE $where"), $start);
    }

    private static function activityGet(array $p, CRestServer $s): array
    {
        $found = self::activityList(['filter' => ['ID' => self::id($p)], 'start' => -1], $s)->answer()['result'];
        return $found[0] ?? throw new RestError('', 'Not found');
    }

    private static function activityAdd(array $p, CRestServer $s): int
    {
        $fields = (array)($p['fields'] ?? []);
        $row = array_diff_key(self::tableStore('b_crm_act', $fields), ['CREATED' => 1, 'LAST_UPDATED' => 1, 'AUTHOR_ID' => 1, 'EDITOR_ID' => 1]);
        $objects = [];
        foreach ((array)($fields['FILES'] ?? []) as $file) {
            [$name, $content] = array_pad((array)($file['fileData'] ?? []), 2, '');
            $objects[] = CDisk::addFile(CDisk::commonStorage(), (string)$name, (string)base64_decode((string)$content), $s->user, 'crm');
        }
        if ($objects) {
            $row += ['STORAGE_TYPE_ID' => 3, 'STORAGE_ELEMENT_IDS' => serialize($objects)];
        }
        $bindings = array_map(static fn($b) => [(int)$b['OWNER_TYPE_ID'], (int)$b['OWNER_ID']], (array)($fields['BINDINGS'] ?? []));
        return CCrmActivity::add($row, $bindings, (array)($fields['COMMUNICATIONS'] ?? []), $s->user);
    }

    private static function activityUpdate(array $p, CRestServer $s): bool
    {
        return CCrmActivity::update(self::id($p), self::tableStore('b_crm_act', (array)($p['fields'] ?? [])), $s->user) ?: throw new RestError('', 'Not found');
    }

    private static function activityDelete(array $p, CRestServer $s): bool
    {
        return CCrmActivity::delete(self::id($p)) ?: throw new RestError('', 'Not found');
    }

    // Comments of the timeline

    private static function commentSelect(string $where, int $offset): array
    {
        $types = array_column(array_map(null, array_keys(CCrm::TYPES), array_column(CCrm::TYPES, 'id')), 0, 1);
        return array_map(static fn($r) => [
            'ID' => $r['ID'], 'ENTITY_ID' => $r['ENTITY_ID'], 'ENTITY_TYPE' => $types[$r['ENTITY_TYPE_ID']] ?? $r['ENTITY_TYPE_ID'], 'CREATED' => date('c', strtotime($r['CREATED'])),
            'COMMENT' => $r['COMMENT'], 'AUTHOR_ID' => $r['AUTHOR_ID']],
            DB::rows('SELECT t.*, b.ENTITY_ID, b.ENTITY_TYPE_ID FROM b_crm_timeline t JOIN b_crm_timeline_bind b ON b.OWNER_ID=t.ID WHERE t.TYPE_ID=' . CCrmActivity::TIMELINE_COMMENT . " AND $where ORDER BY t.ID LIMIT $offset, " . RestPage::SIZE));
    }

    private static function commentList(array $p, CRestServer $s): RestPage
    {
        $filter = (array)($p['filter'] ?? []);
        $type = CCrm::TYPES[strtolower((string)($filter['ENTITY_TYPE'] ?? $filter['=ENTITY_TYPE'] ?? ''))]['id'] ?? throw new RestError('', 'ENTITY_TYPE is not defined or invalid.');
        $entity = array_map(intval(...), (array)($filter['ENTITY_ID'] ?? $filter['=ENTITY_ID'] ?? $filter['@ENTITY_ID'] ?? [])) ?: throw new RestError('', 'ENTITY_ID is not defined or invalid.');
        $where = "b.ENTITY_TYPE_ID=$type AND b.ENTITY_ID IN (" . DB::quote($entity) . ') AND ' . (isset($filter['>ID']) ? 't.ID>' . (int)$filter['>ID'] : '1=1');
        $start = RestPage::start($p);
        $total = $start < 0 ? null : (int)DB::val('SELECT COUNT(*) FROM b_crm_timeline t JOIN b_crm_timeline_bind b ON b.OWNER_ID=t.ID WHERE t.TYPE_ID=' . CCrmActivity::TIMELINE_COMMENT . " AND $where");
        return new RestPage(self::commentSelect($where, max(0, $start)), $total, $start);
    }

    private static function commentGet(array $p, CRestServer $s): array
    {
        return self::commentSelect('t.ID=' . self::id($p), 0)[0] ?? throw new RestError('', 'Not found');
    }

    private static function commentAdd(array $p, CRestServer $s): int
    {
        $fields = (array)($p['fields'] ?? []);
        $type = CCrm::TYPES[strtolower((string)($fields['ENTITY_TYPE'] ?? ''))] ?? throw new RestError('', 'ENTITY_TYPE is not defined or invalid.');
        if (($fields['COMMENT'] ?? '') === '' || !DB::val("SELECT 1 FROM {$type['table']} WHERE ID=?", (int)($fields['ENTITY_ID'] ?? 0))) {
            throw new RestError('', 'Comment is empty or its entity was not found');
        }
        $author = CUser::isAdministrator($s->user) ? (int)($fields['AUTHOR_ID'] ?? $s->user) : $s->user;
        return CCrmActivity::comment($type['id'], (int)$fields['ENTITY_ID'], (string)$fields['COMMENT'], $author);
    }

    private static function commentUpdate(array $p, CRestServer $s): bool
    {
        self::commentGet($p, $s);
        DB::update('b_crm_timeline', ['COMMENT' => (string)($p['fields']['COMMENT'] ?? '')], 'ID=?', self::id($p));
        CRestEvent::fire('ONCRMTIMELINECOMMENTUPDATE', ['FIELDS' => ['ID' => self::id($p)]]);
        return true;
    }

    private static function commentDelete(array $p, CRestServer $s): bool
    {
        self::commentGet($p, $s);
        DB::q('DELETE FROM b_crm_timeline WHERE ID=?', self::id($p));
        DB::q('DELETE FROM b_crm_timeline_bind WHERE OWNER_ID=?', self::id($p));
        CRestEvent::fire('ONCRMTIMELINECOMMENTDELETE', ['FIELDS' => ['ID' => self::id($p)]]);
        return true;
    }
}
