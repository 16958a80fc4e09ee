<?php
/** Tasks, and their comments: messages of the forum that option tasks.task_forum_id names. */
final class CTasks
{
    public const FILES = 'Bitrix\\Tasks\\Integration\\Disk\\Connector\\Task';
    public const COMMENT_FILES = 'Bitrix\\Disk\\Uf\\ForumMessageConnector';
    private const COLUMNS = ['TITLE', 'DESCRIPTION', 'PRIORITY', 'STATUS', 'RESPONSIBLE_ID', 'DEADLINE', 'START_DATE_PLAN', 'END_DATE_PLAN', 'CREATED_BY', 'CREATED_DATE', 'CLOSED_DATE', 'PARENT_ID', 'GROUP_ID', 'XML_ID', 'MARK'];

    public static function forum(): int
    {
        return (int)COption::GetOptionString('tasks', 'task_forum_id', '0');
    }

    public static function add(array $fields, int $user): int
    {
        $row = self::store($fields);
        $row += ['CREATED_BY' => $user, 'RESPONSIBLE_ID' => $user, 'CREATED_DATE' => now(), 'STATUS' => '2', 'PRIORITY' => '1', 'SITE_ID' => 's1', 'GUID' => '{' . bin2hex(random_bytes(16)) . '}'];
        $row += ['CHANGED_BY' => $row['CREATED_BY'], 'CHANGED_DATE' => $row['CREATED_DATE'], 'ACTIVITY_DATE' => $row['CREATED_DATE']];
        $id = DB::insert('b_tasks', $row);
        $members = ['O' => [(int)$row['CREATED_BY']], 'R' => [(int)$row['RESPONSIBLE_ID']], 'A' => (array)($fields['ACCOMPLICES'] ?? []), 'U' => (array)($fields['AUDITORS'] ?? [])];
        foreach ($members as $type => $people) {
            foreach ($people as $person) {
                DB::insert('b_tasks_member', ['TASK_ID' => $id, 'USER_ID' => (int)$person, 'TYPE' => $type], true);
            }
        }
        self::linkAll($id, $fields, $user);
        CSearch::index('tasks', (string)$id, (string)$row['TITLE'], (string)($row['DESCRIPTION'] ?? ''), self::path((int)$row['RESPONSIBLE_ID'], $id), 'TASK');
        CIMNotify::Add((int)$row['RESPONSIBLE_ID'], (int)$row['CREATED_BY'], 'tasks', 'New task [URL=' . self::path((int)$row['RESPONSIBLE_ID'], $id) . ']' . $row['TITLE'] . '[/URL]');
        CRestEvent::fire('ONTASKADD', ['FIELDS_AFTER' => ['ID' => $id]]);
        return $id;
    }

    public static function update(int $id, array $fields, int $user): bool
    {
        $old = DB::row('SELECT * FROM b_tasks WHERE ID=?', $id);
        if ($old === null) {
            return false;
        }
        $row = self::store($fields);
        if (isset($row['STATUS']) && $row['STATUS'] !== $old['STATUS']) {
            $row += ['STATUS_CHANGED_BY' => $user, 'STATUS_CHANGED_DATE' => now()] + ($row['STATUS'] === '5' ? ['CLOSED_BY' => $user, 'CLOSED_DATE' => now()] : ['CLOSED_BY' => null, 'CLOSED_DATE' => null]);
        }
        DB::update('b_tasks', $row + ['CHANGED_BY' => $user, 'CHANGED_DATE' => now(), 'ACTIVITY_DATE' => now()], 'ID=?', $id);
        $fields = array_change_key_case($fields, CASE_UPPER);
        foreach (['RESPONSIBLE_ID' => 'R', 'ACCOMPLICES' => 'A', 'AUDITORS' => 'U'] as $name => $type) {
            if (isset($fields[$name])) {
                DB::q('DELETE FROM b_tasks_member WHERE TASK_ID=? AND TYPE=?', $id, $type);
                foreach ((array)$fields[$name] as $person) {
                    DB::insert('b_tasks_member', ['TASK_ID' => $id, 'USER_ID' => (int)$person, 'TYPE' => $type], true);
                }
            }
        }
        self::linkAll($id, $fields, $user);
        CRestEvent::fire('ONTASKUPDATE', ['FIELDS_BEFORE' => ['ID' => $id], 'FIELDS_AFTER' => ['ID' => $id]]);
        return true;
    }

    public static function delete(int $id): void
    {
        $topic = (int)DB::val('SELECT FORUM_TOPIC_ID FROM b_tasks WHERE ID=?', $id);
        DB::q('DELETE FROM b_tasks WHERE ID=?', $id);
        DB::q('DELETE FROM b_tasks_member WHERE TASK_ID=?', $id);
        DB::q('DELETE FROM b_tasks_checklist_items_tree WHERE CHILD_ID IN (SELECT ID FROM b_tasks_checklist_items WHERE TASK_ID=?)', $id);
        DB::q('DELETE FROM b_tasks_checklist_items WHERE TASK_ID=?', $id);
        DB::q('DELETE FROM b_uts_tasks_task WHERE VALUE_ID=?', $id);
        DB::q('DELETE FROM b_forum_message WHERE TOPIC_ID=?', $topic);
        DB::q('DELETE FROM b_forum_topic WHERE ID=?', $topic);
        CDisk::detach('tasks', self::FILES, $id);
        CSearch::remove('tasks', (string)$id);
        CRestEvent::fire('ONTASKDELETE', ['FIELDS_BEFORE' => ['ID' => $id]]);
    }

    public static function touch(int $id, int $user): void
    {
        DB::update('b_tasks', ['CHANGED_BY' => $user, 'CHANGED_DATE' => now(), 'ACTIVITY_DATE' => now()], 'ID=?', $id);
        CRestEvent::fire('ONTASKUPDATE', ['FIELDS_BEFORE' => ['ID' => $id], 'FIELDS_AFTER' => ['ID' => $id]]);
    }

    /** Values of one of the fields that link a task: to CRM records (`D_1`), to attached files. */
    public static function linked(int $id, string $field): array
    {
        return @unserialize((string)DB::val("SELECT $field FROM b_uts_tasks_task WHERE VALUE_ID=?", $id), ['allowed_classes' => false]) ?: [];
    }

    public static function link(int $id, string $field, array $values): void
    {
        DB::insert('b_uts_tasks_task', ['VALUE_ID' => $id], true);
        DB::update('b_uts_tasks_task', [$field => serialize(array_values($values))], 'VALUE_ID=?', $id);
    }

    private static function linkAll(int $id, array $fields, int $user): void
    {
        if (isset($fields['UF_CRM_TASK'])) {
            self::link($id, 'UF_CRM_TASK', array_filter((array)$fields['UF_CRM_TASK']));
        }
        if (isset($fields['UF_TASK_WEBDAV_FILES'])) {
            self::link($id, 'UF_TASK_WEBDAV_FILES', CDisk::attachMany('tasks', self::FILES, $id, (array)$fields['UF_TASK_WEBDAV_FILES'], $user));
        }
    }

    private static function store(array $fields): array
    {
        $row = array_intersect_key(array_change_key_case($fields, CASE_UPPER), array_flip(self::COLUMNS));
        foreach ($row as $name => $value) {
            $row[$name] = CCrm::store($value, preg_match('/DATE|DEADLINE/', $name) ? 'datetime' : (preg_match('/_ID$|_BY$/', $name) && $name !== 'XML_ID' ? 'int' : 'text'));
        }
        return $row;
    }

    public static function path(int $user, int $task): string
    {
        return "/company/personal/user/$user/tasks/task/view/$task/";
    }

    /** All comments of a task that are in the portal's forum for tasks. */
    public static function comments(int $topic): array
    {
        return DB::rows("SELECT * FROM b_forum_message WHERE TOPIC_ID=? AND FORUM_ID=? AND APPROVED='Y' AND NEW_TOPIC<>'Y' ORDER BY ID", $topic, self::forum());
    }

    public static function comment(int $task, string $text, int $author, ?string $date = null): int
    {
        $row = DB::row('SELECT * FROM b_tasks WHERE ID=?', $task);
        if ($row === null) {
            throw new RestError('ERROR_CORE', 'TASKS_ERROR_EXCEPTION_#8; Action failed; 8/TE/ACTION_FAILED_TO_BE_PROCESSED', 400);
        }
        $name = CUser::name(DB::row('SELECT * FROM b_user WHERE ID=?', $author) ?? ['ID' => $author]);
        $topic = (int)$row['FORUM_TOPIC_ID'];
        $date ??= now();
        if ($topic === 0) {
            $topic = DB::insert('b_forum_topic', ['FORUM_ID' => self::forum(), 'TITLE' => $row['TITLE'], 'USER_START_ID' => $author, 'USER_START_NAME' => $name, 'START_DATE' => $date, 'LAST_POSTER_NAME' => $name, 'LAST_POST_DATE' => $date, 'XML_ID' => "TASK_$task"]);
            DB::insert('b_forum_message', ['FORUM_ID' => self::forum(), 'TOPIC_ID' => $topic, 'NEW_TOPIC' => 'Y', 'POST_DATE' => $date, 'POST_MESSAGE' => "TASK_$task", 'AUTHOR_ID' => $author, 'AUTHOR_NAME' => $name, 'PARAM1' => 'TK', 'PARAM2' => $task]);
            DB::q('UPDATE b_tasks SET FORUM_TOPIC_ID=? WHERE ID=?', $topic, $task);
        }
        $id = DB::insert('b_forum_message', ['FORUM_ID' => self::forum(), 'TOPIC_ID' => $topic, 'POST_DATE' => $date, 'POST_MESSAGE' => $text, 'AUTHOR_ID' => $author, 'AUTHOR_NAME' => $name, 'PARAM1' => 'TK', 'PARAM2' => $task]);
        DB::q('UPDATE b_forum_topic SET POSTS=POSTS+1, LAST_MESSAGE_ID=?, LAST_POSTER_ID=?, LAST_POSTER_NAME=?, LAST_POST_DATE=? WHERE ID=?', $id, $author, $name, $date, $topic);
        DB::q('UPDATE b_tasks SET ACTIVITY_DATE=? WHERE ID=?', now(), $task);
        foreach (array_unique(array_diff([(int)$row['RESPONSIBLE_ID'], (int)$row['CREATED_BY']], [$author])) as $user) {
            CIMNotify::Add($user, $author, 'tasks', 'New comment in [URL=' . self::path($user, $task) . ']' . $row['TITLE'] . '[/URL]');
        }
        CRestEvent::fire('ONTASKCOMMENTADD', ['FIELDS_AFTER' => ['ID' => $id, 'TASK_ID' => $task]]);
        return $id;
    }
}
