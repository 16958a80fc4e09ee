<?php
/** User fields of CRM records: their descriptions, and values of the kind "file". */
final class CRestUserField
{
    private const COLUMNS = ['integer' => 'int', 'double' => 'decimal(18,4)', 'datetime' => 'datetime', 'date' => 'date', 'boolean' => 'int', 'enumeration' => 'int', 'employee' => 'int', 'crm_status' => 'varchar(50)', 'file' => 'int'];
    private const KINDS = ['string', 'integer', 'double', 'date', 'datetime', 'boolean', 'file', 'enumeration', 'url', 'address', 'money', 'employee', 'crm', 'crm_status', 'iblock_section', 'iblock_element'];

    /** Name => [kind, multiple, ID] of a type's user fields. */
    public static function kinds(string $type): array
    {
        static $known = [];
        $key = "crm_userfields_$type";
        if (!isset($known[$type])) {
            $known[$type] = ManagedCache::get($key);
            if ($known[$type] === null) {
                $known[$type] = [];
                foreach (DB::rows('SELECT * FROM b_user_field WHERE ENTITY_ID=?', self::entity($type)) as $row) {
                    $known[$type][$row['FIELD_NAME']] = [$row['USER_TYPE_ID'], $row['MULTIPLE'] === 'Y', (int)$row['ID']];
                }
                ManagedCache::set($key, $known[$type], 3600);
            }
        }
        return $known[$type];
    }

    private static function entity(string $type): string
    {
        return 'CRM_' . CCrm::TYPES[$type]['name'];
    }

    /** What crm.item.fields and crm.TYPE.fields say of a user field beyond what its column says. */
    public static function describe(string $type, string $column): array
    {
        if (!isset(self::kinds($type)[$column])) {
            return [];
        }
        [$kind, $multiple, $id] = self::kinds($type)[$column];
        $described = ['type' => $kind, 'isMultiple' => $multiple, 'isDynamic' => true, 'title' => self::label($id) ?: $column];
        return $kind === 'enumeration' ? $described + ['items' => array_map(static fn($i) => ['ID' => $i['ID'], 'VALUE' => $i['VALUE']], self::items($id))] : $described;
    }

    private static function label(int $id): string
    {
        $settings = @unserialize((string)DB::val('SELECT SETTINGS FROM b_user_field WHERE ID=?', $id), ['allowed_classes' => false]);
        return (string)($settings['EDIT_FORM_LABEL'] ?? '');
    }

    private static function items(int $id): array
    {
        return DB::rows('SELECT ID, SORT, VALUE, DEF, XML_ID FROM b_user_field_enum WHERE USER_FIELD_ID=? ORDER BY SORT, ID', $id);
    }

    private static function show(array $row): array
    {
        $settings = @unserialize((string)$row['SETTINGS'], ['allowed_classes' => false]) ?: [];
        $shown = array_intersect_key($row, array_flip(['ID', 'ENTITY_ID', 'FIELD_NAME', 'USER_TYPE_ID', 'XML_ID', 'SORT', 'MULTIPLE', 'MANDATORY', 'SHOW_FILTER']));
        return $shown + ['EDIT_FORM_LABEL' => $settings['EDIT_FORM_LABEL'] ?? '', 'SETTINGS' => array_diff_key($settings, ['EDIT_FORM_LABEL' => 1])]
            + ($row['USER_TYPE_ID'] === 'enumeration' ? ['LIST' => self::items((int)$row['ID'])] : []);
    }

    public static function list(string $type, array $p, CRestServer $s): RestPage
    {
        return CRestCrm::tableSelect('b_user_field', ['filter' => ['ENTITY_ID' => self::entity($type)] + (array)($p['filter'] ?? []), 'order' => (array)($p['order'] ?? []) ?: ['ID' => 'ASC']] + $p, '', '', static fn($row) => array_diff_key(self::show($row), ['EDIT_FORM_LABEL' => 1]));
    }

    private static function row(string $type, array $p): array
    {
        return DB::row('SELECT * FROM b_user_field WHERE ENTITY_ID=? AND ID=?', self::entity($type), CRestCrm::id($p)) ?? throw new RestError('ERROR_NOT_FOUND', 'The entity with ID is not found.');
    }

    public static function get(string $type, array $p, CRestServer $s): array
    {
        return self::show(self::row($type, $p));
    }

    public static function add(string $type, array $p, CRestServer $s): int
    {
        $s->needAdmin();
        $fields = (array)($p['fields'] ?? []);
        $name = 'UF_CRM_' . preg_replace('/^UF_CRM_/', '', strtoupper((string)($fields['FIELD_NAME'] ?? '')));
        $kind = (string)($fields['USER_TYPE_ID'] ?? 'string');
        if (!preg_match('/^UF_CRM_[A-Z0-9_]{1,13}$/', $name) || isset(CCrm::columns($type)['uf'][$name])) {
            throw new RestError('ERROR_CORE', "User field $name exists or has no valid name");
        }
        if (!in_array($kind, self::KINDS, true)) {
            throw new RestError('ERROR_CORE', "The user type '$kind' is not supported");
        }
        $multiple = ($fields['MULTIPLE'] ?? 'N') === 'Y';
        DB::q("ALTER TABLE b_uts_crm_$type ADD `$name` " . ($multiple ? 'text' : self::COLUMNS[$kind] ?? 'text'));
        $settings = (array)($fields['SETTINGS'] ?? []) + ['EDIT_FORM_LABEL' => self::labelOf($fields)];
        $id = DB::insert('b_user_field', [
            'ENTITY_ID' => self::entity($type), 'FIELD_NAME' => $name, 'USER_TYPE_ID' => $kind, 'XML_ID' => (string)($fields['XML_ID'] ?? ''), 'SORT' => (int)($fields['SORT'] ?? 100), 'MULTIPLE' => $multiple ? 'Y' : 'N',
            'MANDATORY' => ($fields['MANDATORY'] ?? 'N') === 'Y' ? 'Y' : 'N', 'SETTINGS' => serialize($settings)]);
        self::saveItems($id, (array)($fields['LIST'] ?? []));
        self::forget($type);
        return $id;
    }

    private static function labelOf(array $fields): string
    {
        $label = $fields['EDIT_FORM_LABEL'] ?? $fields['LABEL'] ?? '';
        return is_array($label) ? (string)reset($label) : (string)$label;
    }

    private static function saveItems(int $id, array $items): void
    {
        foreach ($items as $i => $item) {
            $known = (int)($item['ID'] ?? 0);
            $row = ['VALUE' => (string)($item['VALUE'] ?? ''), 'SORT' => (int)($item['SORT'] ?? 10 * ((int)$i + 1)), 'DEF' => ($item['DEF'] ?? 'N') === 'Y' ? 'Y' : 'N', 'XML_ID' => (string)($item['XML_ID'] ?? '') ?: bin2hex(random_bytes(16))];
            if ($known && ($item['DEL'] ?? 'N') === 'Y') {
                DB::q('DELETE FROM b_user_field_enum WHERE ID=? AND USER_FIELD_ID=?', $known, $id);
            } elseif ($known) {
                DB::update('b_user_field_enum', array_intersect_key($row, $item), 'ID=? AND USER_FIELD_ID=?', $known, $id);
            } else {
                DB::insert('b_user_field_enum', $row + ['USER_FIELD_ID' => $id]);
            }
        }
    }

    public static function update(string $type, array $p, CRestServer $s): bool
    {
        $s->needAdmin();
        $row = self::row($type, $p);
        $fields = (array)($p['fields'] ?? []);
        $change = array_intersect_key($fields, ['SORT' => 1, 'MANDATORY' => 1, 'XML_ID' => 1, 'SHOW_FILTER' => 1]);
        if (isset($fields['EDIT_FORM_LABEL']) || isset($fields['LABEL'])) {
            $change['SETTINGS'] = serialize(['EDIT_FORM_LABEL' => self::labelOf($fields)] + (@unserialize((string)$row['SETTINGS'], ['allowed_classes' => false]) ?: []));
        }
        DB::update('b_user_field', $change, 'ID=?', $row['ID']);
        self::saveItems((int)$row['ID'], (array)($fields['LIST'] ?? []));
        self::forget($type);
        return true;
    }

    public static function delete(string $type, array $p, CRestServer $s): bool
    {
        $s->needAdmin();
        $row = self::row($type, $p);
        DB::q("ALTER TABLE b_uts_crm_$type DROP `{$row['FIELD_NAME']}`");
        DB::q('DELETE FROM b_user_field_enum WHERE USER_FIELD_ID=?', $row['ID']);
        DB::q('DELETE FROM b_user_field WHERE ID=?', $row['ID']);
        self::forget($type);
        return true;
    }

    private static function forget(string $type): void
    {
        ManagedCache::clean("crm_columns_$type");
        ManagedCache::clean("crm_userfields_$type");
    }

    // Files

    /** A value as it comes in: `[name, base64]` or `{fileData: […]}` is a new file, `{id: …}` one that is there, `{remove: Y}` none. */
    public static function takeFile(mixed $value, bool $multiple): int|array|null
    {
        if ($multiple) {
            return array_values(array_filter(array_map(static fn($v) => self::takeFile($v, false), (array)$value)));
        }
        if (!is_array($value)) {
            return (int)$value ?: null;
        }
        $data = $value['fileData'] ?? (isset($value[0], $value[1]) ? $value : null);
        if ($data !== null && ($data[0] ?? '') !== '') {
            return CFile::save((string)base64_decode((string)$data[1]), (string)$data[0], 'crm');
        }
        return isset($value['id']) && ($value['remove'] ?? 'N') !== 'Y' ? (int)$value['id'] : null;
    }

    /** A stored value as crm.item.* shows it: `url` for a browser, `urlMachine` for this caller. */
    public static function showFile(mixed $value, bool $multiple, int $type, int $owner, string $name): ?array
    {
        if ($multiple) {
            return array_map(static fn($id) => self::showFile($id, false, $type, $owner, $name), is_array($value) ? array_values($value) : []);
        }
        $id = (int)$value;
        $url = '/bitrix/services/main/ajax.php?' . http_build_query(['action' => 'crm.controller.item.getFile', 'SITE_ID' => 's1', 'entityTypeId' => $type, 'id' => $owner, 'fieldName' => $name, 'fileId' => $id]);
        return $id === 0 ? null : ['id' => $id, 'url' => $url, 'urlMachine' => CRestFile::field($type, $owner, $name, $id)];
    }
}
