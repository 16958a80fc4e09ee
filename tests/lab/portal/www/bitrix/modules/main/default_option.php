<?php
$main_default_option = [
    'check_agents' => 'Y', 'agents_use_crontab' => 'N', 'upload_dir' => 'upload', 'cookie_name' => 'BITRIX_SM', 'email_from' => 'admin@localhost',
    'bx_fast_download' => 'N', 'session_expand' => 'Y', 'mail_event_bulk' => '5', 'mail_event_period' => '14', 'check_events' => 'Y', 'agents_limit' => '100', 'agents_cron_limit' => '1000', 'mail_link_protocol' => '', 'server_name' => '', 'use_session_id_ttl' => 'N',
    'session_id_ttl' => '60', 'store_password' => 'Y',
];
