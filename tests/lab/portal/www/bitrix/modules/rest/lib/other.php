<?php
/** REST methods beside the CRM: users, tasks, messenger, disk, telephony, events, the portal itself. */
final class CRestOther
{
    public static function methods(): array
    {
        return [
            'server.time' => [static fn($p, $s) => date('c', clock()), ''],
            'methods' => [static fn($p, $s) => array_keys(CRestServer::methods()), ''],
            'method.get' => [static fn($p, $s) => ['isExisting' => $known = isset(CRestServer::methods()[strtolower((string)($p['name'] ?? ''))]), 'isAvailable' => $known], ''],
            'scope' => [static fn($p, $s) => empty($p['full']) ? $s->scopes() : ['crm', 'task', 'tasks', 'user', 'user_basic', 'im', 'disk', 'telephony'], ''],
            'feature.get' => [self::feature(...), ''],
            'app.info' => [self::appInfo(...), ''],
            'profile' => [static fn($p, $s) => self::profile($s->user), ''],
            'user.current' => [static fn($p, $s) => self::userShow(self::users('u.ID=' . $s->user, 0)[0]), 'user'],
            'user.get' => [self::userGet(...), 'user'],
            'user.admin' => [static fn($p, $s) => CUser::isAdministrator($s->user), ''],
            'event.bind' => [self::eventBind(...), ''],
            'event.unbind' => [self::eventUnbind(...), ''],
            'event.get' => [static fn($p, $s) => self::eventList($s), ''],
            'event.offline.get' => [self::offlineGet(...), ''],
            'event.offline.list' => [self::offlineList(...), ''],
            'event.offline.clear' => [self::offlineClear(...), ''],
            'event.offline.error' => [self::offlineError(...), ''],
            'im.message.add' => [self::messageAdd(...), 'im'],
            'im.dialog.messages.get' => [self::messages(...), 'im'],
            'im.notify' => [static fn($p, $s) => CIMNotify::Add((int)($p['to'] ?? $p['USER_ID'] ?? 0), $s->user, 'rest', (string)($p['message'] ?? $p['MESSAGE'] ?? '')), 'im'],
            'disk.storage.getlist' => [static fn($p, $s) => DB::rows('SELECT ID, NAME, CODE, MODULE_ID, ENTITY_TYPE, ENTITY_ID, ROOT_OBJECT_ID FROM b_disk_storage ORDER BY ID LIMIT 50'), 'disk'],
            'disk.folder.getchildren' => [static fn($p, $s) => self::children((int)($p['id'] ?? 0)), 'disk'],
            'disk.folder.addsubfolder' => [self::addFolder(...), 'disk'],
            'disk.folder.uploadfile' => [self::uploadFile(...), 'disk'],
            'disk.attachedobject.get' => [static fn($p, $s) => CDisk::attachedShow((int)($p['id'] ?? 0)), 'disk'],
            'disk.file.get' => [static fn($p, $s) => self::diskShow(CDisk::object((int)($p['id'] ?? 0)) ?? throw new RestError('ERROR_NOT_FOUND', 'Could not find entity with id')), 'disk'],
            'telephony.externalLine.add' => [CVoxExternalCall::addLine(...), 'telephony'],
            'telephony.externalLine.get' => [CVoxExternalCall::lines(...), 'telephony'],
            'telephony.externalLine.delete' => [CVoxExternalCall::deleteLine(...), 'telephony'],
            'telephony.externalCall.register' => [CVoxExternalCall::register(...), 'telephony'],
            'telephony.externalCall.show' => [CVoxExternalCall::show(...), 'telephony'],
            'telephony.externalCall.hide' => [CVoxExternalCall::hide(...), 'telephony'],
            'telephony.externalCall.finish' => [CVoxExternalCall::finish(...), 'telephony'],
            'telephony.externalCall.attachRecord' => [CVoxExternalCall::attachRecord(...), 'telephony'],
            'telephony.externalCall.searchCrmEntities' => [static fn($p, $s) => CVoxExternalCall::search((string)($p['PHONE_NUMBER'] ?? '')), 'telephony'],
            'voximplant.statistic.get' => [self::statistic(...), 'telephony'],
            'upload' => [CVoxExternalCall::upload(...), 'telephony'],
        ];
    }

    private static function feature(array $p, CRestServer $s): array
    {
        $code = (string)($p['CODE'] ?? '') ?: throw new RestError('CODE_EMPTY', "CODE can't be empty");
        return ['value' => $code === 'rest_offline_extended' ? COption::GetOptionString('encaja', 'rest_offline_extended', 'Y') : 'N'];
    }

    private static function appInfo(array $p, CRestServer $s): array
    {
        $app = $s->app ?? throw new RestError('ACCESS_DENIED', 'Access denied! Application context required');
        return ['ID' => (int)$app['ID'], 'CODE' => $app['CODE'], 'VERSION' => (int)$app['VERSION'], 'STATUS' => $app['STATUS'], 'INSTALLED' => $app['INSTALLED'] === 'Y', 'PAYMENT_EXPIRED' => 'N', 'DAYS' => null,
            'LANGUAGE_ID' => 'en', 'LICENSE' => is_cloud() ? 'en_pro100' : 'en_selfhosted'];
    }

    private static function profile(int $user): array
    {
        $row = DB::row('SELECT * FROM b_user WHERE ID=?', $user);
        return ['ID' => (string)$user, 'ADMIN' => CUser::isAdministrator($user), 'NAME' => $row['NAME'], 'LAST_NAME' => $row['LAST_NAME'], 'PERSONAL_GENDER' => (string)$row['PERSONAL_GENDER'], 'TIME_ZONE' => (string)$row['TIME_ZONE']];
    }

    // Users

    private static function users(string $where, int $offset, string $order = 'u.ID'): array
    {
        return DB::rows("SELECT u.*, f.UF_DEPARTMENT, f.UF_PHONE_INNER FROM b_user u LEFT JOIN b_uts_user f ON f.VALUE_ID=u.ID WHERE $where ORDER BY $order LIMIT $offset, " . RestPage::SIZE);
    }

    private static function userShow(array $u): array
    {
        $shown = ['ID' => $u['ID'], 'XML_ID' => $u['XML_ID'], 'ACTIVE' => $u['ACTIVE'] === 'Y'];
        foreach (['NAME', 'LAST_NAME', 'SECOND_NAME', 'EMAIL', 'PERSONAL_MOBILE', 'PERSONAL_PHONE', 'WORK_PHONE', 'WORK_POSITION', 'PERSONAL_GENDER', 'TIME_ZONE', 'UF_PHONE_INNER'] as $name) {
            $shown[$name] = (string)$u[$name];
        }
        $external = ['bot', 'email', 'imconnector', 'replica', '__controller', 'call', 'sale', 'saleanonymous', 'shop', 'document_editor', 'calendar_sharing', 'im_guest'];
        return $shown + [
            'LAST_LOGIN' => CCrm::show($u['LAST_LOGIN'], 'datetime'), 'DATE_REGISTER' => CCrm::show($u['DATE_REGISTER'], 'datetime'), 'IS_ONLINE' => strtotime((string)$u['LAST_ACTIVITY_DATE']) > time() - 180 ? 'Y' : 'N',
            'UF_DEPARTMENT' => @unserialize((string)$u['UF_DEPARTMENT'], ['allowed_classes' => false]) ?: [], 'USER_TYPE' => in_array($u['EXTERNAL_AUTH_ID'], $external, true) ? $u['EXTERNAL_AUTH_ID'] : 'employee'];
    }

    /** Without an administrator's mode only those of a department are shown, where there is an extranet. */
    private static function userGet(array $p, CRestServer $s): RestPage
    {
        $p = array_change_key_case($p, CASE_UPPER) + $p;
        $filter = (array)($p['FILTER'] ?? $p);
        $admin = CUser::isAdministrator($s->user);
        $parts = ["(u.EXTERNAL_AUTH_ID IS NULL OR u.EXTERNAL_AUTH_ID IN ('','socservices'))"];
        foreach ($filter as $key => $value) {
            preg_match('/^([!<>=%@?]*)(.*)$/', (string)$key, $m);
            if (in_array($m[2], ['ID', 'EMAIL', 'NAME', 'LAST_NAME', 'XML_ID', 'WORK_POSITION', 'ACTIVE'], true)) {
                $value = $m[2] === 'ACTIVE' ? (filter_var($value, FILTER_VALIDATE_BOOLEAN) || $value === 'Y' ? 'Y' : 'N') : $value;
                $parts[] = sql_condition("u.$m[2]", $m[1], $value);
            }
        }
        $byId = array_filter(array_keys($filter), static fn($key) => ltrim((string)$key, '=@') === 'ID');
        if (!($admin && ($byId || filter_var($p['ADMIN_MODE'] ?? false, FILTER_VALIDATE_BOOLEAN))) && DB::val("SELECT 1 FROM b_module WHERE ID='extranet'")) {
            $parts[] = "f.UF_DEPARTMENT IS NOT NULL AND f.UF_DEPARTMENT NOT IN ('', 'a:0:{}')";
        }
        $where = implode(' AND ', $parts);
        $start = RestPage::start($p);
        $sort = in_array($p['SORT'] ?? '', ['ID', 'NAME', 'LAST_NAME', 'EMAIL', 'DATE_REGISTER'], true) ? $p['SORT'] : '';
        $order = $sort === '' ? 'u.ID ' . RestPage::order(['start' => $start])['ID'] : "u.$sort " . (strtoupper((string)($p['ORDER'] ?? '')) === 'DESC' ? 'DESC' : 'ASC');
        return new RestPage(array_map(self::userShow(...), self::users($where, max(0, $start), $order)), $start < 0 ? null : (int)DB::val("SELECT COUNT(*) FROM b_user u LEFT JOIN b_uts_user f ON f.VALUE_ID=u.ID WHERE $where"), $start);
    }

    // Events

    private static function eventBind(array $p, CRestServer $s): bool
    {
        $app = $s->needApp();
        $event = strtoupper((string)($p['event'] ?? ''));
        if (!in_array($event, CRestEvent::NAMES, true)) {
            throw new RestError('ERROR_EVENT_NOT_FOUND', 'Event not found');
        }
        $offline = ($p['event_type'] ?? 'online') === 'offline';
        $handler = $offline ? '' : (string)($p['handler'] ?? '');
        if (!$offline && $handler === '') {
            throw new RestError('ERROR_ARGUMENT', "Argument 'HANDLER' is null or empty");
        }
        $connector = (string)($p['auth_connector'] ?? '');
        if (DB::val('SELECT 1 FROM b_rest_event WHERE APP_ID=? AND EVENT_NAME=? AND EVENT_HANDLER=? AND IFNULL(CONNECTOR_ID,"")=?', $app['ID'], $event, $handler, $connector)) {
            throw new RestError('ERROR_EVENT_BINDING_EXISTS', 'Handler already binded');
        }
        DB::insert('b_rest_event', ['APP_ID' => $app['ID'], 'EVENT_NAME' => $event, 'EVENT_HANDLER' => $handler, 'USER_ID' => $s->user, 'DATE_CREATE' => now(), 'APPLICATION_TOKEN' => $app['APPLICATION_TOKEN'], 'CONNECTOR_ID' => $connector]);
        return true;
    }

    private static function eventUnbind(array $p, CRestServer $s): array
    {
        $handler = ($p['event_type'] ?? '') === 'offline' ? '' : (string)($p['handler'] ?? '');
        DB::q('DELETE FROM b_rest_event WHERE APP_ID=? AND EVENT_NAME=? AND EVENT_HANDLER=?', $s->needApp()['ID'], strtoupper((string)($p['event'] ?? '')), $handler);
        return ['count' => DB::$link->affected_rows];
    }

    private static function eventList(CRestServer $s): array
    {
        return array_map(static fn($e) => array_filter(['event' => $e['EVENT_NAME'], 'handler' => $e['EVENT_HANDLER'], 'auth_type' => $e['USER_ID'], 'offline' => $e['EVENT_HANDLER'] === '' ? 1 : 0, 'connector_id' => $e['CONNECTOR_ID']], static fn($v) => $v !== '' && $v !== null),
            DB::rows('SELECT * FROM b_rest_event WHERE APP_ID=? ORDER BY ID', $s->needApp()['ID']));
    }

    private static function offlineRows(array $p, CRestServer $s, string $extra, int $limit): array
    {
        $s->needAdmin();
        $parts = ['APP_ID=' . (int)$s->needApp()['ID'], 'CONNECTOR_ID=' . DB::quote((string)($p['auth_connector'] ?? '')), ...array_filter([$extra])];
        foreach ((array)($p['filter'] ?? []) as $key => $value) {
            preg_match('/^([!<>=%@?]*)(.*)$/', (string)$key, $m);
            if (in_array($m[2], ['ID', 'TIMESTAMP_X', 'EVENT_NAME', 'MESSAGE_ID'], true)) {
                $parts[] = sql_condition($m[2], $m[1], $m[2] === 'TIMESTAMP_X' ? CCrm::store($value, 'datetime') : $value);
            }
        }
        $sort = [];
        foreach ((array)($p['order'] ?? ['TIMESTAMP_X' => 'ASC']) as $name => $way) {
            if (in_array($name, ['ID', 'TIMESTAMP_X', 'EVENT_NAME', 'MESSAGE_ID'], true)) {
                $sort[] = "$name " . (strtoupper((string)$way) === 'DESC' ? 'DESC' : 'ASC');
            }
        }
        return DB::rows('SELECT * FROM b_rest_event_offline WHERE ' . implode(' AND ', $parts) . ' ORDER BY ' . implode(',', [...$sort, 'ID']) . " LIMIT $limit FOR UPDATE");
    }

    private static function offlineShow(array $row, bool $state): array
    {
        return [
            'ID' => $row['ID'], 'TIMESTAMP_X' => date('c', strtotime($row['TIMESTAMP_X'])), 'EVENT_NAME' => $row['EVENT_NAME'], 'EVENT_DATA' => @unserialize((string)$row['EVENT_DATA'], ['allowed_classes' => false]),
            'EVENT_ADDITIONAL' => @unserialize((string)$row['EVENT_ADDITIONAL'], ['allowed_classes' => false]), 'MESSAGE_ID' => $row['MESSAGE_ID']] + ($state ? ['PROCESS_ID' => $row['PROCESS_ID'], 'ERROR' => $row['ERROR']] : []);
    }

    private static function offlineGet(array $p, CRestServer $s): array
    {
        $limit = max(1, min(500, (int)($p['limit'] ?? 50)));
        $clear = (int)($p['clear'] ?? 1) === 1;
        $process = (string)($p['process_id'] ?? '');
        DB::$link->begin_transaction();
        $rows = self::offlineRows($p, $s, 'PROCESS_ID=' . DB::quote($process) . ((int)($p['error'] ?? 0) ? '' : ' AND ERROR=0'), $limit);
        if ($rows !== []) {
            $ids = array_map(intval(...), array_column($rows, 'ID'));
            if ($clear) {
                DB::q('DELETE FROM b_rest_event_offline WHERE ID IN (?)', $ids);
            } elseif ($process === '') {
                $process = bin2hex(random_bytes(16));
                DB::q('UPDATE b_rest_event_offline SET PROCESS_ID=?, TIMESTAMP_X=TIMESTAMP_X WHERE ID IN (?)', $process, $ids);
            }
        }
        DB::$link->commit();
        return ['process_id' => $clear || $process === '' ? null : $process, 'events' => array_map(static fn($r) => self::offlineShow($r, false), $rows)];
    }

    private static function offlineList(array $p, CRestServer $s): RestPage
    {
        $rows = array_map(static fn($r) => self::offlineShow($r, true), self::offlineRows($p, $s, '', 10000));
        $start = max(0, RestPage::start($p));
        return new RestPage(array_slice($rows, $start, RestPage::SIZE), count($rows), $start);
    }

    private static function offlineWhere(array $p, CRestServer $s): string
    {
        $s->needAdmin();
        $where = 'APP_ID=' . (int)$s->needApp()['ID'] . ' AND PROCESS_ID=' . DB::quote((string)($p['process_id'] ?? '') ?: throw new RestError('PROCESS_ID_REQUIRED', 'process_id is required'));
        if (!empty($p['id'])) {
            return "$where AND ID IN (" . DB::quote(array_map(intval(...), (array)$p['id'])) . ')';
        }
        return empty($p['message_id']) ? $where : "$where AND MESSAGE_ID IN (" . DB::quote(array_values((array)$p['message_id'])) . ')';
    }

    private static function offlineClear(array $p, CRestServer $s): bool
    {
        DB::$link->query('DELETE FROM b_rest_event_offline WHERE ' . self::offlineWhere($p, $s));
        return true;
    }

    private static function offlineError(array $p, CRestServer $s): bool
    {
        DB::$link->query("UPDATE b_rest_event_offline SET ERROR=1, PROCESS_ID='' WHERE " . self::offlineWhere($p, $s));
        return true;
    }

    // Messenger and disk

    private static function dialog(array $p, CRestServer $s): int
    {
        $id = (string)($p['DIALOG_ID'] ?? $p['dialog_id'] ?? '');
        $chat = str_starts_with($id, 'chat') ? (int)substr($id, 4) : ((int)$id ? CIMMessage::dialog($s->user, (int)$id) : 0);
        if (!CIMMessage::isMember($chat, $s->user)) {
            throw new RestError('ACCESS_ERROR', 'You do not have access to this dialog', 403);
        }
        return $chat;
    }

    private static function messageAdd(array $p, CRestServer $s): int
    {
        $text = (string)($p['MESSAGE'] ?? $p['message'] ?? '') ?: throw new RestError('MESSAGE_EMPTY', 'Message can\'t be empty');
        return CIMMessage::send(self::dialog($p, $s), $s->user, $text)['id'];
    }

    private static function messages(array $p, CRestServer $s): array
    {
        $chat = self::dialog($p, $s);
        return ['chat_id' => $chat, 'messages' => array_reverse(CIMMessage::messages($chat, 0, max(1, min(100, (int)($p['LIMIT'] ?? 20)))))];
    }

    private static function diskShow(array $o): array
    {
        return ['ID' => $o['ID'], 'NAME' => $o['NAME'], 'TYPE' => $o['TYPE'] === '2' ? 'folder' : 'file', 'STORAGE_ID' => $o['STORAGE_ID'], 'PARENT_ID' => $o['PARENT_ID'], 'SIZE' => $o['SIZE'], 'FILE_ID' => $o['FILE_ID'],
            'CREATE_TIME' => date('c', strtotime($o['CREATE_TIME'])), 'CREATED_BY' => $o['CREATED_BY'], 'DOWNLOAD_URL' => CRestFile::disk((int)$o['ID'])];
    }

    private static function children(int $folder): array
    {
        return array_map(self::diskShow(...), DB::rows('SELECT * FROM b_disk_object WHERE PARENT_ID=? AND DELETED_TYPE=0 ORDER BY ID LIMIT 50', $folder));
    }

    private static function folder(array $p): array
    {
        $folder = CDisk::object((int)($p['id'] ?? 0));
        return $folder !== null && $folder['TYPE'] === '2' ? $folder : throw new RestError('ERROR_NOT_FOUND', 'Could not find entity with id');
    }

    private static function addFolder(array $p, CRestServer $s): array
    {
        $folder = self::folder($p);
        return self::diskShow(CDisk::object(CDisk::addFolder((int)$folder['STORAGE_ID'], (int)$folder['ID'], (string)($p['data']['NAME'] ?? 'Folder'), $s->user)));
    }

    private static function uploadFile(array $p, CRestServer $s): array
    {
        $folder = self::folder($p);
        $content = $p['fileContent'] ?? '';
        [$name, $body] = is_array($content) ? [$content[0] ?? '', $content[1] ?? ''] : ['', $content];
        $name = (string)($p['data']['NAME'] ?? $name) ?: throw new RestError('ERROR_ARGUMENT', 'data[NAME] is empty');
        $storage = DB::row('SELECT * FROM b_disk_storage WHERE ID=?', $folder['STORAGE_ID']);
        return self::diskShow(CDisk::object(CDisk::addFile($storage, $name, (string)base64_decode((string)$body), $s->user, 'disk', (int)$folder['ID'])));
    }

    private static function statistic(array $p, CRestServer $s): RestPage
    {
        $parts = ['1=1'];
        foreach ((array)($p['FILTER'] ?? $p['filter'] ?? []) as $key => $value) {
            preg_match('/^([!<>=%@?]*)(.*)$/', (string)$key, $m);
            if (in_array($m[2], ['ID', 'CALL_ID', 'EXTERNAL_CALL_ID', 'PHONE_NUMBER', 'CALL_START_DATE', 'CRM_ACTIVITY_ID', 'CALL_FAILED_CODE', 'PORTAL_USER_ID'], true)) {
                $parts[] = sql_condition($m[2], $m[1], $m[2] === 'CALL_START_DATE' ? CCrm::store($value, 'datetime') : $value);
            }
        }
        $where = implode(' AND ', $parts);
        $start = RestPage::start($p);
        $sort = (string)($p['SORT'] ?? $p['sort'] ?? 'ID');
        $sort = in_array($sort, ['ID', 'CALL_START_DATE', 'CALL_DURATION', 'PHONE_NUMBER'], true) ? $sort : 'ID';
        $sort .= strtoupper((string)($p['ORDER'] ?? $p['order'] ?? 'ASC')) === 'DESC' ? ' DESC' : ' ASC';
        $rows = DB::rows("SELECT ID, PORTAL_USER_ID, PORTAL_NUMBER, PHONE_NUMBER, CALL_ID, EXTERNAL_CALL_ID, INCOMING CALL_TYPE, CALL_DURATION, CALL_START_DATE, CALL_FAILED_CODE, CALL_FAILED_REASON, CALL_RECORD_ID RECORD_FILE_ID, CRM_ENTITY_TYPE, CRM_ENTITY_ID, CRM_ACTIVITY_ID FROM b_voximplant_statistic WHERE $where ORDER BY $sort LIMIT " . max(0, $start) . ', ' . RestPage::SIZE);
        return new RestPage($rows, $start < 0 ? null : (int)DB::val("SELECT COUNT(*) FROM b_voximplant_statistic WHERE $where"), $start);
    }
}
