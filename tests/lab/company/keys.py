"""Credentials and endpoints of a real portal, in every column and option that is known to hold some, each marked.

A mark is made of the place's name, so it is the same in every company, and a search for it tells whether a copy still
has the credential. Where the product packs, serialises or encodes what is around it, so does this.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import md5
from typing import TYPE_CHECKING, Any

from .store import Store, gz, php

if TYPE_CHECKING:
    from .build import Context

Form = Callable[[str], Any]


def mark(place: str) -> str:
    """What stands for the credential of a place: eight characters, as many as the shortest column holds."""
    return "qz" + md5(place.encode(), usedforsecurity=False).hexdigest()[:6]


def _url(text: str) -> str:
    return f"https://{text}.partner.test/hook"


def _php(key: str) -> Form:
    return lambda text: php({"title": "España", "inner": {key: text, "port": 587}})


def _json(key: str) -> Form:
    return lambda text: json.dumps({"title": "España", "inner": {key: text, "url": "/a/"}}).replace("/", "\\/")


def _nested(key: str) -> Form:
    """Serialised inside JSON."""
    return lambda text: json.dumps({"state": php({key: text})})


def _steps(text: str) -> list[dict[str, Any]]:
    hook = {"Type": "WebHookActivity", "Properties": {"Handler": _url(text)}}
    mail = {"Type": "MailActivity", "Properties": {"MailText": f"ñ https://erp.partner.test/?token={text}&n=1"}}
    code = {"Type": "CodeActivity", "Properties": {"Headers": {"apiKey": text}, "Title": "Aviso"}}
    return [{"Type": "SequentialWorkflowActivity", "Children": [hook, mail, code]}]


def _template(text: str) -> bytes:
    return gz(_steps(text))


def _bare_template(text: str) -> str:
    return php(_steps(text))


def _parameters(text: str) -> bytes:
    return gz({"Key": {"Name": "Clave", "Default": {"password": text}}})


def _jwt(text: str) -> str:
    return f"eyJhbGciOiJIUzI1NiJ9.{text}{text}.{text}{text}"


def _pem(text: str) -> str:
    return f"-----BEGIN RSA PRIVATE KEY-----\n{text}\n-----END RSA PRIVATE KEY-----"


def _hook(text: str) -> str:
    return f"https://portal.partner.test/rest/1/{text * 2}/crm.lead.add"


def _same(text: str) -> str:
    return text


_LONG_AGO = dict.fromkeys(("CREATED", "LAST_UPDATED", "START_TIME", "END_TIME", "DEADLINE"), "2020-01-01 10:00:00")
# Table -> what else a row needs, and the columns with how their credential stands in them.
ROWS: dict[str, tuple[Mapping[str, Any], Mapping[str, Form]]] = {
    "b_user": ({}, {"CHECKWORD": _same, "CONFIRM_CODE": _same}),
    "b_user_password": ({"USER_ID": 1}, {"PASSWORD": _same}),
    "b_app_password": ({"USER_ID": 1}, {"PASSWORD": _same, "DIGEST_PASSWORD": _same}),
    "b_user_auth_code": ({"USER_ID": 1, "CODE_TYPE": "email"}, {"OTP_SECRET": _same}),
    "b_user_phone_auth": ({"USER_ID": 1, "PHONE_NUMBER": "+34600000001"}, {"OTP_SECRET": _same}),
    "b_user_stored_auth": ({"USER_ID": 1}, {"STORED_HASH": _same}),
    "b_user_hit_auth": ({"USER_ID": 1}, {"HASH": _same, "URL": _url}),
    "b_user_field_confirm": ({"USER_ID": 1, "FIELD": "EMAIL"}, {"CONFIRM_CODE": _same}),
    "b_user_device": ({"USER_ID": 1}, {"DEVICE_UID": _same}),
    "b_user_session": ({"SESSION_ID": "s"}, {"SESSION_DATA": _php("token")}),
    "b_main_mail_sender": ({"EMAIL": "v@correo.test"}, {"OPTIONS": _php("password")}),
    "b_main_messenger_message": ({"QUEUE_ID": "tasks", "STATUS": "new"}, {"PAYLOAD": _json("token")}),
    "b_user_option": ({"USER_ID": 1, "CATEGORY": "crm", "NAME": "dialer"}, {"VALUE": _php("secret")}),
    "b_event": ({"EVENT_NAME": "USER_PASS_REQUEST", "LID": "s1", "SUCCESS_EXEC": "Y"},
                {"C_FIELDS": lambda text: php({"USER_ID": 1, "CHECKWORD": text})}),
    "b_agent": ({"MODULE_ID": "acme", "ACTIVE": "N", "AGENT_INTERVAL": 60},
                {"NAME": lambda text: f"acme_send('https://ana:{text}@partner.test/');"}),
    "b_geoip_handlers": ({"CLASS_NAME": "MaxMind"}, {"CONFIG": _php("PASSWORD")}),
    "b_rest_app": ({"CLIENT_ID": "local.1", "CODE": "x", "URL": ""},
                   {"CLIENT_ID": lambda text: f"local.{text}", "CLIENT_SECRET": _same, "SHARED_KEY": _same,
                    "APPLICATION_TOKEN": _same, "URL": _url, "URL_DEMO": _url, "URL_INSTALL": _url}),
    "b_rest_ap": ({"USER_ID": 1}, {"PASSWORD": lambda text: text * 2, "COMMENT": _hook}),
    "b_rest_event": ({"EVENT_NAME": "ONQZ"}, {"EVENT_HANDLER": _url, "APPLICATION_TOKEN": _same}),
    "b_rest_placement": ({"PLACEMENT": "CALL_CARD"}, {"PLACEMENT_HANDLER": _url}),
    "b_rest_integration": ({"ELEMENT_CODE": "x", "TITLE": "x"},
                           {"OUTGOING_HANDLER_URL": _url, "WIDGET_HANDLER_URL": _url, "BOT_HANDLER_URL": _url,
                            "APPLICATION_TOKEN": _same, "QUERY": lambda text: php([{"url": _hook(text)}])}),
    "b_rest_log": ({"METHOD": "x"}, {"REQUEST_AUTH": _php("access_token"), "REQUEST_DATA": _php("auth"),
                                     "RESPONSE_DATA": _json("token")}),
    "b_rest_event_offline": ({"MESSAGE_ID": "m", "APP_ID": 1, "EVENT_NAME": "X"},
                             {"EVENT_DATA": _php("token"), "EVENT_ADDITIONAL": _php("auth")}),
    "b_rest_configuration_storage": ({"CONTEXT": "c", "CODE": "c"}, {"DATA": _json("clientSecret")}),
    "b_bp_workflow_template": ({"ENTITY": "CCrmDocumentDeal", "DOCUMENT_TYPE": "DEAL", "DOCUMENT_STATUS": "QZ"},
                               {"TEMPLATE": _template, "PARAMETERS": _parameters, "VARIABLES": _parameters,
                                "CONSTANTS": _parameters}),
    "b_bp_workflow_instance": ({"ID": "qzw1", "ENTITY": "CCrmDocumentDeal", "DOCUMENT_ID": "DEAL_1",
                                "WORKFLOW_TEMPLATE_ID": 1}, {"WORKFLOW": _template, "WORKFLOW_RO": _bare_template}),
    "b_bp_workflow_template_draft": ({"ENTITY": "x", "DOCUMENT_TYPE": "x", "MODULE_ID": "crm"},
                                     {"TEMPLATE_DATA": lambda text: json.dumps(_steps(text))}),
    "b_bp_global_const": ({"ID": "Constant1", "NAME": "x", "PROPERTY_TYPE": "string"}, {"PROPERTY_VALUE": _jwt}),
    "b_bp_global_var": ({"ID": "Variable1", "NAME": "x", "PROPERTY_TYPE": "string"}, {"PROPERTY_VALUE": _hook}),
    "b_bp_rest_activity": ({"APP_ID": "x", "CODE": "x", "INTERNAL_CODE": "x"}, {"HANDLER": _url}),
    "b_bp_rest_provider": ({"APP_ID": "x", "CODE": "x", "TYPE": "sms"}, {"HANDLER": _url}),
    "b_bp_tracking": ({"WORKFLOW_ID": "w", "TYPE": 1, "ACTION_NAME": "A"}, {"ACTION_NOTE": _hook}),
    "b_bp_scheduler_event": ({"WORKFLOW_ID": "w", "HANDLER": "x", "EVENT_MODULE": "crm", "EVENT_TYPE": "x"},
                             {"EVENT_PARAMETERS": _php("token")}),
    "b_bp_automation_trigger": ({"NAME": "x", "CODE": "WEBHOOK", "MODULE_ID": "tasks", "ENTITY": "x",
                                 "DOCUMENT_TYPE": "x", "DOCUMENT_STATUS": "1"}, {"APPLY_RULES": _php("token")}),
    "b_crm_automation_trigger": ({"NAME": "x", "CODE": "WEBHOOK", "ENTITY_STATUS": "QZ"},
                                 {"APPLY_RULES": _php("token")}),
    "b_crm_external_sale": ({}, {"SERVER": _url, "LOGIN": _same, "PASSWORD": _same, "COOKIE": _php("session")}),
    "b_crm_ext_channel_connector": ({"TYPE_ID": "x", "NAME": "x", "APP_ID": "x", "CHANNEL_ID": "x",
                                     "ORIGINATOR_ID": "x"}, {"EXTERNAL_SERVER_HOST": _url}),
    "b_crm_tracking_source": ({"NAME": "x"}, {"AD_CLIENT_ID": _same, "AD_ACCOUNT_ID": _same}),
    "b_crm_timeline": ({}, {"SETTINGS": _php("token")}),
    "b_crm_act": (_LONG_AGO, {"SETTINGS": _php("password"), "PROVIDER_PARAMS": _nested("accessToken")}),
    "b_crm_timeline_rest_app_layout_blocks": ({"ITEM_TYPE": 1, "ITEM_ID": 1}, {"CLIENT_ID": _same}),
    "b_crm_invoice_payment": ({"PAY_SYSTEM_ID": 1}, {"PS_RECURRING_TOKEN": _same}),
    "b_mail_mailbox": ({"LID": "s1", "ACTIVE": "N"},
                       {"PASSWORD": _same, "OPTIONS": lambda text: php({"smtp": {"password": text}, "name": "Buzón"})}),
    "b_mail_oauth": ({"UID": "u"}, {"TOKEN": _same, "REFRESH_TOKEN": _same, "SECRET": _same}),
    "b_mail_mailservices": ({"SITE_ID": "s1", "NAME": "x"}, {"TOKEN": _same}),
    "b_mail_message_access": ({"MAILBOX_ID": 1}, {"TOKEN": _same, "SECRET": _same}),
    "b_mail_user_relations": ({"USER_ID": 1, "ENTITY_TYPE": "x"}, {"TOKEN": _same}),
    "b_im_bot_token": ({"DIALOG_ID": "1"}, {"TOKEN": _same}),
    "b_im_conference": ({"ALIAS_ID": 1}, {"PASSWORD": _same}),
    "b_im_app": ({"MODULE_ID": "rest", "CODE": "x"}, {"IFRAME": _url, "JS": _url}),
    "b_im_call": ({"TYPE": 1}, {"LOG_URL": _url}),
    "b_im_message_param": ({"MESSAGE_ID": 1, "PARAM_NAME": "X"}, {"PARAM_JSON": _json("access_token")}),
    "b_call_track": ({"CALL_ID": 1}, {"DOWNLOAD_URL": _url}),
    "b_imconnectors_status": ({"CONNECTOR": "x", "LINE": "1"}, {"DATA": _php("token")}),
    "b_imconnectors_info_connectors": ({"LINE_ID": 1}, {"DATA": _json("token")}),
    "b_messageservice_rest_app": ({"APP_ID": "x", "CODE": "x", "TYPE": "SMS"}, {"HANDLER": _url}),
    "b_messageservice_message": ({"TYPE": "SMS", "SENDER_ID": "x", "MESSAGE_TO": "1", "MESSAGE_BODY": "x"},
                                 {"MESSAGE_HEADERS": _php("token")}),
    "b_messageservice_incoming_message": ({"SENDER_ID": "x"}, {"REQUEST_BODY": _json("token")}),
    "b_voximplant_sip": ({"CONFIG_ID": 1}, {"PASSWORD": _same, "INCOMING_PASSWORD": _same,
                                            "AUTH_USER": _same, "OUTBOUND_PROXY": _same}),
    "b_voximplant_call": ({"CALL_ID": "c"}, {"ACCESS_URL": _url}),
    "b_voximplant_ivr_item": ({"IVR_ID": 1}, {"URL": _url}),
    "b_voximplant_statistic": ({"CALL_ID": "c"}, {"CALL_RECORD_URL": _url}),
    "b_voximplant_transcript": ({"CALL_ID": "c"}, {"URL": _url}),
    "b_disk_external_link": ({"OBJECT_ID": 1}, {"HASH": _same, "PASSWORD": _same, "SALT": _same}),
    "b_disk_cloud_import": ({"USER_ID": 1, "SERVICE": "x", "SERVICE_OBJECT_ID": "x"}, {"CONTENT_URL": _url}),
    "b_disk_onlyoffice_document_session": ({"USER_ID": 1, "OWNER_ID": 1, "TYPE": 1}, {"EXTERNAL_HASH": _same}),
    "b_disk_onlyoffice_document_info": ({"OWNER_ID": 1}, {"EXTERNAL_HASH": _same}),
    "b_clouds_file_bucket": ({}, {"SETTINGS": lambda text: php({"ACCESS_KEY": text, "SECRET_KEY": text})}),
    "b_landing_placement": ({"PLACEMENT": "x"}, {"PLACEMENT_HANDLER": _url}),
    "b_landing_hook_data": ({"ENTITY_ID": 1, "HOOK": "x", "CODE": "x"}, {"VALUE": _json("apiKey")}),
    "b_pull_push": ({"USER_ID": 1}, {"DEVICE_TOKEN": _same, "VOIP_TOKEN": _same}),
    "b_pull_channel": ({"USER_ID": 1, "CHANNEL_TYPE": "private"}, {"CHANNEL_ID": _same, "CHANNEL_PUBLIC_ID": _same}),
    "b_sec_user": ({"USER_ID": 1, "TYPE": "totp"}, {"SECRET": _same, "PARAMS": _php("start")}),
    "b_sec_recovery_codes": ({"USER_ID": 1}, {"CODE": _same}),
    "b_sale_b24integration_token": ({"GUID": "x"},
                                    {"ACCESS_TOKEN": _same, "REFRESH_TOKEN": _same, "REST_ENDPOINT": _url}),
    "b_sale_pay_system_action": ({"NAME": "x"}, {"PARAMS": _php("key")}),
    "b_sale_bizval": ({"CODE_KEY": "K", "CONSUMER_KEY": "P"}, {"PROVIDER_VALUE": lambda text: f"sk_live_{text}"}),
    "b_sale_delivery_srv": ({"NAME": "x", "ACTIVE": "N"}, {"CONFIG": _php("account")}),
    "b_sale_cashbox": ({"NAME": "x", "ACTIVE": "N"}, {"SETTINGS": _php("login"), "OFD_SETTINGS": _php("inn")}),
    "b_sale_tp": ({"CODE": "x", "NAME": "x", "ACTIVE": "N"}, {"SETTINGS": _php("app")}),
    "b_sale_tp_vk_profile": ({"PLATFORM_ID": 1}, {"OAUTH": _php("x"), "VK_SETTINGS": _php("x")}),
    "b_sale_yandex_settings": ({"SHOP_ID": 1}, {"CERT": _same, "PKEY": _pem, "CSR": _same}),
    "b_sale_order_payment": ({"PAY_SYSTEM_ID": 1}, {"PS_RECURRING_TOKEN": _same}),
    "b_catalog_subscribe_access": ({"USER_CONTACT": "x"}, {"TOKEN": lambda text: text[2:]}),
    "b_intranet_sharepoint": ({"IBLOCK_ID": 1, "SP_LIST_ID": "x"},
                              {"SP_URL": _url, "SP_AUTH_USER": _same, "SP_AUTH_PASS": _same}),
    "b_intranet_sharepoint_queue": ({"IBLOCK_ID": 1, "SP_METHOD": "x"}, {"SP_METHOD_PARAMS": _php("pass")}),
    "b_controller_member": ({"MEMBER_ID": "x", "NAME": "x"}, {"SECRET_ID": _same, "URL": _url, "HOSTNAME": _url}),
    "b_biconnector_key": ({"CONNECTION": "x"}, {"ACCESS_KEY": _same}),
    "b_biconnector_superset_user": ({"USER_ID": 1}, {"CLIENT_ID": _same}),
    "b_biconnector_dashboard": ({"NAME": "x"}, {"URL": _url}),
    "b_biconnector_external_source_settings": ({"SOURCE_ID": 1, "CODE": "password"}, {"VALUE": _same}),
    "b_biconnector_external_source_rest_connector": ({"TITLE": "x"}, {"URL_CHECK": _url, "URL_DATA": _url,
                                                                      "SETTINGS": _json("x")}),
    "b_ai_engine": ({"NAME": "x", "CODE": "x", "CATEGORY": "text"},
                    {"COMPLETIONS_URL": _url, "SETTINGS": _json("x")}),
    "b_ai_queue": ({"HASH": "x"}, {"PAYLOAD": _json("token")}),
    "b_baas_package": ({"CODE": "x"}, {"PURCHASE_URL": _url}),
    "b_baas_purchase": ({"CODE": "x"}, {"PURCHASE_URL": _url}),
    "b_location_source": ({"CODE": "GOOGLE", "NAME": "x"}, {"CONFIG": _json("API_KEY_BACKEND")}),
    "b_transformer_command": ({"GUID": "x", "COMMAND": "x"}, {"CALLBACK": _php("x"), "PARAMS": _php("back_url")}),
    "b_documentgenerator_external_link": ({"DOCUMENT_ID": 1}, {"HASH": _same}),
    "b_bitrixcloud_option": ({"NAME": "backup"}, {"PARAM_VALUE": _same}),
    "b_socialservices_user": ({"LOGIN": "x", "EXTERNAL_AUTH_ID": "x", "XML_ID": "x", "USER_ID": 1},
                              {"OATOKEN": _same, "OASECRET": _same, "REFRESH_TOKEN": _same}),
    "b_socialservices_ap": ({"USER_ID": 1, "DOMAIN": "x"},
                            {"PASSWORD": _same, "ENDPOINT": _url, "SETTINGS": _php("token")}),
    "b_dav_connections": ({"ENTITY_ID": 1, "ACCOUNT_TYPE": "caldav", "NAME": "x"},
                          {"SERVER_PASSWORD": _same, "SERVER_USERNAME": _same, "SERVER_HOST": _url}),
    "b_subscription": ({"EMAIL": "x@correo.test"}, {"CONFIRM_CODE": _same}),
    "b_hr_hcmlink_company": ({"MY_COMPANY_ID": 1, "CODE": "x", "TITLE": "x"}, {"DATA": _json("token")}),
}  # fmt: skip

OPTIONS: dict[str, Form] = {
    "main.signer_default_key": _same,
    "main.server_uniq_id": _same,
    "main.~rsa_key_pem": _pem,
    "main.~rsa_keys_openssl": _php("private"),
    "main.controller_member_secret_id": _same,
    "main.controller_url": _url,
    "main.controller_proxy_password": _same,
    "main.translate_key_yandex": _same,
    "main.dump_bucket_id": _same,
    "main.update_site_proxy_pass": _same,
    "rest.oauth_server": _url,
    "rest.0.42180900 1760000000 service_client_id": lambda text: f"app.{text}",
    "rest.0.42181100 1760000000 service_client_secret": _same,
    "rest.1760000001.2233 service_client_secret": _same,
    "crm.proxy_password": _same,
    "crm.webform_captcha_secret": _same,
    "im.file_link_default_key": _same,
    "im.call_server_url": _url,
    "call.call_log_secret": _same,
    "call.turn_server_password": _same,
    "voximplant.account_name": _same,
    "voximplant.proxy_password": _same,
    "disk.disk_onlyoffice_b24_secretKey": _same,
    "disk.disk_onlyoffice_temp_secret": _same,
    "disk.disk_boards_temp_secret": _same,
    "disk.flipchart.jwt_secret": _same,
    "disk.flipchart.webhook_url": _url,
    "landing.google_images_key": _same,
    "messageservice.sender.sms.twilio": _php("sid"),
    "messageservice.smsru_secret_key": _same,
    "security.redirect_href_sign": _same,
    "sale.YANDEX_CHECKOUT_OAUTH_TOKEN": _same,
    "salescenter.config_external_shop_token": _same,
    "sale.config_external_oauth_key": _same,
    "intranet.import_LDAP_password": _same,
    "biconnector.~superset_proxy_token": _same,
    "biconnector.superset_proxy_url": _url,
    "baas.client_key": _same,
    "fileman.google_map_api_key": _same,
    "fileman.google_map_api_key_backend": _same,
    "fileman.yandex_map_api_key": _same,
    "location.osm_token": _same,
    "location.osm_service_url": _url,
    "transformer.login": _same,
    "transformer.password": _same,
    "bitrixcloud.backup_access_key": _same,
    "seo.auth_token": _same,
    "mail.smtp_password": _same,
    "acme.exchange": _nested("refresh_token"),
}
SITE_OPTIONS: dict[str, Form] = {
    "sale.config_external_site_token": _same,
    "acme.exchange_of_site": _php("password"),
}


ADDED = {
    "b_agent", "b_event", "b_bp_workflow_template", "b_crm_automation_trigger", "b_crm_act", "b_rest_app",
    "b_rest_event",
}  # fmt: skip
"""Tables whose rows do something in the company: a credential gets a row of its own there."""


def plant(store: Store, now: datetime) -> dict[str, str]:
    """Plant a credential in every place; returns each place's mark.

    A table that has rows gets it in one of these, any other a row of its own.
    """
    marks = {}
    for table, (needed, columns) in ROWS.items():
        values = {column: form(mark(f"{table}.{column}")) for column, form in columns.items()}
        marks |= {f"{table}.{column}": mark(f"{table}.{column}") for column in columns}
        if table not in ADDED and store.value(f"SELECT COUNT(*) FROM {table}"):
            made = ", ".join(f"`{column}`=%s" for column in values)
            store.execute(f"UPDATE {table} SET {made} LIMIT 1", tuple(values.values()))
        else:
            store.insert(table, [{**needed, **values}])
    marks["b_catalog_subscribe_access.TOKEN"] = marks["b_catalog_subscribe_access.TOKEN"][2:]
    for listed, table, more in ((OPTIONS, "b_option", {}), (SITE_OPTIONS, "b_option_site", {"SITE_ID": "s1"})):
        for name, form in listed.items():
            module, _, key = name.partition(".")
            row = {"MODULE_ID": module, "NAME": key, "VALUE": form(mark(name)), **more}
            store.insert(table, [row], verb="REPLACE")
            marks[name] = mark(name)
    store.execute("UPDATE b_bp_workflow_template SET MODIFIED=%s WHERE MODIFIED<'2000-01-01'", (now,))
    return marks


def planted(c: Context) -> dict[str, int]:
    """Plant them in the company."""
    return {"credentials": len(plant(c.store, c.now))}
