<?php
// Stand-in of the vendor's portal: its command line. It wants composer's console, which no installation brings.
declare(strict_types=1);

if (PHP_SAPI !== 'cli') {
    http_response_code(404);
    exit;
}
$_SERVER['DOCUMENT_ROOT'] = dirname(__DIR__);
if (!is_dir(__DIR__ . '/vendor/symfony/console')) {
    echo "Install the console by composer first.\n";
    exit;
}
foreach (['NO_AGENT_CHECK', 'DisableEventsCheck', 'BX_CRONTAB'] as $name) {
    define($name, true);
}
require __DIR__ . '/modules/main/include.php';
$arguments = array_slice($_SERVER['argv'], 1);
$command = array_shift($arguments);
if ($command === 'list') {
    exit("Available commands:\n  update:modules  Updates modules\n");
}
if ($command !== 'update:modules') {
    fwrite(STDERR, "no such command\n");
    exit(1);
}
$given = [];
while (($word = array_shift($arguments)) !== null) {
    $given[$word] = (string)array_shift($arguments);
}
if (array_diff(array_keys($given), ['-m', '-i']) !== []) {
    fwrite(STDERR, "no such option\n");
    exit(1);
}
exit(CUpdater::run(
    array_values(array_filter(explode(',', $given['-m'] ?? ''))),
    isset($given['-i']) ? (array)json_decode((string)file_get_contents($given['-i']), true) : null,
));
