<?php
namespace {
    /** Events for applications: online handlers are called at once, offline ones go into a queue. */
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
            $handlers[$name] ??= DB::rows('SELECT e.*, a.ACTIVE FROM b_rest_event e LEFT JOIN b_rest_app a ON a.ID=e.APP_ID WHERE e.EVENT_NAME=?', $name);
            foreach ($handlers[$name] as $row) {
                if (($row['APP_ID'] !== null && $row['ACTIVE'] !== 'Y') || ($app !== null && (int)$row['APP_ID'] !== $app)) {
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

        /** Calls a handler after the answer has gone out; one that does not answer is not called again in this request. */
        public static function later(string $handler, array $body): void
        {
            if (self::$calls === []) {
                register_shutdown_function(static function (): void {
                    if (function_exists('fastcgi_finish_request')) {
                        fastcgi_finish_request();
                    }
                    $dead = [];
                    foreach (self::$calls as [$url, $body]) {
                        if (!isset($dead[$url]) && HttpClient::post($url, $body) === null) {
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
    /** The box's registration with the vendor's application service, which here needs nothing but a host and a licence. */
    final class OAuthService
    {
        public static function register(): bool
        {
            if (\CSite::serverName() === '' || \LICENSE_KEY === 'DEMO') {
                return false;
            }
            \COption::SetOptionString('rest', 'service_client_id', 'app.' . substr(md5(\LICENSE_KEY . \CSite::serverName()), 0, 14) . '.' . \CSite::serverName());
            \COption::SetOptionString('rest', 'service_client_secret', bin2hex(random_bytes(25)));
            return true;
        }

        /** True where the registration is of this very portal. */
        public static function isRegistered(): bool
        {
            return str_ends_with(\COption::GetOptionString('rest', 'service_client_id'), '.' . \CSite::serverName()) && \CSite::serverName() !== '';
        }
    }
}
