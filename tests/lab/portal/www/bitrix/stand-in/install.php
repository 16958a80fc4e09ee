<?php
// Stand-in of the vendor's portal: installer. Usage: php bitrix/stand-in/install.php [CONFIG.json|-]; what is there already is kept.
declare(strict_types=1);

if (PHP_SAPI !== 'cli') {
    http_response_code(404);
    exit;
}
$_SERVER['DOCUMENT_ROOT'] = dirname(__DIR__, 2);
$root = $_SERVER['DOCUMENT_ROOT'];
$source = $_SERVER['argv'][1] ?? null;
$config = $source === null ? [] : json_decode((string)file_get_contents($source === '-' ? 'php://stdin' : $source), true);
if (!is_array($config)) {
    fwrite(STDERR, "install: $source is not a JSON object\n");
    exit(2);
}
$cloud = (bool)($config['cloud'] ?? false);
$host = (string)($config['host'] ?? 'localhost');
$protocol = (string)($config['protocol'] ?? 'https');

/** Writes a file unless it is there. */
$place = static function (string $path, string $text, int $mode = 0644) use ($root): void {
    if (!is_file("$root$path")) {
        is_dir(dirname("$root$path")) || mkdir(dirname("$root$path"), 0755, true);
        file_put_contents("$root$path", $text);
        chmod("$root$path", $mode);
    }
};

$database = ($config['database'] ?? []) + ['host' => 'localhost', 'name' => 'portal', 'login' => 'portal', 'password' => ''];
$key = $config['crypto_key'] ?? bin2hex(random_bytes(16));
$sections = [
    'utf_mode' => ['value' => true, 'readonly' => true],
    'cache_flags' => ['value' => ['config_options' => 3600, 'site_domain' => 3600], 'readonly' => false],
    'cookies' => ['value' => ['secure' => false, 'http_only' => true], 'readonly' => false],
    'exception_handling' => ['value' => ['debug' => false, 'handled_errors_types' => 4437, 'exception_errors_types' => 4437, 'ignore_silence' => false, 'assertion_throws_exception' => true, 'assertion_error_type' => 256, 'log' => null], 'readonly' => false],
    'crypto' => ['value' => ['crypto_key' => $key], 'readonly' => true],
    'connections' => ['value' => ['default' => ['className' => '\\Bitrix\\Main\\DB\\MysqliConnection', 'host' => $database['host'], 'database' => $database['name'], 'login' => $database['login'], 'password' => $database['password'], 'options' => 2]], 'readonly' => true],
];
if (isset($config['pull'])) {
    $sections['pull'] = ['value' => $config['pull'], 'readonly' => false];
}
foreach ($config['sections'] ?? [] as $name => $value) {
    $sections[$name] = ['value' => $value, 'readonly' => false];
}
$place('/bitrix/.settings.php', "<?php\nreturn " . var_export($sections, true) . ";\n", 0640);
$constants = $cloud ? "define('BX24_HOST_NAME', '$host');\ndefine('BX24_DB_NAME', '{$database['name']}');\n" : '';
$place('/bitrix/php_interface/dbconn.php', "<?php\n\$DBType = 'mysql';\n\$DBLogin = '{$database['login']}';\n\$DBPassword = '{$database['password']}';\n\$DBName = '{$database['name']}';\n"
    . "define('BX_FILE_PERMISSIONS', 0644);\ndefine('BX_DIR_PERMISSIONS', 0755);\ndefine('BX_UTF', true);\ndefine('BX_USE_MYSQLI', true);\ndefine('MYSQL_TABLE_TYPE', 'INNODB');\ndefine('SHORT_INSTALL', true);\n"
    . "define('BX_DISABLE_INDEX_PAGE', true);\ndefine('CACHED_b_lang', 3600);\n$constants", 0640);
if ($cloud) {
    $place('/bitrix/.config.php', "<?php\n// The cloud's own configuration.\nreturn ['BX24_HOST_NAME' => '$host', 'BX24_DB_NAME' => '{$database['name']}'];\n", 0640);
}
$place('/bitrix/license_key.php', "<?php\n\$LICENSE_KEY = '" . ($config['licence_key'] ?? 'DEMO') . "';\n", 0640);

$modules = array_map(basename(...), glob("$root/bitrix/modules/*", GLOB_ONLYDIR));
foreach ($modules as $module) {
    // That of main is in classes/general/version.php.
    $module === 'main' || $place("/bitrix/modules/$module/install/version.php", "<?php\n\$arModuleVersion = ['VERSION' => '26.250.0', 'VERSION_DATE' => '2026-05-12 10:00:00'];\n");
    $place("/bitrix/modules/$module/install/index.php", "<?php\n// Stand-in of the vendor's portal.\nclass {$module}_module\n{\n    public string \$MODULE_ID = '$module';\n    public string \$MODULE_VERSION = '26.250.0';\n}\n");
}

const STAND_IN_INSTALLER = true; // there are no options yet
require "$root/bitrix/modules/main/include.php";
if (!DB::rows("SHOW TABLES LIKE 'b_option'")) {
    DB::q('ALTER DATABASE `' . DB::val('SELECT DATABASE()') . '` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci');
}
DB::q('SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci');
foreach (glob("$root/bitrix/modules/*/install/mysql/install.sql") as $file) {
    DB::script($file);
}
foreach ($modules as $module) {
    DB::insert('b_module', ['ID' => $module], true);
}
if ($cloud) {
    DB::insert('b_module', ['ID' => 'bitrix24'], true);
    CSocServBitrix24Net::createAccounts();
}
ManagedCache::cleanAll();

DB::insert('b_culture', ['ID' => 1, 'CODE' => 'en', 'NAME' => 'en', 'FORMAT_DATE' => 'DD.MM.YYYY', 'FORMAT_DATETIME' => 'DD.MM.YYYY HH:MI:SS', 'CHARSET' => 'UTF-8'], true);
foreach (['en' => 'English', 'es' => 'Español'] as $code => $name) {
    DB::insert('b_language', ['LID' => $code, 'DEF' => $code === 'en' ? 'Y' : 'N', 'NAME' => $name, 'CULTURE_ID' => 1, 'CODE' => $code], true);
}
DB::insert('b_lang', [
    'LID' => 's1', 'SORT' => 1, 'DEF' => 'Y', 'NAME' => $config['company'] ?? 'Portal', 'DIR' => '/', 'FORMAT_DATE' => 'DD.MM.YYYY', 'FORMAT_DATETIME' => 'DD.MM.YYYY HH:MI:SS', 'CHARSET' => 'UTF-8', 'LANGUAGE_ID' => 'en', 'DOC_ROOT' => '',
    'SERVER_NAME' => $config['server_name'] ?? $host, 'SITE_NAME' => $config['company'] ?? 'Portal', 'EMAIL' => $config['email_from'] ?? "portal@$host", 'CULTURE_ID' => 1], true);
DB::insert('b_lang_domain', ['LID' => 's1', 'DOMAIN' => $host], true);
DB::insert('b_site_template', ['ID' => 1, 'SITE_ID' => 's1', 'SORT' => 1, 'TEMPLATE' => 'bitrix24'], true);
$groups = [
    1 => ['Administrators', ['SESSION_TIMEOUT' => 1440, 'SESSION_IP_MASK' => '0.0.0.0']], 2 => ['Everyone', null], 3 => ['Users allowed to vote', null], 12 => ['Employees', ['SESSION_TIMEOUT' => 1440]]];
foreach ($groups as $id => [$name, $policy]) {
    DB::insert('b_group', ['ID' => $id, 'NAME' => $name, 'ANONYMOUS' => $id === 2 ? 'Y' : 'N', 'SECURITY_POLICY' => $policy === null ? null : serialize($policy), 'STRING_ID' => ['12' => 'EMPLOYEES_s1'][$id] ?? null], true);
}
$admin = ($config['admin'] ?? []) + ['login' => 'admin', 'password' => bin2hex(random_bytes(8)), 'email' => "admin@$host"];
if (!DB::val('SELECT 1 FROM b_user WHERE ID=1')) {
    (new CUser())->Add(['ID' => 1, 'LOGIN' => $admin['login'], 'PASSWORD' => $admin['password'], 'EMAIL' => $admin['email'], 'NAME' => 'Portal', 'LAST_NAME' => 'Administrator', 'GROUP_ID' => [1, 2, 12], 'LANGUAGE_ID' => 'en']);
    DB::insert('b_uts_user', ['VALUE_ID' => 1, 'UF_DEPARTMENT' => serialize([1]), 'UF_PHONE_INNER' => '100'], true);
    if (!isset($config['admin']['password'])) {
        echo "admin password: {$admin['password']}\n";
    }
}
$templates = [
    ['USER_PASS_REQUEST', 'en', '#EMAIL#', '#SITE_NAME#: password reset', "Hello #NAME#,\n\nto choose a new password for #LOGIN# open\n#PROTOCOL#://#SERVER_NAME#/auth/index.php?change_password=yes&lang=en&USER_CHECKWORD=#CHECKWORD#&USER_LOGIN=#URL_LOGIN#\n"],
    ['USER_PASS_REQUEST', 'es', '#EMAIL#', '#SITE_NAME#: nueva contraseña', "Hola #NAME#:\n\npara elegir una contraseña nueva para #LOGIN# abra\n#PROTOCOL#://#SERVER_NAME#/auth/index.php?change_password=yes&lang=es&USER_CHECKWORD=#CHECKWORD#&USER_LOGIN=#URL_LOGIN#\n"],
    ['USER_PASS_REQUEST', null, '#EMAIL#', '#SITE_NAME#: password reset', "#PROTOCOL#://#SERVER_NAME#/auth/index.php?change_password=yes&lang=en&USER_CHECKWORD=#CHECKWORD#&USER_LOGIN=#URL_LOGIN#\n"],
    ['IM_NEW_NOTIFY', null, '#EMAIL_TO#', '#SITE_NAME#: #TITLE#', "#MESSAGE#\n"],
    ['BIZPROC_HTML_MAIL_TEMPLATE', null, '#RECEIVER#', '#TITLE#', "#MESSAGE#\n"],
    ['USER_INVITATION', null, '#EMAIL_TO#', '#SITE_NAME#: invitation', "#PROTOCOL#://#SERVER_NAME#/\n"],
];
if (!DB::val('SELECT 1 FROM b_event_message LIMIT 1')) {
    foreach ($templates as [$event, $language, $to, $subject, $text]) {
        DB::insert('b_event_type', ['LID' => 'en', 'EVENT_NAME' => $event, 'NAME' => $event], true);
        $id = DB::insert('b_event_message', ['EVENT_NAME' => $event, 'LID' => 's1', 'EMAIL_FROM' => '#DEFAULT_EMAIL_FROM#', 'EMAIL_TO' => $to, 'SUBJECT' => $subject, 'MESSAGE' => $text, 'LANGUAGE_ID' => $language]);
        DB::insert('b_event_message_site', ['EVENT_MESSAGE_ID' => $id, 'SITE_ID' => 's1']);
    }
}
$dictionaries = [
    'STATUS' => ['NEW' => ['New', null], 'IN_PROCESS' => ['In progress', null], 'PROCESSED' => ['Processed', null], 'CONVERTED' => ['Good lead', 'S'], 'JUNK' => ['Junk', 'F']],
    'DEAL_STAGE' => ['NEW' => ['New', null], 'PREPARATION' => ['Visit arranged', null], 'PREPAYMENT_INVOICE' => ['Reservation', null], 'EXECUTING' => ['Contract', null], 'WON' => ['Won', 'S'], 'LOSE' => ['Lost', 'F']],
    'SOURCE' => ['CALL' => ['Call', null], 'EMAIL' => ['E-mail', null], 'WEB' => ['Website', null], 'WEBFORM' => ['CRM form', null], 'CALLBACK' => ['Callback', null], 'OTHER' => ['Other', null]],
    'COMPANY_TYPE' => ['CUSTOMER' => ['Customer', null], 'SUPPLIER' => ['Supplier', null], 'PARTNER' => ['Partner', null], 'OTHER' => ['Other', null]],
    'CONTACT_TYPE' => ['CLIENT' => ['Client', null], 'SUPPLIER' => ['Supplier', null], 'OTHER' => ['Other', null]],
    'DEAL_TYPE' => ['SALE' => ['Sale', null], 'SERVICES' => ['Services', null]],
    'INDUSTRY' => ['OTHER' => ['Other', null], 'CONSTRUCTION' => ['Construction', null]],
    'HONORIFIC' => ['HNR_EN_1' => ['Mr.', null], 'HNR_EN_2' => ['Ms.', null]],
];
foreach ($dictionaries as $entity => $items) {
    $sort = 0;
    foreach ($items as $status => [$name, $semantics]) {
        $sort += 10;
        if (!DB::val('SELECT 1 FROM b_crm_status WHERE ENTITY_ID=? AND STATUS_ID=?', $entity, $status)) {
            DB::insert('b_crm_status', ['ENTITY_ID' => $entity, 'STATUS_ID' => $status, 'NAME' => $name, 'NAME_INIT' => $name, 'SORT' => $sort, 'SYSTEM' => 'Y', 'SEMANTICS' => $semantics]);
        }
    }
}
foreach (['LEAD' => ['UF_CRM_BRANCH' => 'string', 'UF_CRM_SCORE' => 'integer'], 'DEAL' => ['UF_CRM_BRANCH' => 'string', 'UF_CRM_FLAT' => 'string'], 'CONTACT' => ['UF_CRM_BRANCH' => 'string'], 'COMPANY' => ['UF_CRM_BRANCH' => 'string']] as $entity => $fields) {
    foreach ($fields as $field => $kind) {
        DB::insert('b_user_field', ['ENTITY_ID' => "CRM_$entity", 'FIELD_NAME' => $field, 'USER_TYPE_ID' => $kind, 'SORT' => 100], true);
    }
}
foreach ([1 => 'Organization', 2 => 'Person'] as $id => $name) {
    DB::insert('b_crm_preset', ['ID' => $id, 'COUNTRY_ID' => 0, 'NAME' => $name], true);
}
DB::insert('b_forum', ['ID' => 8, 'NAME' => 'Task comments', 'XML_ID' => 'tasks_forum'], true);
CDisk::commonStorage();
$im = CDisk::storage('im', 'Bitrix\\Im\\Disk\\ProxyType\\Im', 'im', 'Messenger');
$options = [
    'main' => ['server_name' => $config['server_name'] ?? $host, 'site_name' => $config['company'] ?? 'Portal', 'email_from' => $config['email_from'] ?? "portal@$host", 'mail_link_protocol' => $protocol, 'server_uniq_id' => bin2hex(random_bytes(16)), 'signer_default_key' => bin2hex(random_bytes(32)),
        'cookie_name' => 'BITRIX_SM', 'upload_dir' => 'upload', 'bx_fast_download' => 'N', 'session_expand' => 'N'],
    'tasks' => ['task_forum_id' => '8'],
    'im' => ['disk_storage_id' => $im['ID']],
    'disk' => ['successfully_converted' => 'Y'],
    'search' => ['full_text_engine' => 'bitrix'],
];
foreach (array_replace_recursive($options, $config['options'] ?? []) as $module => $values) {
    foreach ($values as $name => $value) {
        if (\Bitrix\Main\Config\Option::getRealValue($module, $name) === null) {
            \Bitrix\Main\Config\Option::set($module, $name, (string)$value);
        }
    }
}
$agents = [
    ['main', 'CEvent::CleanUpAgent();', 'Y', 86400], ['pull', 'CPullChannel::CheckOnlineChannel();', 'N', 240], ['pull', 'CPullChannel::CheckExpireAgent();', 'N', 43200], ['pull', 'CPullWatch::CheckExpireAgent();', 'N', 600],
    ['pull', 'CPushManager::SendAgent();', 'N', 30]];
foreach ($agents as [$module, $name, $period, $interval]) {
    CAgent::AddAgent($name, $module, $period, $interval);
}
foreach (['/bitrix/managed_cache', '/bitrix/cache', '/bitrix/stack_cache', '/bitrix/tmp', '/bitrix/backup', '/upload/tmp'] as $folder) {
    is_dir("$root$folder") || mkdir("$root$folder", 0775, true);
}
ManagedCache::cleanAll();
echo "installed: " . count($modules) . ' modules, ' . DB::val('SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE()') . " tables\n";
