<?php
$pull_default_option = [
    'path_to_listener' => 'http://#DOMAIN#/bitrix/sub/', 'path_to_listener_secure' => 'https://#DOMAIN#/bitrix/sub/',
    'path_to_modern_listener' => 'http://#DOMAIN#/bitrix/sub/', 'path_to_modern_listener_secure' => 'https://#DOMAIN#/bitrix/sub/',
    'path_to_mobile_listener' => 'http://#DOMAIN#:8893/bitrix/sub/', 'path_to_mobile_listener_secure' => 'https://#DOMAIN#:8894/bitrix/sub/',
    'path_to_websocket' => 'ws://#DOMAIN#/bitrix/subws/', 'path_to_websocket_secure' => 'wss://#DOMAIN#/bitrix/subws/',
    'path_to_publish' => 'http://127.0.0.1:8895/bitrix/pub/', 'path_to_publish_web' => 'http://#DOMAIN#/bitrix/pubweb/', 'path_to_publish_web_secure' => 'https://#DOMAIN#/bitrix/pubweb/',
    'path_to_json_rpc' => 'https://#DOMAIN#/bitrix/api/', 'nginx' => 'N', 'nginx_version' => '2', 'nginx_headers' => 'Y', 'nginx_command_per_hit' => '100',
    'websocket' => 'Y', 'push' => 'N', 'push_message_per_hit' => '100', 'push_service_url' => 'https://cloud-messaging.bitrix24.tech/send/', 'signature_key' => '', 'signature_algo' => 'sha1', 'guest' => 'N',
    'server_mode' => 'personal', 'enable_protobuf' => 'Y', 'shared_server_address' => '', 'shared_server_key' => '', 'registered_on_shared_server' => 'N', 'config_ttl' => '86400',
];
