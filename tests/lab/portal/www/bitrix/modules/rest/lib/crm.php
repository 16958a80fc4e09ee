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
            foreach (['list', 'get', 'add', 'update', 'delete'] as $verb) {
                $methods["crm.$type.userfield.$verb"] = [static fn($p, $s) => CRestUserField::$verb($type, $p, $s), 'crm'];
            }
        }
        foreach (['lead', 'deal'] as $type) {
            $methods["crm.$type.productrows.get"] = [static fn($p, $s) => self::rows($type, (int)($p['id'] ?? $p['ID'] ?? 0)), 'crm'];
            $methods["crm.$type.productrows.set"] = [static fn($p, $s) => self::rowsSet($type, (int)($p['id'] ?? $p['ID'] ?? 0), (array)($p['rows'] ?? [])), 'crm'];
        }
        foreach (['lead' => 'contact', 'deal' => 'contact', 'contact' => 'company'] as $type => $other) {
            foreach (['get', 'set', 'delete'] as $verb) {
                $methods["crm.$type.$other.items.$verb"] = [static fn($p, $s) => self::links($type, $other, $verb, $p, $s), 'crm'];
            }
        }
        foreach (['list', 'get', 'add', 'update', 'delete', 'import', 'batchImport', 'fields'] as $verb) {
            $methods["crm.item.$verb"] = [static fn($p, $s) => self::{'item' . ucfirst($verb)}($p, $s), 'crm'];
        }
        $methods['crm.item.productrow.list'] = [self::itemRows(...), 'crm'];
        $methods['crm.item.productrow.set'] = [self::itemRowsSet(...), 'crm'];
        foreach (['list', 'get', 'add', 'update', 'delete'] as $verb) {
            $methods["crm.status.$verb"] = [static fn($p, $s) => self::table('b_crm_status', $verb, $p, $s), 'crm'];
        }
        $methods['crm.dealcategory.list'] = [static fn($p, $s) => self::table('b_crm_deal_category', 'list', $p, $s), 'crm'];
        $methods['crm.category.list'] = [static fn($p, $s) => ['categories' => self::categories((int)($p['entityTypeId'] ?? 2))], 'crm'];
        $methods['crm.type.list'] = [static fn($p, $s) => self::types($p), 'crm'];
        return $methods;
    }

    /** The company's own kinds of records, a page at a time. */
    private static function types(array $p): RestPage
    {
        $start = max(0, RestPage::start($p));
        $rows = DB::rows('SELECT ID, ENTITY_TYPE_ID, TITLE, CODE FROM b_crm_dynamic_type ORDER BY ID ' . RestPage::order($p, 'id')['id'] . ' LIMIT ' . $start . ', ' . RestPage::SIZE);
        $types = array_map(static fn($r) => ['id' => (int)$r['ID'], 'entityTypeId' => (int)$r['ENTITY_TYPE_ID'], 'title' => $r['TITLE'], 'code' => $r['CODE']], $rows);
        $total = RestPage::start($p) < 0 ? null : (int)DB::val('SELECT COUNT(*) FROM b_crm_dynamic_type');
        return new RestPage($types, $total, $start, 'types');
    }

    public static function id(array $p): int
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
        $rows = CCrm::find($type, $filter, RestPage::order($p), max(0, $start), RestPage::SIZE);
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
            $fields[$name] = CRestUserField::describe($type, $name) + self::field($name, $sql);
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

    /** Contacts of a lead or deal, companies of a contact; the first is the primary one. */
    private static function links(string $type, string $other, string $verb, array $p, CRestServer $s): array|bool
    {
        $id = self::id($p);
        $table = "b_crm_{$type}_$other";
        [$owner, $column] = [strtoupper($type) . '_ID', strtoupper($other) . '_ID'];
        if (!DB::val('SELECT 1 FROM ' . CCrm::TYPES[$type]['table'] . ' WHERE ID=?', $id)) {
            throw new RestError('', 'Not found');
        }
        if ($verb === 'get') {
            return DB::rows("SELECT $column, SORT, ROLE_ID, IS_PRIMARY FROM $table WHERE $owner=? ORDER BY SORT", $id);
        }
        $items = $verb === 'set' ? (array)($p['items'] ?? []) : [];
        usort($items, static fn($a, $b) => (($b['IS_PRIMARY'] ?? 'N') === 'Y') <=> (($a['IS_PRIMARY'] ?? 'N') === 'Y') ?: (int)($a['SORT'] ?? 0) <=> (int)($b['SORT'] ?? 0));
        $ids = array_map(static fn($i) => (int)($i[$column] ?? 0), $items);
        CCrm::update($type, $id, ["{$column}S" => $ids, $column => $ids[0] ?? 0], $s->user);
        return true;
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
        CCrmImport::$original = filter_var($p['useOriginalUfNames'] ?? false, FILTER_VALIDATE_BOOLEAN) || ($p['useOriginalUfNames'] ?? '') === 'Y';
        return CCrm::typeById((int)($p['entityTypeId'] ?? 0)) ?? throw new RestError('NOT_FOUND', 'Smart process not found');
    }

    private static function items(string $type, array $rows): array
    {
        $ids = array_column($rows, 'ID');
        $multi = CCrm::multi($type, $ids);
        $links = CCrm::links($type, $ids);
        $many = $type === 'contact' ? 'companyIds' : 'contactIds';
        return array_map(static fn($row) => CCrmImport::item($type, $row, $multi[$row['ID']] ?? []) + ($type === 'company' ? [] : [$many => $links[$row['ID']] ?? []]), $rows);
    }

    private static function itemList(array $p, CRestServer $s): RestPage
    {
        $type = self::type($p);
        $filter = CCrmImport::keys($type, (array)($p['filter'] ?? []));
        $start = RestPage::start($p);
        $total = $start < 0 ? null : CCrm::count($type, $filter, true);
        $items = self::items($type, CCrm::find($type, $filter, CCrmImport::keys($type, RestPage::order($p, 'id')), max(0, $start), RestPage::SIZE, true));
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
        return ['item' => self::items($type, $rows)[0]];
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
        foreach ($data as $key => $fields) {
            try {
                $items[$key] = ['item' => ['id' => CCrmImport::import($type, (array)$fields, $s->user)]];
            } catch (RestError $e) {
                $items[$key] = ['error' => $e->name, 'error_description' => CRestText::say($e->getMessage())];
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
            $fields[$name] = CRestUserField::describe($type, $column) + self::field($column, $columns['own'][$column] ?? $columns['uf'][$column]) + ['upperName' => $column];
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
        $filter = [];
        foreach ((array)($p['filter'] ?? []) as $key => $value) {
            preg_match('/^([!<>=%@?]*)(.*)$/', (string)$key, $m);
            $filter[$m[1] . CCrmImport::upper($m[2])] = $value;
        }
        if (!isset($filter['=OWNER_TYPE'], $filter['=OWNER_ID'])) {
            throw new RestError('100', 'Required fields: =ownerType, =ownerId');
        }
        $order = [];
        foreach ((array)($p['order'] ?? []) as $name => $way) {
            $order[CCrmImport::upper((string)$name)] = $way;
        }
        return self::tableSelect('b_crm_product_row', ['filter' => $filter, 'order' => $order] + $p, '', 'productRows', self::productRow(...));
    }

    private static function productRow(array $row): array
    {
        $shown = [];
        foreach ($row as $name => $value) {
            $shown[CCrmImport::camel($name)] = is_numeric($value) && $name !== 'OWNER_TYPE' && $name !== 'PRODUCT_NAME' && $name !== 'MEASURE_NAME' ? $value + 0 : $value;
        }
        return $shown;
    }

    private static function itemRowsSet(array $p, CRestServer $s): array
    {
        [$type, $id] = self::owner($p);
        $upper = static fn($row) => array_combine(array_map(CCrmImport::upper(...), array_keys($row)), $row);
        self::rowsSet($type, $id, array_map($upper, (array)($p['productRows'] ?? [])));
        return ['productRows' => array_map(self::productRow(...), self::rows($type, $id))];
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

    public static function tableColumns(string $table): array
    {
        static $known = [];
        return $known[$table] ??= DB::col('SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME=? ORDER BY ORDINAL_POSITION', $table);
    }

    public static function tableWhere(string $table, array $filter): string
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

    public static function tableSelect(string $table, array $p, string $extra = '', string $key = '', ?callable $show = null): RestPage
    {
        $columns = self::tableColumns($table);
        $where = self::tableWhere($table, (array)($p['filter'] ?? [])) . $extra;
        $start = RestPage::start($p);
        $sort = [];
        foreach (RestPage::order($p) as $name => $way) {
            if (isset($columns[$name])) {
                $sort[] = "`$name` " . (strtoupper((string)$way) === 'DESC' ? 'DESC' : 'ASC');
            }
        }
        $rows = DB::rows("SELECT * FROM $table WHERE $where ORDER BY " . (implode(',', $sort) ?: '1') . ' LIMIT ' . max(0, $start) . ', ' . RestPage::SIZE);
        $rows = array_map(static fn($row) => ($show ?? static fn($r) => $r)(self::tableShow($columns, $row)), $rows);
        return new RestPage($rows, $start < 0 ? null : (int)DB::val("SELECT COUNT(*) FROM $table WHERE $where"), $start, $key);
    }

    public static function tableShow(array $columns, array $row): array
    {
        return array_combine(array_keys($row), array_map(static fn($name, $v) => CCrm::show($v, $columns[$name]), array_keys($row), $row));
    }

    public static function tableStore(string $table, array $fields): array
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
}
