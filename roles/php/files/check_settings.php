// Run with the pool's settings. Prints what the portal's site checker would reject, one line each.
$faults = [];
$modules = ['curl', 'dom', 'exif', 'fileinfo', 'filter', 'gd', 'hash', 'iconv', 'intl', 'json', 'ldap', 'mbstring', 'mysqli', 'openssl',
    'pcre', 'simplexml', 'sockets', 'xml', 'zip', 'zlib', 'Zend OPcache', 'apcu', 'redis'];
foreach ($modules as $module) {
    extension_loaded($module) || $faults[] = "extension $module is missing: add its package to php_packages";
}
$flags = ['short_open_tag' => true, 'allow_url_fopen' => true, 'file_uploads' => true, 'display_errors' => false,
    'opcache.enable' => true, 'opcache.validate_timestamps' => true];
foreach ($flags as $name => $wanted) {
    $value = filter_var(ini_get($name), FILTER_VALIDATE_BOOLEAN);
    $value === $wanted || $faults[] = "$name must be " . ($wanted ? 'On' : 'Off');
}
$least = ['max_input_vars' => 10000, 'max_file_uploads' => 100, 'default_socket_timeout' => 60,
    'opcache.max_accelerated_files' => 100000, 'pcre.backtrack_limit' => 1000000];
foreach ($least as $name => $minimum) {
    (int) ini_get($name) >= $minimum || $faults[] = "$name is " . ini_get($name) . ", the portal requires at least $minimum";
}
$bytes = static fn (string $name): int => ini_parse_quantity((string) ini_get($name));
$bytes('memory_limit') >= 268435456 || $faults[] = 'memory_limit is below 256M: raise php_memory_limit_mb';
$bytes('post_max_size') >= $bytes('upload_max_filesize') || $faults[] = 'post_max_size is below upload_max_filesize';
$same = ['default_charset' => 'UTF-8', 'opcache.revalidate_freq' => '0', 'session.cookie_httponly' => '1'];
foreach ($same as $name => $wanted) {
    ini_get($name) === $wanted || $faults[] = "$name is '" . ini_get($name) . "', the portal requires '$wanted'";
}
ini_set('pcre.backtrack_limit', '2000000') === false && $faults[] = 'pcre.backtrack_limit cannot be changed by the portal';
fwrite(STDERR, implode("\n", $faults) . ($faults ? "\n" : ''));
exit($faults ? 1 : 0);
