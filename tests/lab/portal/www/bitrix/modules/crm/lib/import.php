<?php
/** crm.item.* names of fields, and the rules of an import. */
final class CCrmImport
{
    private const NAMES = [
        'DATE_CREATE' => 'createdTime', 'DATE_MODIFY' => 'updatedTime', 'CREATED_BY_ID' => 'createdBy', 'MODIFY_BY_ID' => 'updatedBy', 'MOVED_TIME' => 'movedTime', 'MOVED_BY_ID' => 'movedBy',
        'STATUS_ID' => 'stageId', 'STAGE_ID' => 'stageId', 'STATUS_SEMANTIC_ID' => 'stageSemanticId', 'COMPANY_TYPE' => 'typeId'];
    private const SYSTEM = ['createdTime' => 'Created on', 'updatedTime' => 'Modified on', 'movedTime' => 'Moved on', 'createdBy' => 'Created by', 'updatedBy' => 'Modified by', 'movedBy' => 'Moved by'];
    private const GREATER = 'The value of the field "%s" cannot be greater than "%s"';

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

    /** UF_CRM_2_163 => ufCrm2_163, UF_CRM_163 => ufCrm_163, ASSIGNED_BY_ID => assignedById. */
    public static function camel(string $column): string
    {
        if (preg_match('/^UF_CRM(_\d+)$/', $column, $m)) {
            return "ufCrm$m[1]";
        }
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

    /** Fields of crm.item.* as the record's columns; unknown ones, and PHONE and the like, are ignored. */
    public static function columns(string $type, array $fields): array
    {
        $names = array_flip(self::names($type));
        $columns = [];
        foreach ($fields as $name => $value) {
            if ($name === 'fm') {
                // One field, or several: an index that is the identifier of one that is there means this one.
                foreach (isset($value['typeId']) ? [$value] : (array)$value as $key => $field) {
                    if (in_array($field['typeId'] ?? '', CCrm::MULTI, true) && isset($field['value'])) {
                        $columns[$field['typeId']][] = ['VALUE' => $field['value'], 'ID' => $key] + (isset($field['valueType']) ? ['VALUE_TYPE' => $field['valueType']] : []);
                    }
                }
            } elseif ($name === 'contactIds' || $name === 'companyIds') {
                $columns[$name === 'contactIds' ? 'CONTACT_IDS' : 'COMPANY_IDS'] = $value;
            } elseif (isset($names[$name])) {
                $columns[$names[$name]] = $value;
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
                $item[$name] = CRestUserField::showFile(CCrm::show($row[$column] ?? null, $sql), $kinds[$column][1], CCrm::TYPES[$type]['id'], (int)$row['ID'], $column);
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

    /**
     * Telephones and the like come as PHONE, EMAIL …; a key `fm` is refused by kinds that have them. Times and authors
     * come along only for an administrator, in order, and not from the future.
     */
    public static function import(string $type, array $fields, int $user): int
    {
        if (array_key_exists('fm', $fields) && CCrm::TYPES[$type]['multi']) {
            throw new RestError('0', 'Argument "fm" must be of type multi-field collection, array given');
        }
        $now = clock();
        $given = [];
        foreach (self::SYSTEM as $name => $title) {
            $column = array_search($name, self::names($type), true);
            if (($fields[$name] ?? '') === '' || $column === false) {
                continue;
            }
            $isTime = str_ends_with($name, 'Time');
            $value = $isTime ? strtotime((string)$fields[$name]) : (int)$fields[$name];
            if ($value === false) {
                self::refuse('The value of the field "%s" is not valid', $title);
            }
            // What would be so anyway counts as not given.
            if ($isTime ? abs($value - $now) <= 1 : $value === $user) {
                continue;
            }
            CUser::isAdministrator($user) || self::refuse('Only the administrator can change the field "%s"', $title);
            $given[$name] = $value;
        }
        $latest = DB::val('SELECT DATE_CREATE FROM ' . CCrm::TYPES[$type]['table'] . ' ORDER BY ID DESC LIMIT 1');
        $created = $given['createdTime'] ?? $now;
        $updated = $given['updatedTime'] ?? $created;
        match (true) {
            $created > $now => self::refuse(self::GREATER, self::SYSTEM['createdTime'], 'now'),
            isset($given['createdTime']) && $latest !== null && $created < strtotime($latest) => self::refuse('The value of the field "%s" cannot be less than that of any other items', self::SYSTEM['createdTime']),
            $updated > $now => self::refuse(self::GREATER, self::SYSTEM['updatedTime'], 'now'),
            $updated < $created => self::refuse(self::GREATER, self::SYSTEM['createdTime'], self::SYSTEM['updatedTime']),
            isset($given['movedTime']) && $given['movedTime'] < $created => self::refuse(self::GREATER, self::SYSTEM['createdTime'], self::SYSTEM['movedTime']),
            isset($given['movedTime']) && $given['movedTime'] > $updated => self::refuse(self::GREATER, self::SYSTEM['movedTime'], self::SYSTEM['updatedTime']),
            default => null,
        };
        $columns = array_flip(self::names($type));
        $system = ['LAST_ACTIVITY_TIME' => now()];
        foreach ($given + ['createdTime' => $created, 'updatedTime' => $updated] as $name => $value) {
            $system[$columns[$name]] = str_ends_with($name, 'Time') ? date('Y-m-d H:i:s', $value) : $value;
        }
        $multi = array_map(static fn($values) => array_filter((array)$values, is_array(...)), array_intersect_key($fields, array_flip(CCrm::MULTI)));
        return CCrm::add($type, $multi + self::columns($type, array_diff_key($fields, self::SYSTEM)), $user, $system);
    }

    private static function refuse(string $text, string ...$titles): never
    {
        throw new RestError('CRM_FIELD_ERROR_VALUE_NOT_VALID', CRestText::say($text, ...$titles));
    }
}
