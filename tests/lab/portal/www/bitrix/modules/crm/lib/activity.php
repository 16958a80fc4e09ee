<?php
/** Activities (calls, mails, meetings) and comments of the timeline. */
final class CCrmActivity
{
    public const TIMELINE_COMMENT = 7;
    /** Entity of files attached to a comment of the timeline. */
    public const COMMENT_FILES = 'Bitrix\\Crm\\Integration\\Disk\\CommentConnector';

    public static function add(array $fields, array $bindings, array $communications, int $user): int
    {
        $fields = $fields + [
            'TYPE_ID' => 6, 'OWNER_ID' => 0, 'OWNER_TYPE_ID' => 1, 'SUBJECT' => '', 'RESPONSIBLE_ID' => $user, 'AUTHOR_ID' => $user, 'CREATED' => now(), 'START_TIME' => now(),
            'DESCRIPTION_TYPE' => 1, 'EDITOR_ID' => $user];
        $fields += ['LAST_UPDATED' => $fields['CREATED'], 'END_TIME' => $fields['START_TIME'], 'DEADLINE' => $fields['START_TIME'], 'STATUS' => ($fields['COMPLETED'] ?? 'N') === 'Y' ? 2 : 1];
        $id = DB::insert('b_crm_act', $fields);
        foreach ($bindings ?: [[(int)$fields['OWNER_TYPE_ID'], (int)$fields['OWNER_ID']]] as [$type, $owner]) {
            self::bind($id, $type, $owner);
        }
        foreach ($communications as $c) {
            DB::insert('b_crm_act_comm', [
                'ACTIVITY_ID' => $id, 'OWNER_ID' => $fields['OWNER_ID'], 'OWNER_TYPE_ID' => $fields['OWNER_TYPE_ID'], 'TYPE' => $c['TYPE'] ?? 'PHONE', 'VALUE' => $c['VALUE'] ?? '',
                'ENTITY_ID' => (int)($c['ENTITY_ID'] ?? $fields['OWNER_ID']), 'ENTITY_TYPE_ID' => (int)($c['ENTITY_TYPE_ID'] ?? $fields['OWNER_TYPE_ID'])]);
        }
        self::active((int)$fields['OWNER_TYPE_ID'], (int)$fields['OWNER_ID'], $user, (string)$fields['CREATED']);
        CRestEvent::fire('ONCRMACTIVITYADD', ['FIELDS' => ['ID' => $id]]);
        return $id;
    }

    /** False where the activity is bound to this owner already: the table has no key against it. */
    public static function bind(int $id, int $type, int $owner): bool
    {
        $row = ['ACTIVITY_ID' => $id, 'OWNER_TYPE_ID' => $type, 'OWNER_ID' => $owner];
        $new = !DB::val('SELECT 1 FROM b_crm_act_bind WHERE ACTIVITY_ID=? AND OWNER_TYPE_ID=? AND OWNER_ID=?', ...array_values($row));
        $new && DB::insert('b_crm_act_bind', $row);
        return $new;
    }

    public static function update(int $id, array $fields, int $user): bool
    {
        if (!DB::val('SELECT 1 FROM b_crm_act WHERE ID=?', $id)) {
            return false;
        }
        DB::update('b_crm_act', $fields + ['LAST_UPDATED' => now(), 'EDITOR_ID' => $user], 'ID=?', $id);
        CRestEvent::fire('ONCRMACTIVITYUPDATE', ['FIELDS' => ['ID' => $id]]);
        return true;
    }

    public static function delete(int $id): bool
    {
        DB::q('DELETE FROM b_crm_act WHERE ID=?', $id);
        $gone = DB::$link->affected_rows > 0;
        DB::q('DELETE FROM b_crm_act_bind WHERE ACTIVITY_ID=?', $id);
        DB::q('DELETE FROM b_crm_act_comm WHERE ACTIVITY_ID=?', $id);
        if ($gone) {
            CRestEvent::fire('ONCRMACTIVITYDELETE', ['FIELDS' => ['ID' => $id]]);
        }
        return $gone;
    }

    /** Files of an activity: objects of the disk. */
    public static function fileIds(array $activity): array
    {
        return array_map(intval(...), (array)@unserialize((string)$activity['STORAGE_ELEMENT_IDS'], ['allowed_classes' => false]) ?: []);
    }

    public static function comment(int $type, int $entity, string $text, int $author): int
    {
        $id = DB::insert('b_crm_timeline', [
            'TYPE_ID' => self::TIMELINE_COMMENT, 'TYPE_CATEGORY_ID' => 1, 'CREATED' => now(), 'AUTHOR_ID' => $author, 'COMMENT' => $text, 'SETTINGS' => serialize([])]);
        DB::insert('b_crm_timeline_bind', ['OWNER_ID' => $id, 'ENTITY_ID' => $entity, 'ENTITY_TYPE_ID' => $type]);
        self::active($type, $entity, $author, now());
        CRestEvent::fire('ONCRMTIMELINECOMMENTADD', ['ID' => $id]);
        return $id;
    }

    /** What is new in a record's timeline is its last activity; its modification it is not. */
    private static function active(int $owner, int $id, int $user, string $at): void
    {
        $type = CCrm::typeById($owner);
        if ($type !== null) {
            DB::update(CCrm::TYPES[$type]['table'], ['LAST_ACTIVITY_BY' => $user, 'LAST_ACTIVITY_TIME' => $at], 'ID=?', $id);
        }
    }
}
