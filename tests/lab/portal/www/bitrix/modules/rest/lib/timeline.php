<?php
/** REST methods of activities, their bindings, and the timeline's comments. */
final class CRestTimeline
{
    public static function methods(): array
    {
        $methods = [];
        foreach (['list', 'get', 'add', 'update', 'delete'] as $verb) {
            $methods["crm.activity.$verb"] = [static fn($p, $s) => self::{'activity' . ucfirst($verb)}($p, $s), 'crm'];
            $methods["crm.timeline.comment.$verb"] = [static fn($p, $s) => self::{'comment' . ucfirst($verb)}($p, $s), 'crm'];
        }
        foreach (['list', 'add', 'delete'] as $verb) {
            $methods["crm.activity.binding.$verb"] = [static fn($p, $s) => self::{'binding' . ucfirst($verb)}($p), 'crm'];
        }
        return $methods;
    }

    // Activities

    private static function activityShow(array $rows, bool $files, bool $communications, CRestServer $s): array
    {
        $found = [];
        foreach ($rows && $communications ? DB::rows('SELECT * FROM b_crm_act_comm WHERE ACTIVITY_ID IN (?) ORDER BY ID', array_map(intval(...), array_column($rows, 'ID'))) : [] as $c) {
            $found[$c['ACTIVITY_ID']][] = $c;
        }
        foreach ($rows as &$row) {
            if ($communications) {
                $row['COMMUNICATIONS'] = $found[$row['ID']] ?? [];
            }
            if ($files) {
                $row['FILES'] = array_map(static fn($id) => ['id' => $id, 'url' => "/bitrix/tools/crm_show_file.php?fileId=$id&ownerTypeId=6&ownerId={$row['ID']}&auth=" . rawurlencode($s->app['APPLICATION_TOKEN'] ?? '')], CCrmActivity::fileIds($row));
            }
            $row['SETTINGS'] = @unserialize((string)$row['SETTINGS'], ['allowed_classes' => false]) ?: [];
            unset($row['STORAGE_ELEMENT_IDS']);
        }
        return $rows;
    }

    /** Communications and files come only where they are selected by name, and with a single activity. */
    private static function activityList(array $p, CRestServer $s, bool $whole = false): RestPage
    {
        $filter = (array)($p['filter'] ?? []);
        $extra = '';
        foreach ((array)($filter['BINDINGS'] ?? []) as $b) {
            $parts = ['1=1'];
            foreach (['OWNER_TYPE_ID', 'OWNER_ID'] as $name) {
                if (isset($b[$name])) {
                    $parts[] = "$name=" . (int)$b[$name];
                }
            }
            $extra .= ' AND ID IN (SELECT ACTIVITY_ID FROM b_crm_act_bind WHERE ' . implode(' AND ', $parts) . ')';
        }
        $columns = CRestCrm::tableColumns('b_crm_act');
        $where = CRestCrm::tableWhere('b_crm_act', $filter) . $extra;
        $start = RestPage::start($p);
        $sort = [];
        foreach (RestPage::order($p) as $name => $way) {
            if (isset($columns[$name])) {
                $sort[] = "`$name` " . (strtoupper((string)$way) === 'DESC' ? 'DESC' : 'ASC');
            }
        }
        $raw = DB::rows("SELECT * FROM b_crm_act WHERE $where ORDER BY " . (implode(',', $sort) ?: 'START_TIME, ID') . ' LIMIT ' . max(0, $start) . ', ' . RestPage::SIZE);
        $rows = array_map(static fn($row) => array_merge(CRestCrm::tableShow($columns, $row), ['STORAGE_ELEMENT_IDS' => $row['STORAGE_ELEMENT_IDS'], 'SETTINGS' => $row['SETTINGS']]), $raw);
        $select = (array)($p['select'] ?? []);
        $rows = self::activityShow($rows, $whole || in_array('FILES', $select, true), $whole || in_array('COMMUNICATIONS', $select, true), $s);
        if ($select && !in_array('*', $select, true)) {
            $wanted = array_flip($select) + ['ID' => 1];
            $rows = array_map(static fn($row) => array_intersect_key($row, $wanted), $rows);
        }
        return new RestPage($rows, $start < 0 ? null : (int)DB::val("SELECT COUNT(*) FROM b_crm_act WHERE $where"), $start);
    }

    private static function activityGet(array $p, CRestServer $s): array
    {
        $found = self::activityList(['filter' => ['ID' => CRestCrm::id($p)], 'start' => -1], $s, true)->answer()['result'];
        return $found[0] ?? throw new RestError('', 'Not found');
    }

    private static function activityAdd(array $p, CRestServer $s): int
    {
        $fields = (array)($p['fields'] ?? []);
        $row = array_diff_key(CRestCrm::tableStore('b_crm_act', $fields), ['CREATED' => 1, 'LAST_UPDATED' => 1, 'AUTHOR_ID' => 1, 'EDITOR_ID' => 1]);
        $row += self::files($fields, $s);
        $bindings = array_map(static fn($b) => [(int)$b['OWNER_TYPE_ID'], (int)$b['OWNER_ID']], (array)($fields['BINDINGS'] ?? []));
        return CCrmActivity::add($row, $bindings, (array)($fields['COMMUNICATIONS'] ?? []), $s->user);
    }

    private static function activityUpdate(array $p, CRestServer $s): bool
    {
        $fields = (array)($p['fields'] ?? []);
        $row = array_diff_key(CRestCrm::tableStore('b_crm_act', $fields), ['CREATED' => 1, 'LAST_UPDATED' => 1, 'AUTHOR_ID' => 1, 'EDITOR_ID' => 1]);
        return CCrmActivity::update(CRestCrm::id($p), self::files($fields, $s) + $row, $s->user) ?: throw new RestError('', 'Not found');
    }

    private static function files(array $fields, CRestServer $s): array
    {
        $objects = [];
        foreach ((array)($fields['FILES'] ?? []) as $file) {
            [$name, $content] = array_pad((array)($file['fileData'] ?? []), 2, '');
            $objects[] = CDisk::addFile(CDisk::commonStorage(), (string)$name, (string)base64_decode((string)$content), $s->user, 'crm');
        }
        return $objects ? ['STORAGE_TYPE_ID' => 3, 'STORAGE_ELEMENT_IDS' => serialize($objects)] : [];
    }

    private static function activityDelete(array $p, CRestServer $s): bool
    {
        return CCrmActivity::delete(CRestCrm::id($p)) ?: throw new RestError('', 'Not found');
    }

    private static function activity(array $p): int
    {
        $id = (int)($p['activityId'] ?? 0);
        return DB::val('SELECT 1 FROM b_crm_act WHERE ID=?', $id) ? $id : throw new RestError('NOT_FOUND', 'Element not found');
    }

    private static function bindingList(array $p): array
    {
        return array_map(static fn($b) => ['entityTypeId' => (int)$b['OWNER_TYPE_ID'], 'entityId' => (int)$b['OWNER_ID']], DB::rows('SELECT * FROM b_crm_act_bind WHERE ACTIVITY_ID=? ORDER BY ID', self::activity($p)));
    }

    private static function bindingAdd(array $p): bool
    {
        $id = self::activity($p);
        $type = CCrm::typeById((int)($p['entityTypeId'] ?? 0)) ?? throw new RestError('OWNER_NOT_FOUND', 'Owner was not found');
        if (!DB::val('SELECT 1 FROM ' . CCrm::TYPES[$type]['table'] . ' WHERE ID=?', (int)($p['entityId'] ?? 0))) {
            throw new RestError('OWNER_NOT_FOUND', 'Owner was not found');
        }
        if (!CCrmActivity::bind($id, CCrm::TYPES[$type]['id'], (int)$p['entityId'])) {
            throw new RestError('ACTIVITY_IS_ALREADY_BOUND', 'Activity is already bound to this owner');
        }
        return true;
    }

    private static function bindingDelete(array $p): bool
    {
        $id = self::activity($p);
        if ((int)DB::val('SELECT COUNT(*) FROM b_crm_act_bind WHERE ACTIVITY_ID=?', $id) < 2) {
            throw new RestError('LAST_BINDING_CANNOT_BE_DELETED', 'The last binding cannot be deleted');
        }
        DB::q('DELETE FROM b_crm_act_bind WHERE ACTIVITY_ID=? AND OWNER_TYPE_ID=? AND OWNER_ID=?', $id, (int)($p['entityTypeId'] ?? 0), (int)($p['entityId'] ?? 0));
        return DB::$link->affected_rows > 0 ?: throw new RestError('BINDING_NOT_FOUND', 'Binding was not found');
    }

    // Comments

    private static function commentShow(array $rows): array
    {
        $types = array_column(array_map(null, array_keys(CCrm::TYPES), array_column(CCrm::TYPES, 'id')), 0, 1);
        $files = CDisk::attached('crm', CCrmActivity::COMMENT_FILES, array_column($rows, 'ID'));
        return array_map(static function (array $r) use ($types, $files): array {
            $shown = [
                'ID' => $r['ID'], 'ENTITY_ID' => $r['ENTITY_ID'], 'ENTITY_TYPE' => $types[$r['ENTITY_TYPE_ID']] ?? $r['ENTITY_TYPE_ID'], 'CREATED' => date('c', strtotime($r['CREATED'])),
                'COMMENT' => $r['COMMENT'], 'AUTHOR_ID' => $r['AUTHOR_ID']];
            foreach ($files[$r['ID']] ?? [] as $f) {
                $url = CDisk::url((int)$f['OBJECT_ID']);
                $shown['FILES'][(int)$f['OBJECT_ID']] = ['id' => (int)$f['OBJECT_ID'], 'date' => date('c', strtotime($f['CREATE_TIME'])), 'type' => 'file', 'name' => $f['NAME'], 'size' => (int)$f['SIZE'], 'authorId' => (int)$f['CREATED_BY'], 'urlShow' => $url, 'urlDownload' => $url];
            }
            return $shown;
        }, $rows);
    }

    private static function commentSelect(string $where, string $order, int $offset): array
    {
        return self::commentShow(DB::rows('SELECT t.*, b.ENTITY_ID, b.ENTITY_TYPE_ID FROM b_crm_timeline t JOIN b_crm_timeline_bind b ON b.OWNER_ID=t.ID WHERE t.TYPE_ID=' . CCrmActivity::TIMELINE_COMMENT . " AND $where ORDER BY $order LIMIT $offset, " . RestPage::SIZE));
    }

    private static function commentList(array $p, CRestServer $s): RestPage
    {
        $filter = (array)($p['filter'] ?? []);
        $type = CCrm::TYPES[strtolower((string)($filter['ENTITY_TYPE'] ?? $filter['=ENTITY_TYPE'] ?? ''))]['id'] ?? throw new RestError('', 'ENTITY_TYPE is not defined or invalid.');
        $entity = (int)($filter['ENTITY_ID'] ?? $filter['=ENTITY_ID'] ?? 0) ?: throw new RestError('', 'ENTITY_ID is not defined or invalid.');
        $where = "b.ENTITY_TYPE_ID=$type AND b.ENTITY_ID=$entity";
        $order = [];
        foreach ((array)($p['order'] ?? []) as $name => $way) {
            if (in_array($name, ['ID', 'CREATED', 'AUTHOR_ID'], true)) {
                $order[] = "t.$name " . (strtoupper((string)$way) === 'DESC' ? 'DESC' : 'ASC');
            }
        }
        $start = RestPage::start($p);
        $total = $start < 0 ? null : (int)DB::val('SELECT COUNT(*) FROM b_crm_timeline t JOIN b_crm_timeline_bind b ON b.OWNER_ID=t.ID WHERE t.TYPE_ID=' . CCrmActivity::TIMELINE_COMMENT . " AND $where");
        return new RestPage(self::commentSelect($where, implode(',', $order) ?: 't.ID', max(0, $start)), $total, $start);
    }

    private static function commentGet(array $p, CRestServer $s): array
    {
        return self::commentSelect('t.ID=' . CRestCrm::id($p), 't.ID', 0)[0] ?? throw new RestError('', 'Not found');
    }

    private static function commentAdd(array $p, CRestServer $s): int
    {
        $fields = (array)($p['fields'] ?? []);
        $type = CCrm::TYPES[strtolower((string)($fields['ENTITY_TYPE'] ?? ''))] ?? throw new RestError('', 'ENTITY_TYPE is not defined or invalid.');
        if (($fields['COMMENT'] ?? '') === '' || !DB::val("SELECT 1 FROM {$type['table']} WHERE ID=?", (int)($fields['ENTITY_ID'] ?? 0))) {
            throw new RestError('', 'Comment is empty or its entity was not found');
        }
        $author = CUser::isAdministrator($s->user) ? (int)($fields['AUTHOR_ID'] ?? $s->user) : $s->user;
        $id = CCrmActivity::comment($type['id'], (int)$fields['ENTITY_ID'], (string)$fields['COMMENT'], $author);
        self::attach($id, (array)($fields['FILES'] ?? []), $s);
        return $id;
    }

    private static function attach(int $id, array $files, CRestServer $s): void
    {
        foreach ($files as $file) {
            [$name, $content] = array_pad(array_values((array)$file), 2, '');
            CDisk::attach('crm', CCrmActivity::COMMENT_FILES, $id, CDisk::addFile(CDisk::commonStorage(), (string)$name, (string)base64_decode((string)$content), $s->user, 'crm'), $s->user);
        }
    }

    private static function commentUpdate(array $p, CRestServer $s): bool
    {
        self::commentGet($p, $s);
        $id = CRestCrm::id($p);
        $fields = (array)($p['fields'] ?? []);
        if (isset($fields['COMMENT'])) {
            DB::update('b_crm_timeline', ['COMMENT' => (string)$fields['COMMENT']], 'ID=?', $id);
        }
        if (isset($fields['FILES'])) {
            CDisk::detach('crm', CCrmActivity::COMMENT_FILES, $id);
            self::attach($id, (array)$fields['FILES'], $s);
        }
        CRestEvent::fire('ONCRMTIMELINECOMMENTUPDATE', ['ID' => $id]);
        return true;
    }

    private static function commentDelete(array $p, CRestServer $s): bool
    {
        self::commentGet($p, $s);
        $id = CRestCrm::id($p);
        DB::q('DELETE FROM b_crm_timeline WHERE ID=?', $id);
        DB::q('DELETE FROM b_crm_timeline_bind WHERE OWNER_ID=?', $id);
        CDisk::detach('crm', CCrmActivity::COMMENT_FILES, $id);
        CRestEvent::fire('ONCRMTIMELINECOMMENTDELETE', ['ID' => $id]);
        return true;
    }
}
