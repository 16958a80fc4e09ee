<?php
/**
 * Asks a portal what its clients ask, again and again, and writes one JSON line each time: clients.php HOST.
 * Page, database, cache and a subscription to push & pull, each with what the portal's settings say at that moment. A word
 * is empty where it went well, or says what did not. It goes on until it is stopped.
 */
error_reporting(0);
mysqli_report(MYSQLI_REPORT_OFF);
const SETTINGS = '/srv/portal/www/bitrix/.settings.php';
$host = $argv[1];

function page(string $host): string
{
    $asked = curl_init("https://$host/auth/");
    curl_setopt_array($asked, [
        CURLOPT_RESOLVE => ["$host:443:127.0.0.1"], CURLOPT_SSL_VERIFYPEER => false, CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 10, CURLOPT_FRESH_CONNECT => true,
    ]);
    curl_exec($asked);
    $status = curl_getinfo($asked, CURLINFO_RESPONSE_CODE);
    return $status === 200 ? '' : ($status ? "HTTP $status" : curl_error($asked));
}

function database(array $to): string
{
    $link = mysqli_init();
    $is_remote = $to['host'] !== 'localhost';
    if ($is_remote) {
        $link->ssl_set(null, null, '/etc/ssl/certs/ca-certificates.crt', null, null);
    }
    $is_open = $link->real_connect($to['host'], $to['login'], $to['password'], $to['database'], null, null, $is_remote ? MYSQLI_CLIENT_SSL : 0);
    return $is_open ? '' : mysqli_connect_error();
}

function cache(array $to): string
{
    try {
        $redis = new Redis();
        $redis->connect($to['host'], $to['port'], 5.0);
        if ($to['password'] ?? '') {
            $redis->auth($to['password']);
        }
        return $redis->ping() ? '' : 'no answer';
    } catch (RedisException $fault) {
        return $fault->getMessage();
    }
}

/** What a browser does that has got its channel with the page just now: 4010 closes a channel that was signed with another key. */
function push(string $host, string $key): string
{
    $id = bin2hex(random_bytes(16));
    $channel = "$id." . hash_hmac('sha1', $id, $key);
    $context = stream_context_create(['ssl' => ['verify_peer' => false, 'verify_peer_name' => false, 'peer_name' => $host]]);
    $stream = stream_socket_client('tls://127.0.0.1:443', $code, $message, 5, STREAM_CLIENT_CONNECT, $context);
    if (!$stream) {
        return "no connection: $message";
    }
    stream_set_timeout($stream, 5);
    $word = base64_encode(random_bytes(16));
    fwrite($stream, "GET /bitrix/subws/?CHANNEL_ID=$channel HTTP/1.1\r\nHost: $host\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        . "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: $word\r\n\r\n");
    $first = (string)fgets($stream);
    while (strlen((string)fgets($stream)) > 2);
    if (!str_contains($first, ' 101 ')) {
        return trim($first) ?: 'closed';
    }
    stream_set_timeout($stream, 0, 100000);
    $frame = (string)fread($stream, 4);
    return strlen($frame) === 4 && (ord($frame[0]) & 15) === 8 ? 'closed with ' . unpack('n', $frame, 2)[1] : '';
}

while (true) {
    $began = microtime(true);
    $settings = include SETTINGS;
    $line = [
        'began' => $began,
        'page' => page($host),
        'database' => database($settings['connections']['value']['default']),
        'cache' => cache($settings['cache']['value']['redis']),
        'push' => push($host, $settings['pull']['value']['signature_key']),
    ];
    echo json_encode($line + ['ended' => microtime(true)]), "\n";
    usleep(50000);
}
