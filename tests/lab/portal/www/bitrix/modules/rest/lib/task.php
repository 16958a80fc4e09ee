<?php
/** REST methods of tasks, their comments and checklists. */
final class CRestTask
{
    private const DATES = '/DATE|DEADLINE|_PLAN$/';
    private const FILTERS = ['ID', 'TITLE', 'STATUS', 'RESPONSIBLE_ID', 'CREATED_BY', 'CREATED_DATE', 'CHANGED_DATE', 'CLOSED_DATE', 'DEADLINE', 'GROUP_ID', 'PARENT_ID', 'XML_ID', 'PRIORITY'];
    private const SORTS = ['ID', 'TITLE', 'CREATED_DATE', 'CHANGED_DATE', 'DEADLINE', 'ACTIVITY_DATE'];
    private const LINKED = ['UF_CRM_TASK', 'UF_TASK_WEBDAV_FILES'];

    public static function methods(): array
    {
        $methods = [
            'tasks.task.list' => [self::list(...), 'task'],
            'tasks.task.get' => [static fn($p, $s) => ['task' => self::show(self::row(self::id($p)), self::select($p))], 'task'],
            'tasks.task.add' => [self::add(...), 'task'],
            'tasks.task.update' => [self::update(...), 'task'],
            'tasks.task.delete' => [self::delete(...), 'task'],
            'tasks.task.files.attach' => [self::attach(...), 'task'],
        ];
        foreach (['getlist', 'get', 'add', 'update', 'delete'] as $verb) {
            $methods["task.commentitem.$verb"] = [static fn($p, $s) => self::{'comment' . ucfirst($verb)}($p, $s), 'task'];
            $methods["task.checklistitem.$verb"] = [static fn($p, $s) => self::{'item' . ucfirst($verb)}($p, $s), 'task'];
        }
        foreach (['complete' => 'Y', 'renew' => 'N'] as $verb => $state) {
            $methods["task.checklistitem.$verb"] = [static fn($p, $s) => self::itemUpdate(['FIELDS' => ['IS_COMPLETE' => $state]] + $p, $s), 'task'];
        }
        return $methods;
    }

    private static function id(array $p): int
    {
        return (int)($p['taskId'] ?? $p['TASKID'] ?? $p['TASK_ID'] ?? $p['id'] ?? $p[0] ?? 0);
    }

    private static function row(int $id): array
    {
        return DB::row("SELECT * FROM b_tasks WHERE ID=? AND ZOMBIE='N'", $id) ?? throw new RestError('ERROR_CORE', 'Task not found or not accessible');
    }

    /** Names of the columns that are wanted; all that are stored when nothing is said. */
    private static function select(array $p): ?array
    {
        $names = array_map(static fn($n) => CCrmImport::upper((string)$n), array_values((array)($p['select'] ?? [])));
        return $names === [] ? null : $names;
    }

    private static function show(array $row, ?array $select = null): array
    {
        $shown = [];
        $all = $select === null || in_array('*', $select, true);
        foreach ($row as $name => $value) {
            if ($name !== 'ZOMBIE' && ($all || $name === 'ID' || in_array($name, $select, true))) {
                $shown[CCrmImport::camel($name)] = preg_match(self::DATES, $name) ? CCrm::show($value, 'datetime') : $value;
            }
        }
        if ($select !== null && array_intersect(self::LINKED, $select)) {
            // One of them brings the other.
            $linked = DB::row('SELECT * FROM b_uts_tasks_task WHERE VALUE_ID=?', $row['ID']) ?? [];
            foreach (self::LINKED as $name) {
                $value = (string)($linked[$name] ?? '');
                $shown[CCrmImport::camel($name)] = $value === '' ? [] : (@unserialize($value, ['allowed_classes' => false]) ?: []);
            }
        }
        $members = DB::rows('SELECT m.*, u.NAME, u.LAST_NAME, u.LOGIN, u.WORK_POSITION FROM b_tasks_member m LEFT JOIN b_user u ON u.ID=m.USER_ID WHERE m.TASK_ID=?', $row['ID']);
        $of = static fn($type) => array_values(array_map(static fn($m) => $m['USER_ID'], array_filter($members, static fn($m) => $m['TYPE'] === $type)));
        $shown += ($all || in_array('AUDITORS', $select, true) ? ['auditors' => $of('U')] : []) + ($all || in_array('ACCOMPLICES', $select, true) ? ['accomplices' => $of('A')] : []) + ['group' => []];
        foreach ($members as $m) {
            [$key, $column] = ['O' => ['creator', 'CREATED_BY'], 'R' => ['responsible', 'RESPONSIBLE_ID']][$m['TYPE']] ?? [null, ''];
            if ($key !== null && ($all || in_array($column, $select, true))) {
                $shown[$key] = ['id' => $m['USER_ID'], 'name' => CUser::name($m), 'link' => "/company/personal/user/{$m['USER_ID']}/", 'icon' => '', 'workPosition' => $m['WORK_POSITION']];
            }
        }
        return $shown;
    }

    private static function list(array $p, CRestServer $s): RestPage
    {
        $parts = ["ZOMBIE='N'"];
        foreach ((array)($p['filter'] ?? []) as $key => $value) {
            preg_match('/^([!<>=%@?]*)(.*)$/', (string)$key, $m);
            $name = CCrmImport::upper($m[2]) === 'REAL_STATUS' ? 'STATUS' : CCrmImport::upper($m[2]);
            if (in_array($name, self::FILTERS, true)) {
                $parts[] = sql_condition($name, $m[1], preg_match(self::DATES, $name) ? CCrm::store($value, 'datetime') : $value);
            }
        }
        $sort = [];
        foreach ((array)($p['order'] ?? []) as $name => $way) {
            $name = CCrmImport::upper((string)$name);
            if (in_array($name, self::SORTS, true)) {
                $sort[] = "$name " . (strtoupper((string)$way) === 'DESC' ? 'DESC' : 'ASC');
            }
        }
        $where = implode(' AND ', $parts);
        $start = RestPage::start($p);
        $select = self::select($p);
        $rows = DB::rows("SELECT * FROM b_tasks WHERE $where ORDER BY " . (implode(',', $sort) ?: 'ID DESC') . ' LIMIT ' . max(0, $start) . ', ' . RestPage::SIZE);
        return new RestPage(array_map(static fn($r) => self::show($r, $select), $rows), $start < 0 ? null : (int)DB::val("SELECT COUNT(*) FROM b_tasks WHERE $where"), $start, 'tasks');
    }

    private static function add(array $p, CRestServer $s): array
    {
        $fields = (array)($p['fields'] ?? []);
        if (($fields['TITLE'] ?? '') === '') {
            throw new RestError('ERROR_CORE', 'Task name is not specified');
        }
        if (!CUser::isAdministrator($s->user)) {
            unset($fields['CREATED_DATE'], $fields['CREATED_BY'], $fields['CLOSED_DATE']);
        }
        return ['task' => self::show(self::row(CTasks::add($fields, $s->user)))];
    }

    private static function update(array $p, CRestServer $s): array
    {
        CTasks::update((int)self::row(self::id($p))['ID'], (array)($p['fields'] ?? []), $s->user);
        return ['task' => self::show(self::row(self::id($p)))];
    }

    private static function delete(array $p, CRestServer $s): array
    {
        CTasks::delete((int)self::row(self::id($p))['ID']);
        return ['task' => true];
    }

    private static function attach(array $p, CRestServer $s): array
    {
        $task = (int)self::row(self::id($p))['ID'];
        $object = CDisk::object((int)($p['fileId'] ?? 0)) ?? throw new RestError('ERROR_CORE', 'File not found');
        $id = CDisk::attach('tasks', CTasks::FILES, $task, (int)$object['ID'], $s->user);
        CTasks::link($task, 'UF_TASK_WEBDAV_FILES', [...CTasks::linked($task, 'UF_TASK_WEBDAV_FILES'), $id]);
        return ['attachmentId' => $id];
    }

    // Comments

    private static function commentShow(array $rows): array
    {
        $files = CDisk::attached('forum', CTasks::COMMENT_FILES, array_column($rows, 'ID'));
        return array_map(static fn($m) => [
            'POST_MESSAGE_HTML' => null, 'ID' => $m['ID'], 'AUTHOR_ID' => $m['AUTHOR_ID'], 'AUTHOR_NAME' => $m['AUTHOR_NAME'], 'AUTHOR_EMAIL' => '', 'POST_DATE' => date('c', strtotime($m['POST_DATE'])), 'POST_MESSAGE' => $m['POST_MESSAGE'],
            'ATTACHED_OBJECTS' => CDisk::attachments($files[$m['ID']] ?? [])], $rows);
    }

    private static function commentGetlist(array $p, CRestServer $s): array
    {
        $rows = self::commentShow(CTasks::comments((int)self::row(self::id($p))['FORUM_TOPIC_ID']));
        $order = array_change_key_case((array)($p['ORDER'] ?? $p['order'] ?? []), CASE_UPPER);
        return strtolower((string)(reset($order) ?: 'desc')) === 'asc' ? $rows : array_reverse($rows);
    }

    private static function commentRow(array $p): array
    {
        $id = (int)($p['ITEMID'] ?? $p['itemId'] ?? $p[1] ?? 0);
        foreach (CTasks::comments((int)self::row(self::id($p))['FORUM_TOPIC_ID']) as $row) {
            if ((int)$row['ID'] === $id) {
                return $row;
            }
        }
        throw new RestError('ERROR_CORE', 'TASKS_ERROR_EXCEPTION_#8; Action failed; 8/TE/ACTION_FAILED_TO_BE_PROCESSED');
    }

    private static function commentGet(array $p, CRestServer $s): array
    {
        return self::commentShow([self::commentRow($p)])[0];
    }

    private static function commentAdd(array $p, CRestServer $s): int
    {
        $fields = (array)($p['FIELDS'] ?? $p['fields'] ?? $p[1] ?? []);
        $admin = CUser::isAdministrator($s->user);
        $id = CTasks::comment(self::id($p), (string)($fields['POST_MESSAGE'] ?? ''), $admin ? (int)($fields['AUTHOR_ID'] ?? $s->user) : $s->user, $admin ? CCrm::store($fields['POST_DATE'] ?? null, 'datetime') : null);
        CDisk::attachMany('forum', CTasks::COMMENT_FILES, $id, (array)($fields['UF_FORUM_MESSAGE_DOC'] ?? []), $s->user);
        return $id;
    }

    private static function commentUpdate(array $p, CRestServer $s): bool
    {
        $row = self::commentRow($p);
        $fields = (array)($p['FIELDS'] ?? $p['fields'] ?? $p[2] ?? []);
        DB::update('b_forum_message', ['POST_MESSAGE' => (string)($fields['POST_MESSAGE'] ?? $row['POST_MESSAGE'])], 'ID=?', $row['ID']);
        self::commented('UPDATE', $row, self::id($p));
        return true;
    }

    private static function commentDelete(array $p, CRestServer $s): bool
    {
        $row = self::commentRow($p);
        DB::q('DELETE FROM b_forum_message WHERE ID=?', $row['ID']);
        DB::q('UPDATE b_forum_topic SET POSTS=GREATEST(0, POSTS-1) WHERE ID=?', $row['TOPIC_ID']);
        CDisk::detach('forum', CTasks::COMMENT_FILES, (int)$row['ID']);
        self::commented('DELETE', $row, self::id($p));
        return true;
    }

    private static function commented(string $what, array $row, int $task): void
    {
        DB::q('UPDATE b_tasks SET ACTIVITY_DATE=? WHERE ID=?', now(), $task);
        CRestEvent::fire("ONTASKCOMMENT$what", ['FIELDS_BEFORE' => ['ID' => (int)$row['ID'], 'TASK_ID' => $task], 'FIELDS_AFTER' => ['ID' => (int)$row['ID'], 'TASK_ID' => $task, 'ACTION' => ['UPDATE' => 'EDIT', 'DELETE' => 'DEL'][$what]]]);
    }

    // Checklists

    private static function itemShow(array $row): array
    {
        $parent = (int)DB::val('SELECT PARENT_ID FROM b_tasks_checklist_items_tree WHERE CHILD_ID=? AND LEVEL=1', $row['ID']);
        return ['TOGGLED_DATE' => CCrm::show($row['TOGGLED_DATE'], 'datetime') ?? '', 'PARENT_ID' => (string)$parent] + $row + ['MEMBERS' => [], 'ATTACHMENTS' => []];
    }

    private static function itemGetlist(array $p, CRestServer $s): array
    {
        return array_map(self::itemShow(...), DB::rows('SELECT * FROM b_tasks_checklist_items WHERE TASK_ID=? ORDER BY ID DESC', self::row(self::id($p))['ID']));
    }

    private static function item(array $p): array
    {
        return DB::row('SELECT * FROM b_tasks_checklist_items WHERE TASK_ID=? AND ID=?', self::row(self::id($p))['ID'], (int)($p['ITEMID'] ?? $p['itemId'] ?? $p[1] ?? 0)) ?? throw new RestError('ERROR_CORE', 'TASKS_ERROR_EXCEPTION_#8; Item not found; 8/TE/ITEM_NOT_FOUND_OR_NOT_ACCESSIBLE');
    }

    private static function itemGet(array $p, CRestServer $s): array
    {
        return self::itemShow(self::item($p));
    }

    private static function itemFields(array $p, CRestServer $s, array $old): array
    {
        $fields = (array)($p['FIELDS'] ?? $p['fields'] ?? $p[2] ?? []);
        $row = [];
        foreach (['TITLE' => 'varchar', 'SORT_INDEX' => 'int'] as $name => $sql) {
            if (isset($fields[$name])) {
                $row[$name] = CCrm::store($fields[$name], $sql);
            }
        }
        foreach (['IS_COMPLETE', 'IS_IMPORTANT'] as $name) {
            if (isset($fields[$name])) {
                $row[$name] = in_array($fields[$name], ['Y', true, 1, '1'], true) ? 'Y' : 'N';
            }
        }
        if (isset($row['IS_COMPLETE']) && $row['IS_COMPLETE'] !== ($old['IS_COMPLETE'] ?? 'N')) {
            $row += ['TOGGLED_BY' => $s->user, 'TOGGLED_DATE' => now()];
        }
        return $row;
    }

    private static function itemAdd(array $p, CRestServer $s): int
    {
        $task = (int)self::row(self::id($p))['ID'];
        $row = self::itemFields($p, $s, []);
        if (($row['TITLE'] ?? '') === '') {
            throw new RestError('ERROR_CORE', 'TASKS_ERROR_EXCEPTION_#256; Param TITLE is empty');
        }
        $given = ((array)($p['FIELDS'] ?? $p['fields'] ?? $p[2] ?? []))['PARENT_ID'] ?? null;
        $lists = DB::col('SELECT i.ID FROM b_tasks_checklist_items i WHERE i.TASK_ID=? AND NOT EXISTS (SELECT 1 FROM b_tasks_checklist_items_tree t WHERE t.CHILD_ID=i.ID AND t.LEVEL>0) ORDER BY i.SORT_INDEX, i.ID', $task);
        // An item without a parent goes into the task's first list; one whose parent is nowhere is a new list itself.
        $parent = match (true) {
            $given === null => (int)($lists[0] ?? self::itemInsert(['TITLE' => 'BX_CHECKLIST_1', 'TASK_ID' => $task, 'CREATED_BY' => $s->user, 'SORT_INDEX' => 0], 0)),
            default => (int)DB::val('SELECT ID FROM b_tasks_checklist_items WHERE ID=? AND TASK_ID=?', (int)$given, $task),
        };
        $id = self::itemInsert($row + ['TASK_ID' => $task, 'CREATED_BY' => $s->user, 'SORT_INDEX' => 0], $parent);
        CTasks::touch($task, $s->user);
        return $id;
    }

    /** An item with its place in the tree: a row for each item above it, and one for itself. */
    private static function itemInsert(array $row, int $parent): int
    {
        $id = DB::insert('b_tasks_checklist_items', $row);
        DB::q('INSERT INTO b_tasks_checklist_items_tree (PARENT_ID, CHILD_ID, LEVEL) SELECT PARENT_ID, ?, LEVEL+1 FROM b_tasks_checklist_items_tree WHERE CHILD_ID=? UNION ALL SELECT ?, ?, 0', $id, $parent, $id, $id);
        return $id;
    }

    private static function itemUpdate(array $p, CRestServer $s): bool
    {
        $row = self::item($p);
        DB::update('b_tasks_checklist_items', self::itemFields($p, $s, $row), 'ID=?', $row['ID']);
        CTasks::touch((int)$row['TASK_ID'], $s->user);
        return true;
    }

    private static function itemDelete(array $p, CRestServer $s): bool
    {
        $row = self::item($p);
        $below = DB::col('SELECT CHILD_ID FROM b_tasks_checklist_items_tree WHERE PARENT_ID=?', $row['ID']);
        DB::q('DELETE FROM b_tasks_checklist_items WHERE ID IN (?)', $below);
        DB::q('DELETE FROM b_tasks_checklist_items_tree WHERE CHILD_ID IN (?)', $below);
        CTasks::touch((int)$row['TASK_ID'], $s->user);
        return true;
    }
}
