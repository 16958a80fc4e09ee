<?php
namespace {
    /** Events for webhooks and applications: online handlers are called by the vendor's service, offline ones go into a queue. */
    final class CRestEvent
    {
        public const NAMES = [
            'ONCRMLEADADD', 'ONCRMLEADUPDATE', 'ONCRMLEADDELETE', 'ONCRMDEALADD', 'ONCRMDEALUPDATE', 'ONCRMDEALDELETE', 'ONCRMCONTACTADD', 'ONCRMCONTACTUPDATE', 'ONCRMCONTACTDELETE',
            'ONCRMCOMPANYADD', 'ONCRMCOMPANYUPDATE', 'ONCRMCOMPANYDELETE', 'ONCRMACTIVITYADD', 'ONCRMACTIVITYUPDATE', 'ONCRMACTIVITYDELETE', 'ONCRMTIMELINECOMMENTADD',
            'ONCRMTIMELINECOMMENTUPDATE', 'ONCRMTIMELINECOMMENTDELETE', 'ONCRMREQUISITEADD', 'ONCRMREQUISITEUPDATE', 'ONCRMREQUISITEDELETE', 'ONCRMBANKDETAILADD', 'ONCRMBANKDETAILUPDATE',
            'ONCRMBANKDETAILDELETE', 'ONCRMADDRESSREGISTER', 'ONCRMADDRESSUNREGISTER', 'ONTASKADD', 'ONTASKUPDATE', 'ONTASKDELETE', 'ONTASKCOMMENTADD', 'ONTASKCOMMENTUPDATE', 'ONTASKCOMMENTDELETE', 'ONEXTERNALCALLSTART', 'ONEXTERNALCALLBACKSTART',
            'ONVOXIMPLANTCALLEND', 'ONIMBOTMESSAGEADD', 'ONAPPUNINSTALL', 'ONOFFLINEEVENT'];

        /** @var list<array{string, array}> */
        private static array $calls = [];

        public static function fire(string $name, array $data, ?int $app = null): void
        {
            static $handlers = [];
            $handlers[$name] ??= DB::rows('SELECT e.*, a.ACTIVE, a.INSTALLED FROM b_rest_event e LEFT JOIN b_rest_app a ON a.ID=e.APP_ID WHERE e.EVENT_NAME=?', $name);
            foreach ($handlers[$name] as $row) {
                if (((int)$row['APP_ID'] !== 0 && ($row['ACTIVE'] !== 'Y' || $row['INSTALLED'] !== 'Y')) || ($app !== null && (int)$row['APP_ID'] !== $app)) {
                    continue;
                }
                if ($row['EVENT_HANDLER'] === '') {
                    self::queue($row, $name, $data);
                } else {
                    self::later($row['EVENT_HANDLER'], ['event' => $name, 'data' => $data, 'ts' => time(), 'auth' => [
                        'domain' => CSite::serverName(), 'application_token' => $row['APPLICATION_TOKEN']]]);
                }
            }
        }

        /** Has a handler called after the answer has gone out; one that does not answer is not called again in this request. */
        public static function later(string $handler, array $body): void
        {
            if (self::$calls === []) {
                register_shutdown_function(static function (): void {
                    if (function_exists('fastcgi_finish_request')) {
                        fastcgi_finish_request();
                    }
                    $dead = [];
                    foreach (self::$calls as [$url, $body]) {
                        if (!isset($dead[$url]) && !\Bitrix\Rest\OAuthService::deliver($url, $body)) {
                            $dead[$url] = true;
                        }
                    }
                });
            }
            self::$calls[] = [$handler, $body];
        }

        /** The same event about the same record is kept once, with the time of the last. */
        private static function queue(array $row, string $name, array $data): void
        {
            if (($data['connector'] ?? '') !== '' && $data['connector'] === $row['CONNECTOR_ID']) {
                return;
            }
            DB::q("INSERT INTO b_rest_event_offline (MESSAGE_ID, APP_ID, EVENT_NAME, EVENT_DATA, EVENT_ADDITIONAL, PROCESS_ID, CONNECTOR_ID) VALUES (?,?,?,?,?,'',?)
                ON DUPLICATE KEY UPDATE TIMESTAMP_X=CURRENT_TIMESTAMP, EVENT_DATA=VALUES(EVENT_DATA)",
                md5($name . json_encode($data)), (int)$row['APP_ID'], $name, serialize($data), serialize([]), (string)$row['CONNECTOR_ID']);
        }
    }
}

namespace Bitrix\Rest {
    /**
     * The vendor's application service, and what the portal keeps of it: a pair in b_option. The service answers at once, for any host
     * and a licence; where the constant BITRIXREST_URL names another, that is asked in its place.
     */
    final class OAuthService
    {
        /** Makes the portal known there by the host of the request. The pair before stays, under the time of its end. */
        public static function register(): bool
        {
            $host = preg_replace('/:\d+$/', '', (string)($_SERVER['HTTP_HOST'] ?? '')) ?: self::host();
            if ($host === '' || \LICENSE_KEY === 'DEMO') {
                return false;
            }
            $pair = ['client_id' => 'app.' . bin2hex(random_bytes(7)) . ".$host", 'client_secret' => bin2hex(random_bytes(25))];
            if (defined('BITRIXREST_URL')) {
                $pair = self::ask('oauth/register/', ['redirect_uri' => (\CSite::isHttps() ? 'https' : 'http') . "://$host", 'type' => 'B', 'licence' => md5(\LICENSE_KEY)]);
            }
            if (!isset($pair['client_id'], $pair['client_secret'])) {
                return false;
            }
            foreach ($pair as $name => $value) {
                if (($before = \COption::GetOptionString('rest', "service_$name")) !== '') {
                    \COption::SetOptionString('rest', microtime() . " service_$name", $before);
                }
                \COption::SetOptionString('rest', "service_$name", $value);
            }
            return true;
        }

        /** True where the registration is of this very portal. */
        public static function isRegistered(): bool
        {
            return self::host() !== '' && str_ends_with(\COption::GetOptionString('rest', 'service_client_id'), '.' . self::host());
        }

        /** What the service gives a local application (application.add), which registers the portal first; null where it does not. */
        public static function add(string $code): ?array
        {
            if (!self::isRegistered() && !self::register()) {
                return null;
            }
            $client = 'local.' . substr(md5(\COption::GetOptionString('rest', 'service_client_id') . $code), 0, 14);
            return ['CLIENT_ID' => $client, 'CLIENT_SECRET' => bin2hex(random_bytes(20)), 'SHARED_KEY' => self::sharedKey($client)];
        }

        /** Whether the service knows an application as one of this portal's; those of another registration it does not. */
        public static function knows(array $app): bool
        {
            return self::isRegistered() && $app['SHARED_KEY'] === self::sharedKey($app['CLIENT_ID']);
        }

        /** Has the service call a handler. A portal that it does not know registers itself first. */
        public static function deliver(string $url, array $body): bool
        {
            if (\COption::GetOptionString('rest', 'service_client_id') === '' && !self::register()) {
                return false;
            }
            return defined('BITRIXREST_URL') ? self::ask('rest/event.call', ['url' => $url] + $body) !== null : \HttpClient::post($url, $body) !== null;
        }

        private static function ask(string $path, array $body): ?array
        {
            $answer = \HttpClient::post(rtrim(BITRIXREST_URL, '/') . "/$path", $body);
            return $answer === null ? null : (array)json_decode($answer, true);
        }

        private static function host(): string
        {
            return defined('BX24_HOST_NAME') ? BX24_HOST_NAME : \CSite::serverName();
        }

        private static function sharedKey(string $client): string
        {
            return md5(\COption::GetOptionString('rest', 'service_client_secret') . $client);
        }
    }
}
