<?php
/** Calls of an outside exchange: registered, shown, finished, recorded. */
final class CVoxExternalCall
{
    private const AGAIN = 1800;
    private const FAILED = ['304' => 'Missed', '603' => 'Declined', '603-S' => 'Cancelled', '403' => 'Forbidden', '404' => 'Wrong number', '486' => 'Busy', '480' => 'Temporarily unavailable'];

    public static function addLine(array $p, CRestServer $s): array
    {
        $app = $s->needApp();
        $number = (string)($p['NUMBER'] ?? '') ?: self::fail('NUMBER should not be empty');
        if (DB::val('SELECT 1 FROM b_voximplant_external_line WHERE NUMBER=? AND REST_APP_ID=?', $number, $app['ID'])) {
            self::fail('Line already exists');
        }
        return ['ID' => DB::insert('b_voximplant_external_line', [
            'TYPE' => 'rest-app', 'NUMBER' => $number, 'NORMALIZED_NUMBER' => self::digits($number), 'NAME' => $p['NAME'] ?? null, 'REST_APP_ID' => $app['ID'],
            'CRM_AUTO_CREATE' => ($p['CRM_AUTO_CREATE'] ?? 'Y') === 'N' ? 'N' : 'Y', 'DATE_CREATE' => now()])];
    }

    public static function lines(array $p, CRestServer $s): array
    {
        return DB::rows('SELECT NUMBER, NAME, CRM_AUTO_CREATE FROM b_voximplant_external_line WHERE REST_APP_ID=? ORDER BY ID', $s->needApp()['ID']);
    }

    public static function deleteLine(array $p, CRestServer $s): array
    {
        DB::q('DELETE FROM b_voximplant_external_line WHERE REST_APP_ID=? AND NUMBER=?', $s->needApp()['ID'], (string)($p['NUMBER'] ?? ''));
        return DB::$link->affected_rows > 0 ? [] : self::fail('Could not find line with number ' . ($p['NUMBER'] ?? ''));
    }

    /** Click to call: the call is registered for each application that listens, and told to it. False where none does. */
    public static function start(int $user, string $phone, string $type, int $entity): bool
    {
        $listening = DB::rows("SELECT DISTINCT a.* FROM b_rest_event e JOIN b_rest_app a ON a.ID=e.APP_ID AND a.ACTIVE='Y' WHERE e.EVENT_NAME='ONEXTERNALCALLSTART'");
        foreach ($listening as $app) {
            $call = self::open($app, ['USER_ID' => $user, 'PHONE_NUMBER' => $phone, 'TYPE' => 1, 'CRM_ENTITY_TYPE' => $type, 'CRM_ENTITY_ID' => $entity]);
            CRestEvent::fire('ONEXTERNALCALLSTART', [
                'PHONE_NUMBER' => $phone, 'PHONE_NUMBER_INTERNATIONAL' => $phone, 'EXTENSION' => '', 'USER_ID' => $user, 'CALL_LIST_ID' => 0, 'LINE_NUMBER' => '', 'IS_MOBILE' => 0,
                'CRM_ENTITY_TYPE' => $type, 'CRM_ENTITY_ID' => $entity, 'CALL_ID' => $call['CALL_ID']], (int)$app['ID']);
        }
        return $listening !== [];
    }

    public static function register(array $p, CRestServer $s): array
    {
        return self::open($s->needApp(), $p);
    }

    private static function open(array $app, array $p): array
    {
        $user = self::user($p);
        $phone = (string)($p['PHONE_NUMBER'] ?? '') ?: self::fail('PHONE_NUMBER is empty');
        $kind = (int)($p['TYPE'] ?? 0);
        if ($kind < 1 || $kind > 5) {
            self::fail('Unknown TYPE');
        }
        // The same number and user within half an hour is taken for the same call, unless the exchange's own id tells them apart.
        $known = DB::row('SELECT * FROM b_voximplant_call WHERE REST_APP_ID=? AND CALLER_ID=? AND INCOMING=? AND USER_ID=? AND IFNULL(PORTAL_NUMBER,"")=? AND IFNULL(EXTERNAL_CALL_ID,"")=? AND DATE_CREATE>? ORDER BY ID DESC LIMIT 1',
            $app['ID'], $phone, (string)$kind, $user, (string)($p['LINE_NUMBER'] ?? ''), (string)($p['EXTERNAL_CALL_ID'] ?? ''), now(-self::AGAIN));
        if ($known !== null) {
            return self::registered($known, []);
        }
        [$type, $entity] = [strtoupper((string)($p['CRM_ENTITY_TYPE'] ?? '')), (int)($p['CRM_ENTITY_ID'] ?? 0)];
        if ($type === '' || $entity === 0) {
            $found = self::search($phone);
            [$type, $entity] = $found ? [$found[0]['CRM_ENTITY_TYPE'], (int)$found[0]['CRM_ENTITY_ID']] : ['', 0];
        }
        $created = [];
        if ($entity === 0 && (int)($p['CRM_CREATE'] ?? 0) === 1 && self::lineCreates($p, $kind, (int)$app['ID'])) {
            $entity = CCrm::add('lead', [
                'TITLE' => "$phone - " . ($kind === 1 ? 'Outgoing call' : 'Incoming call'), 'SOURCE_ID' => $p['CRM_SOURCE'] ?? 'CALL', 'ASSIGNED_BY_ID' => $user,
                'PHONE' => [['VALUE' => $phone, 'VALUE_TYPE' => 'WORK']]], $user);
            $type = 'LEAD';
            $created = [['ENTITY_TYPE' => 'LEAD', 'ENTITY_ID' => $entity]];
        }
        $row = [
            'CALL_ID' => 'externalCall.' . bin2hex(random_bytes(16)) . '.' . time(), 'EXTERNAL_CALL_ID' => $p['EXTERNAL_CALL_ID'] ?? null, 'USER_ID' => $user, 'PORTAL_USER_ID' => $user, 'INCOMING' => (string)$kind,
            'CALLER_ID' => $phone, 'PORTAL_NUMBER' => $p['LINE_NUMBER'] ?? null, 'STATUS' => 'waiting', 'CRM' => 'Y', 'DATE_CREATE' => CCrm::store($p['CALL_START_DATE'] ?? null, 'datetime') ?? now(), 'REST_APP_ID' => $app['ID']];
        DB::insert('b_voximplant_call', $row);
        if ($entity !== 0) {
            DB::insert('b_voximplant_call_crm_entity', ['CALL_ID' => $row['CALL_ID'], 'ENTITY_TYPE' => $type, 'ENTITY_ID' => $entity, 'IS_PRIMARY' => 'Y', 'IS_CREATED' => $created ? 'Y' : 'N']);
        }
        if ((int)($p['SHOW'] ?? 1) === 1) {
            self::card($row, [$user], 'showExternalCall');
        }
        return self::registered($row, $created);
    }

    private static function registered(array $call, array $created): array
    {
        $entity = self::entity($call);
        return [
            'CALL_ID' => $call['CALL_ID'], 'CRM_CREATED_LEAD' => $entity['IS_CREATED'] === 'Y' ? (int)$entity['ENTITY_ID'] : null, 'CRM_CREATED_ENTITIES' => $created,
            'CRM_ENTITY_TYPE' => $entity['ENTITY_TYPE'], 'CRM_ENTITY_ID' => $entity['ENTITY_ID'] === null ? null : (int)$entity['ENTITY_ID']];
    }

    /** The record that a call belongs to, and whether the call made it. */
    private static function entity(array $call): array
    {
        return DB::row("SELECT * FROM b_voximplant_call_crm_entity WHERE CALL_ID=? AND IS_PRIMARY='Y'", $call['CALL_ID']) ?? ['ENTITY_TYPE' => null, 'ENTITY_ID' => null, 'IS_CREATED' => 'N'];
    }

    private static function lineCreates(array $p, int $kind, int $app): bool
    {
        return $kind !== 1 || DB::val('SELECT CRM_AUTO_CREATE FROM b_voximplant_external_line WHERE NUMBER=? AND REST_APP_ID=?', (string)($p['LINE_NUMBER'] ?? ''), $app) !== 'N';
    }

    private static function card(array $call, array $users, string $command): void
    {
        $entity = self::entity($call);
        CPullStack::AddByUsers($users, 'voximplant', $command, ['callId' => $call['CALL_ID'], 'phoneNumber' => $call['CALLER_ID'], 'crmEntityType' => $entity['ENTITY_TYPE'], 'crmEntityId' => $entity['ENTITY_ID']]);
    }

    public static function show(array $p, CRestServer $s, string $command = 'showExternalCall'): bool
    {
        $call = DB::row('SELECT * FROM b_voximplant_call WHERE CALL_ID=?', (string)($p['CALL_ID'] ?? ''));
        if ($call !== null) {
            self::card($call, array_map(intval(...), (array)($p['USER_ID'] ?? $call['USER_ID'])), $command);
        }
        return $call !== null;
    }

    public static function hide(array $p, CRestServer $s): bool
    {
        return self::show($p, $s, 'hideExternalCall');
    }

    public static function finish(array $p, CRestServer $s): array
    {
        $app = $s->needApp();
        $call = DB::row('SELECT * FROM b_voximplant_call WHERE CALL_ID=? AND REST_APP_ID=?', (string)($p['CALL_ID'] ?? ''), $app['ID']) ?? self::fail('Call is not found');
        $user = self::user($p);
        $duration = (int)($p['DURATION'] ?? 0);
        $code = (string)($p['STATUS_CODE'] ?? ($duration > 0 ? '200' : '304'));
        $incoming = (int)$call['INCOMING'] !== 1;
        $activity = null;
        $entity = self::entity($call);
        if ($entity['ENTITY_ID'] !== null) {
            $type = strtolower($entity['ENTITY_TYPE']);
            $end = date('Y-m-d H:i:s', strtotime($call['DATE_CREATE']) + $duration);
            $activity = CCrmActivity::add([
                'TYPE_ID' => 2, 'PROVIDER_ID' => 'VOXIMPLANT_CALL', 'PROVIDER_TYPE_ID' => 'CALL', 'OWNER_ID' => (int)$entity['ENTITY_ID'], 'OWNER_TYPE_ID' => CCrm::TYPES[$type]['id'],
                'SUBJECT' => ($incoming ? 'Incoming call from ' : 'Outgoing call to ') . $call['CALLER_ID'], 'RESPONSIBLE_ID' => $user, 'AUTHOR_ID' => $user, 'DIRECTION' => $incoming ? 1 : 2,
                'COMPLETED' => $code === '200' || !$incoming ? 'Y' : 'N', 'START_TIME' => $call['DATE_CREATE'], 'END_TIME' => $end, 'DEADLINE' => $end, 'ORIGIN_ID' => 'VI_' . $call['CALL_ID'],
                'SETTINGS' => serialize(['MISSED_CALL' => $code === '304', 'DURATION' => $duration])],
                [], [['TYPE' => 'PHONE', 'VALUE' => $call['CALLER_ID']]], $user);
            if ($entity['IS_CREATED'] === 'Y') {
                DB::q('UPDATE b_crm_lead SET ASSIGNED_BY_ID=? WHERE ID=?', $user, $entity['ENTITY_ID']);
            }
        }
        $row = [
            'CALL_ID' => $call['CALL_ID'], 'EXTERNAL_CALL_ID' => $call['EXTERNAL_CALL_ID'], 'PORTAL_USER_ID' => $user, 'PHONE_NUMBER' => mb_substr($call['CALLER_ID'], 0, 20), 'PORTAL_NUMBER' => $call['PORTAL_NUMBER'], 'INCOMING' => $call['INCOMING'],
            'CALL_DURATION' => $duration, 'CALL_START_DATE' => $call['DATE_CREATE'], 'CALL_STATUS' => $code === '200' ? 1 : 0, 'CALL_VOTE' => (int)($p['VOTE'] ?? 0), 'COST' => (float)($p['COST'] ?? 0),
            'COST_CURRENCY' => $p['COST_CURRENCY'] ?? '', 'CALL_FAILED_CODE' => $code, 'CALL_FAILED_REASON' => $p['FAILED_REASON'] ?? (self::FAILED[$code] ?? ''), 'REST_APP_ID' => $app['ID'], 'REST_APP_NAME' => $app['APP_NAME'],
            'CRM_ACTIVITY_ID' => $activity, 'COMMENT' => null, 'CRM_ENTITY_TYPE' => $entity['ENTITY_TYPE'], 'CRM_ENTITY_ID' => $entity['ENTITY_ID']];
        $id = DB::insert('b_voximplant_statistic', $row);
        DB::q('DELETE FROM b_voximplant_call WHERE ID=?', $call['ID']);
        self::card($call, [$user, (int)$call['USER_ID']], 'hideExternalCall');
        if (!empty($p['RECORD_URL'])) {
            self::attach($id, (string)$p['RECORD_URL'], null);
        }
        CRestEvent::fire('ONVOXIMPLANTCALLEND', ['CALL_ID' => $call['CALL_ID'], 'CALL_TYPE' => $call['INCOMING'], 'PHONE_NUMBER' => $call['CALLER_ID'], 'CALL_DURATION' => $duration, 'CALL_FAILED_CODE' => $code, 'CRM_ACTIVITY_ID' => $activity]);
        return array_merge($row, ['CALL_START_DATE' => date('c', strtotime($call['DATE_CREATE'])), 'CRM_ENTITY_ID' => $entity['ENTITY_ID'] === null ? null : (int)$entity['ENTITY_ID'], 'ID' => $id]);
    }

    public static function attachRecord(array $p, CRestServer $s): array
    {
        $row = DB::row('SELECT * FROM b_voximplant_statistic WHERE CALL_ID=?', (string)($p['CALL_ID'] ?? '')) ?? self::fail('Call is not found in the statistic table. It looks like it is not finished yet.');
        $name = basename((string)($p['FILENAME'] ?? parse_url((string)($p['RECORD_URL'] ?? ''), PHP_URL_PATH)));
        if ($name === '') {
            self::fail('Required parameters are not set. Request should contain either URL or FILENAME parameter');
        }
        if (!in_array(strtolower(pathinfo($name, PATHINFO_EXTENSION)), ['wav', 'mp3'], true)) {
            self::fail('Wrong file extension. Only wav and mp3 are allowed');
        }
        if (!empty($p['RECORD_URL'])) {
            return ['FILE_ID' => self::attach((int)$row['ID'], (string)$p['RECORD_URL'], $name)];
        }
        if (!isset($p['FILE_CONTENT'])) {
            $token = hash_hmac('sha256', $row['CALL_ID'] . $name, LICENSE_KEY . COption::GetOptionString('main', 'server_uniq_id'));
            return ['uploadUrl' => (CSite::isHttps() ? 'https' : 'http') . '://' . ($_SERVER['HTTP_HOST'] ?? CSite::host()) . '/rest/upload.json?' . http_build_query(['auth' => $s->app['APPLICATION_TOKEN'] ?? '', 'call' => $row['CALL_ID'], 'name' => $name, 'token' => $token]), 'fieldName' => 'file'];
        }
        $content = base64_decode((string)$p['FILE_CONTENT'], true);
        if ($content === false) {
            self::fail('File content is not properly encoded. Base64 encoding is expected.');
        }
        return ['FILE_ID' => self::keep((int)$row['ID'], $name, $content !== '' ? $content : self::fail('File content is empty.'))];
    }

    /** The second half of an upload in two requests. */
    public static function upload(array $p, CRestServer $s): array
    {
        $token = hash_hmac('sha256', ($p['call'] ?? '') . ($p['name'] ?? ''), LICENSE_KEY . COption::GetOptionString('main', 'server_uniq_id'));
        $file = $_FILES['file']['tmp_name'] ?? '';
        if (!hash_equals($token, (string)($p['token'] ?? '')) || !is_uploaded_file($file)) {
            self::fail('File content is empty.');
        }
        $id = (int)DB::val('SELECT ID FROM b_voximplant_statistic WHERE CALL_ID=?', $p['call']);
        return ['FILE_ID' => self::keep($id, (string)$p['name'], (string)file_get_contents($file))];
    }

    private static function attach(int $statistic, string $url, ?string $name): int
    {
        $content = HttpClient::get($url) ?? self::fail('Server returns HTTP error code 404');
        return self::keep($statistic, $name ?? (basename((string)parse_url($url, PHP_URL_PATH)) ?: 'record.mp3'), $content);
    }

    private static function keep(int $statistic, string $name, string $content): int
    {
        $object = CDisk::addFile(CDisk::commonStorage(), $name, $content, 1, 'voximplant');
        $file = (int)CDisk::object($object)['FILE_ID'];
        DB::q('UPDATE b_voximplant_statistic SET CALL_RECORD_ID=?, CALL_WEBDAV_ID=? WHERE ID=?', $file, $object, $statistic);
        $activity = (int)DB::val('SELECT CRM_ACTIVITY_ID FROM b_voximplant_statistic WHERE ID=?', $statistic);
        if ($activity) {
            CCrmActivity::update($activity, ['STORAGE_TYPE_ID' => 3, 'STORAGE_ELEMENT_IDS' => serialize([$object])], 1);
        }
        return $file;
    }

    /** Records that have a number, contacts first. */
    public static function search(string $phone): array
    {
        $digits = self::digits($phone);
        $tail = substr($digits, -9);
        $rows = $tail === '' ? [] : DB::rows(
            "SELECT ENTITY_ID, ELEMENT_ID FROM b_crm_field_multi WHERE TYPE_ID='PHONE' AND (VALUE=? OR VALUE=? OR REGEXP_REPLACE(VALUE,'[^0-9]','') LIKE ?) ORDER BY FIELD(ENTITY_ID,'CONTACT','COMPANY','LEAD'), ELEMENT_ID DESC LIMIT 10", $phone, $digits, "%$tail");
        $found = [];
        foreach ($rows as $row) {
            $type = strtolower($row['ENTITY_ID']);
            $record = DB::row('SELECT * FROM ' . CCrm::TYPES[$type]['table'] . ' WHERE ID=?', $row['ELEMENT_ID']);
            if ($record !== null && ($type !== 'lead' || $record['STATUS_SEMANTIC_ID'] === 'P')) {
                $user = DB::row('SELECT u.ID, u.WORK_PHONE, u.PERSONAL_PHONE, u.PERSONAL_MOBILE, f.UF_PHONE_INNER USER_PHONE_INNER FROM b_user u LEFT JOIN b_uts_user f ON f.VALUE_ID=u.ID WHERE u.ID=?', $record['ASSIGNED_BY_ID']);
                $found[] = ['CRM_ENTITY_TYPE' => $row['ENTITY_ID'], 'CRM_ENTITY_ID' => (int)$row['ELEMENT_ID'], 'ASSIGNED_BY_ID' => (int)$record['ASSIGNED_BY_ID'], 'NAME' => $record['FULL_NAME'] ?? $record['TITLE'], 'ASSIGNED_BY' => ($user ?? []) + ['TIMEMAN_STATUS' => 'NOT_INSTALLED']];
            }
        }
        return $found;
    }

    private static function digits(string $phone): string
    {
        return (string)preg_replace('/\D/', '', $phone);
    }

    private static function user(array $p): int
    {
        $user = (int)($p['USER_ID'] ?? 0) ?: (int)DB::val('SELECT VALUE_ID FROM b_uts_user WHERE UF_PHONE_INNER=?', (string)($p['USER_PHONE_INNER'] ?? ''));
        return DB::val("SELECT 1 FROM b_user WHERE ID=? AND ACTIVE='Y'", $user) ? $user : self::fail('USER_ID or USER_PHONE_INNER should be set');
    }

    private static function fail(string $text): never
    {
        throw new RestError('ERROR_CORE', $text);
    }
}
