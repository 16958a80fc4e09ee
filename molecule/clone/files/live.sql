-- What is live on a portal at work: every way out that the stand-in has, towards WORLD.
INSERT INTO b_event (EVENT_NAME, LID, C_FIELDS, SUCCESS_EXEC) VALUES ('IM_NEW_NOTIFY', 's1', 'a:1:{s:8:"EMAIL_TO";s:19:"customer@world.test";}', 'N');
INSERT INTO b_mail_mailbox (LID, ACTIVE, SERVER, PORT, LOGIN, PASSWORD) VALUES ('s1', 'Y', 'WORLD', 143, 'sales', 'secret'), ('s1', 'Y', 'WORLD', 993, 'info', 'secret');
INSERT INTO b_main_mail_sender (EMAIL, USER_ID, OPTIONS) VALUES ('sales@world.test', 1, 'a:1:{s:4:"smtp";a:0:{}}');
INSERT INTO b_agent (MODULE_ID, NAME, ACTIVE, NEXT_EXEC, IS_PERIOD, AGENT_INTERVAL) VALUES ('mail', '\\Bitrix\\Mail\\Helper::syncMailboxAgent(1);', 'Y', NOW(), 'N', 60), ('pull', 'CPushManager::SendAgent();', 'Y', NOW(), 'N', 30);
INSERT INTO b_messageservice_rest_app (APP_ID, CODE, TYPE, HANDLER) VALUES ('1', 'sms', 'SMS', 'http://WORLD/sms');
INSERT INTO b_voximplant_sip (CONFIG_ID, SERVER, LOGIN, PASSWORD, INCOMING_SERVER, INCOMING_LOGIN, INCOMING_PASSWORD) VALUES (1, 'WORLD', 'pbx', 'secret', 'WORLD', 'pbx', 'secret');
INSERT INTO b_voximplant_number (NUMBER) VALUES ('34910000000');
INSERT INTO b_rest_app (ID, CLIENT_ID, CODE, ACTIVE, INSTALLED, STATUS, CLIENT_SECRET, SHARED_KEY, APPLICATION_TOKEN) VALUES (1, 'local.1', 'connector', 'Y', 'Y', 'L', 'secret', 'shared', 'token');
INSERT INTO b_rest_event (APP_ID, EVENT_NAME, EVENT_HANDLER, APPLICATION_TOKEN) VALUES (1, 'ONEXTERNALCALLSTART', 'http://WORLD/call', 'token'), (NULL, 'ONCRMLEADADD', 'http://WORLD/lead', '');
INSERT INTO b_rest_ap (USER_ID, PASSWORD, ACTIVE) VALUES (1, 'incoming', 'Y');
INSERT INTO b_pull_push (USER_ID, DEVICE_TOKEN, DATE_CREATE) VALUES (1, 'telephone', NOW());
INSERT INTO b_clouds_file_bucket (ACTIVE, READ_ONLY, BUCKET, SETTINGS) VALUES ('Y', 'N', 'files', 'a:1:{s:10:"SECRET_KEY";s:6:"secret";}');
INSERT INTO b_option_site (MODULE_ID, NAME, SITE_ID, VALUE) VALUES ('pull', 'push', 's1', 'Y');
CREATE TABLE acme_sync_endpoint (ID int PRIMARY KEY, API_TOKEN varchar(50));
INSERT INTO acme_sync_endpoint VALUES (1, 'partner token');
INSERT INTO b_crm_lead (TITLE, DATE_CREATE, DATE_MODIFY, CREATED_BY_ID, ASSIGNED_BY_ID, STATUS_ID) VALUES ('Camiones para Valladolid', NOW(), NOW(), 1, 1, 'NEW');
