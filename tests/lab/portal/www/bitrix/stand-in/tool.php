<?php
// Stand-in of the vendor's portal: what an administrator does by hand in the real one, for scripts.
declare(strict_types=1);

if (PHP_SAPI !== 'cli') {
    http_response_code(404);
    exit;
}
$_SERVER['DOCUMENT_ROOT'] = dirname(__DIR__, 2);
in_array($_SERVER['argv'][1] ?? '', ['agents', 'mails'], true) || define('STAND_IN_TOOL', true); // whatever the licence
require dirname(__DIR__) . '/modules/main/include.php';
const USAGE = <<<'TXT'
usage: php bitrix/stand-in/tool.php COMMAND
  webhook --user ID --title T [--scope crm,task,user,im,disk,telephony] [--password P]   prints ID/PASSWORD of the address /rest/ID/PASSWORD/
  app --code C [--scope ...] [--token T] [--handler URL]                                 a local application; prints its token; `-` for a secret reads it
  option get MODULE NAME | set MODULE NAME VALUE | delete MODULE [NAME]
  reindex [--seconds N]      purge      agents      mails      check      password USER_ID (reads the word from stdin)
TXT;
$arguments = array_slice($_SERVER['argv'], 1);
$command = array_shift($arguments);
$named = $plain = [];
while (($a = array_shift($arguments)) !== null) {
    if (str_starts_with($a, '--')) {
        $named[substr($a, 2)] = (string)array_shift($arguments);
    } else {
        $plain[] = $a;
    }
}
/** A secret as given, read from standard input for `-`, or made up. */
$given = static fn(string $name, int $bytes): string => match ($named[$name] ?? '') {
    '-' => trim((string)stream_get_contents(STDIN)),
    '' => bin2hex(random_bytes($bytes)),
    default => $named[$name],
};
$scopes = $named['scope'] ?? 'crm,task,tasks,user,im,disk,telephony';
switch ($command) {
    case 'webhook':
        $user = (int)($named['user'] ?? 1);
        $password = $given('password', 8);
        if (!DB::val('SELECT 1 FROM b_rest_ap WHERE USER_ID=? AND PASSWORD=?', $user, $password)) {
            $id = DB::insert('b_rest_ap', ['USER_ID' => $user, 'PASSWORD' => $password, 'TITLE' => $named['title'] ?? 'Webhook', 'DATE_CREATE' => now()]);
            DB::bulk('b_rest_ap_permission', 'PASSWORD_ID, PERM', array_map(static fn($p) => [$id, trim($p)], explode(',', $scopes)));
        }
        echo "$user/$password\n";
        break;
    case 'app':
        $code = $named['code'] ?? 'local';
        $pair = \Bitrix\Rest\OAuthService::add($code) ?? exit("the vendor's service does not register this portal\n");
        $token = DB::val('SELECT APPLICATION_TOKEN FROM b_rest_app WHERE CLIENT_ID=?', $pair['CLIENT_ID']);
        if ($token === null) {
            $token = $given('token', 16);
            DB::insert('b_rest_app', $pair + ['CODE' => $code, 'APP_NAME' => $code, 'INSTALLED' => 'Y', 'URL' => $named['handler'] ?? '', 'SCOPE' => $scopes, 'STATUS' => 'L', 'APPLICATION_TOKEN' => $token]);
        }
        echo "$token\n";
        break;
    case 'option':
        match ($plain[0] ?? '') {
            'get' => print(COption::GetOptionString($plain[1], $plain[2]) . "\n"),
            'set' => COption::SetOptionString($plain[1], $plain[2], $plain[3] ?? ''),
            'delete' => COption::RemoveOption($plain[1], $plain[2] ?? ''),
            default => exit(USAGE . "\n"),
        };
        break;
    case 'reindex':
        $done = CSearch::ReIndexAll(true, (int)($named['seconds'] ?? 0));
        while (is_array($done)) {
            fwrite(STDERR, json_encode($done) . "\n");
            $done = CSearch::ReIndexAll(true, (int)$named['seconds'], $done);
        }
        echo "$done\n";
        break;
    case 'purge':
        ManagedCache::cleanAll();
        break;
    case 'agents':
        echo CAgent::CheckAgents() . "\n";
        break;
    case 'mails':
        echo CEvent::CheckEvents() . "\n";
        break;
    case 'check':
        echo json_encode(CSiteChecker::all(), JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES) . "\n";
        break;
    case 'password':
        (new CUser())->Update((int)($plain[0] ?? 0), ['PASSWORD' => trim((string)fgets(STDIN))]);
        break;
    default:
        fwrite(STDERR, USAGE . "\n");
        exit(2);
}
