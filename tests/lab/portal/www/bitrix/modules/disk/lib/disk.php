<?php
/** The disk: storages, folders and files (TYPE 2 and 3) over b_file. */
final class CDisk
{
    private const FOLDER = 2;
    private const FILE = 3;

    public static function storage(string $module, string $entity, string $id, string $name): array
    {
        $storage = DB::row('SELECT * FROM b_disk_storage WHERE MODULE_ID=? AND ENTITY_TYPE=? AND ENTITY_ID=?', $module, $entity, $id);
        if ($storage === null) {
            $key = DB::insert('b_disk_storage', ['NAME' => $name, 'MODULE_ID' => $module, 'ENTITY_TYPE' => $entity, 'ENTITY_ID' => $id, 'SITE_ID' => 's1', 'ENTITY_MISC_DATA' => serialize([])]);
            $root = self::add($key, null, $name, self::FOLDER, 0);
            DB::q('UPDATE b_disk_storage SET ROOT_OBJECT_ID=? WHERE ID=?', $root, $key);
            $storage = DB::row('SELECT * FROM b_disk_storage WHERE ID=?', $key);
        }
        return $storage;
    }

    public static function commonStorage(): array
    {
        return self::storage('disk', 'Bitrix\\Disk\\ProxyType\\Common', 'shared_files_s1', 'Company drive');
    }

    private static function add(int $storage, ?int $parent, string $name, int $type, int $user, array $more = []): int
    {
        // No two objects of a folder have the same name.
        [$stem, $suffix] = preg_match('/^(.+)(\.\w+)$/', $name, $m) ? [$m[1], $m[2]] : [$name, ''];
        for ($n = 1; DB::val('SELECT 1 FROM b_disk_object WHERE NAME=? AND PARENT_ID=?', $name, $parent); $n++) {
            $name = "$stem ($n)$suffix";
        }
        $id = DB::insert('b_disk_object', $more + ['NAME' => $name, 'TYPE' => $type, 'STORAGE_ID' => $storage, 'PARENT_ID' => $parent, 'CREATE_TIME' => now(), 'UPDATE_TIME' => now(), 'CREATED_BY' => $user]);
        DB::q('UPDATE b_disk_object SET REAL_OBJECT_ID=ID WHERE ID=?', $id);
        return $id;
    }

    public static function addFolder(int $storage, int $parent, string $name, int $user): int
    {
        return self::add($storage, $parent, $name, self::FOLDER, $user);
    }

    public static function addFile(array $storage, string $name, string $content, int $user, string $module = 'disk', ?int $parent = null): int
    {
        $file = CFile::save($content, $name, $module);
        return self::add((int)$storage['ID'], $parent ?? (int)$storage['ROOT_OBJECT_ID'], $name, self::FILE, $user, ['FILE_ID' => $file, 'SIZE' => strlen($content)]);
    }

    public static function object(int $id): ?array
    {
        return DB::row('SELECT * FROM b_disk_object WHERE ID=?', $id);
    }

    /** Files attached to records of an entity: record => rows with the object's name, size and file. */
    public static function attached(string $module, string $entity, array $ids): array
    {
        $found = [];
        foreach ($ids ? DB::rows('SELECT a.*, o.NAME, o.SIZE, o.FILE_ID FROM b_disk_attached_object a JOIN b_disk_object o ON o.ID=a.OBJECT_ID WHERE a.MODULE_ID=? AND a.ENTITY_TYPE=? AND a.ENTITY_ID IN (?) ORDER BY a.ID', $module, $entity, array_map(intval(...), $ids)) : [] as $row) {
            $found[$row['ENTITY_ID']][] = $row;
        }
        return $found;
    }

    public static function attach(string $module, string $entity, int $id, int $object, int $user): int
    {
        return DB::insert('b_disk_attached_object', ['OBJECT_ID' => $object, 'MODULE_ID' => $module, 'ENTITY_TYPE' => $entity, 'ENTITY_ID' => $id, 'CREATE_TIME' => now(), 'CREATED_BY' => $user]);
    }

    /** `n12` attaches object 12, a bare number stands for an attachment that is there. @return list<int> attachments */
    public static function attachMany(string $module, string $entity, int $id, array $values, int $user): array
    {
        $ids = [];
        foreach (array_filter($values) as $value) {
            if (!str_starts_with((string)$value, 'n')) {
                $ids[] = (int)$value;
            } elseif (self::object((int)substr((string)$value, 1)) !== null) {
                $ids[] = self::attach($module, $entity, $id, (int)substr((string)$value, 1), $user);
            }
        }
        return $ids;
    }

    public static function detach(string $module, string $entity, int $id): void
    {
        DB::q('DELETE FROM b_disk_attached_object WHERE MODULE_ID=? AND ENTITY_TYPE=? AND ENTITY_ID=?', $module, $entity, $id);
    }

    /** Attachments as the methods of tasks show them. */
    public static function attachments(array $rows): array
    {
        $shown = [];
        foreach ($rows as $row) {
            $url = self::attachedUrl((int)$row['ID']);
            $shown[$row['ID']] = ['ATTACHMENT_ID' => $row['ID'], 'NAME' => $row['NAME'], 'SIZE' => $row['SIZE'], 'FILE_ID' => $row['OBJECT_ID'], 'DOWNLOAD_URL' => $url, 'VIEW_URL' => $url];
        }
        return $shown;
    }

    public static function attachedShow(int $id): array
    {
        $row = DB::row('SELECT a.*, o.NAME, o.SIZE FROM b_disk_attached_object a JOIN b_disk_object o ON o.ID=a.OBJECT_ID WHERE a.ID=?', $id) ?? throw new RestError('ERROR_NOT_FOUND', "Could not find entity with id '$id'.");
        return ['CREATE_TIME' => date('c', strtotime($row['CREATE_TIME'])), 'DOWNLOAD_URL' => self::attachedUrl($id)] + array_intersect_key($row, array_flip(['ID', 'OBJECT_ID', 'MODULE_ID', 'ENTITY_TYPE', 'ENTITY_ID', 'CREATED_BY', 'NAME', 'SIZE']));
    }

    private static function attachedUrl(int $attachment): string
    {
        return "/bitrix/tools/disk/uf.php?attachedId=$attachment&action=download&ncc=1";
    }

    /** For a browser that is logged in. */
    public static function url(int $object): string
    {
        return "/disk/downloadFile/$object/";
    }
}
