<?php
/** crm.item.* names of fields, and the rules of an import. */
final class CCrmImport
{
    private const NAMES = [
        'DATE_CREATE' => 'createdTime', 'DATE_MODIFY' => 'updatedTime', 'CREATED_BY_ID' => 'createdBy', 'MODIFY_BY_ID' => 'updatedBy', 'MOVED_TIME' => 'movedTime', 'MOVED_BY_ID' => 'movedBy',
        'STATUS_ID' => 'stageId', 'STAGE_ID' => 'stageId', 'STATUS_SEMANTIC_ID' => 'stageSemanticId', 'COMPANY_TYPE' => 'typeId'];
    private const SYSTEM = ['createdTime', 'updatedTime', 'movedTime', 'createdBy', 'updatedBy', 'movedBy'];

    /** Whether user fields go by the names of their columns (useOriginalUfNames). */
    public static bool $original = false;

    /** Column => name in crm.item.*, of the columns of a type. */
    public static function names(string $type): array
    {
        static $known = [];
        $key = $type . (self::$original ? '!' : '');
        if (!isset($known[$key])) {
            $columns = CCrm::columns($type);
            foreach (array_keys($columns['own'] + $columns['uf']) as $column) {
                $known[$key][$column] = self::NAMES[$column] ?? (self::$original && str_starts_with($column, 'UF_') ? $column : self::camel($column));
            }
        }
        return $known[$key];
    }

    /** UF_CRM_2_163 => ufCrm2_163, ASSIGNED_BY_ID => assignedById. */
    public static function camel(string $column): string
    {
        $camel = '';
        foreach (explode('_', strtolower($column)) as $part) {
            $glue = $camel !== '' && ctype_digit($part[0] ?? '') && ctype_digit(substr($camel, -1)) ? '_' : '';
            $camel .= $camel === '' ? $part : $glue . ucfirst($part);
        }
        return $camel;
    }

    /** assignedById => ASSIGNED_BY_ID; names in capitals stay as they are. */
    public static function upper(string $name): string
    {
        return strtoupper(preg_replace('/(?<=[a-z0-9])(?=[A-Z])/', '_', $name));
    }

    /** Fields of crm.item.* as the record's columns; unknown ones are ignored. */
    public static function columns(string $type, array $fields): array
    {
        $names = array_flip(self::names($type));
        $columns = [];
        foreach ($fields as $name => $value) {
            if ($name === 'fm') {
                foreach ((array)$value as $field) {
                    $columns[$field['typeId'] ?? 'PHONE'][] = array_change_key_case(['value' => $field['value'] ?? '', 'value_type' => $field['valueType'] ?? 'WORK'] + (isset($field['id']) ? ['id' => $field['id']] : []), CASE_UPPER);
                }
            } elseif ($name === 'contactIds' || $name === 'companyIds') {
                $columns[$name === 'contactIds' ? 'CONTACT_IDS' : 'COMPANY_IDS'] = $value;
            } else {
                $columns[$names[$name] ?? $name] = $value;
            }
        }
        return $columns;
    }

    /** Filter, order or select of crm.item.list: names translated, operators kept. */
    public static function keys(string $type, array $keyed): array
    {
        $names = array_flip(self::names($type));
        $out = [];
        foreach ($keyed as $key => $value) {
            preg_match('/^([!<>=%@?]*)(.*)$/', (string)$key, $m);
            $out[is_int($key) ? $key : $m[1] . ($names[$m[2]] ?? $m[2])] = is_int($key) && is_array($value) ? self::keys($type, $value) : $value;
        }
        return $out;
    }

    /** A stored row as crm.item.* shows it. */
    public static function item(string $type, array $row, array $multi): array
    {
        $columns = CCrm::columns($type);
        $kinds = CRestUserField::kinds($type);
        $item = [];
        foreach (self::names($type) as $column => $name) {
            $sql = $columns['own'][$column] ?? $columns['uf'][$column];
            if (($kinds[$column][0] ?? '') === 'file') {
                $item[$name] = CRestUserField::showFile(CCrm::show($row[$column] ?? null, $sql), $kinds[$column][1], true);
                continue;
            }
            $value = CCrm::show($row[$column] ?? null, $sql);
            $item[$name] = match (true) {
                !is_string($value) => $value,
                str_ends_with($sql, 'int') => $value === '' ? null : (int)$value,
                $sql === 'decimal' => (float)$value,
                default => $value,
            };
        }
        if (CCrm::TYPES[$type]['multi']) {
            $item['fm'] = [];
            foreach ($multi as $kind => $values) {
                foreach ($values as $v) {
                    $item['fm'][] = ['id' => (int)$v['ID'], 'typeId' => $kind, 'valueType' => $v['VALUE_TYPE'], 'value' => $v['VALUE']];
                }
            }
        }
        $item['entityTypeId'] = CCrm::TYPES[$type]['id'];
        return $item;
    }

    /** Times and authors come along only for an administrator, in order, and not from the future. */
    public static function import(string $type, array $fields, int $user): int
    {
        $system = [];
        foreach (self::SYSTEM as $name) {
            if (!isset($fields[$name])) {
                continue;
            }
            if (!CUser::isAdministrator($user)) {
                self::refuse($name);
            }
            $column = array_search($name, self::names($type), true);
            if ($column !== false) {
                $time = str_ends_with($name, 'Time') ? strtotime((string)$fields[$name]) : null;
                if ($time === false) {
                    self::refuse($name);
                }
                $system[$column] = $time === null ? (int)$fields[$name] : date('Y-m-d H:i:s', $time);
            }
        }
        $created = $system['DATE_CREATE'] ?? now();
        $updated = $system['DATE_MODIFY'] ?? max($created, $system['MOVED_TIME'] ?? $created);
        $latest = DB::val('SELECT MAX(DATE_CREATE) FROM ' . CCrm::TYPES[$type]['table']);
        match (true) {
            $created > now(), isset($system['DATE_CREATE']) && $latest !== null && $created < $latest => self::refuse('createdTime'),
            $updated > now(), $updated < $created => self::refuse('updatedTime'),
            isset($system['MOVED_TIME']) && ($system['MOVED_TIME'] < $created || $system['MOVED_TIME'] > $updated) => self::refuse('movedTime'),
            default => null,
        };
        return CCrm::add($type, self::columns($type, array_diff_key($fields, array_flip(self::SYSTEM))), $user, $system + ['DATE_CREATE' => $created, 'DATE_MODIFY' => $updated]);
    }

    private static function refuse(string $name): never
    {
        throw new RestError('CRM_FIELD_ERROR_VALUE_NOT_VALID', "Invalid value for field \"$name\"");
    }
}
