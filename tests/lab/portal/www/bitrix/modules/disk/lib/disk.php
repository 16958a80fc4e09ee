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

    public static function url(int $object): string
    {
        return "/disk/downloadFile/$object/";
    }
}
