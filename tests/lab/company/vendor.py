"""What a cloud portal has besides its work: settings, applications, lines, agents, and the cloud's host everywhere."""

from __future__ import annotations

import json
from datetime import timedelta
from hashlib import md5
from typing import TYPE_CHECKING, Any

from .store import gz, php

if TYPE_CHECKING:
    from .build import Context


def _secret(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def _shared_key(client: str) -> str:
    """The key of an application that the vendor's service knows as this portal's (OAuthService of the stand-in)."""
    return _secret(_secret("client") * 2 + client)


def options(c: Context) -> int:
    """Options that hold the cloud's host, the rows of push & pull among them."""
    named = c.host if c.links == "cloud" else ""
    url, host = c.url, c.host
    values: dict[str, dict[str, str]] = {
        "main": {
            "server_name": named,
            "site_name": "Desarrollos Encaja",
            "last_site_url": url,
            "cookie_name": "BITRIX_SM",
            "update_site": "www.bitrixsoft.com",
            "vendor": "1c_bitrix_portal",
            "~PARAM_CLIENT_LANG": "es",
            "PARAM_MAX_USERS": "250",
            "PARAM_MAX_SITES": "2",
            "~COUNT_EXTRA": "Y",
            "~PARAM_PARTNER_ID": "",
            "~license_name": "Bitrix24 Enterprise (250)",
            "~license_codes": "CORPORATION_250",
            "~support_finish_date": f"{c.now + timedelta(days=300):%Y-%m-%d}",
            "~controller_disconnected": "N",
            "session_expand": "Y",
            "dump_auto_enable_auto": "1",
            "dump_temporary_cache": _secret("dump"),
            "~ft_b_user_index": php(["SEARCH_USER_CONTENT"]),
            "bx_fast_download": "N",
            "mail_link_protocol": "https",
            "rating_weight_type": "auto",
        },
        "pull": {
            "server_mode": "shared",
            "shared_server_address": "https://rtc-cloud.bitrix24.tech",
            "shared_server_key": _secret("shared"),
            "registered_on_shared_server": "Y",
            "host_id": _secret(host),
            "nginx": "N",
            "nginx_version": "5",
            "push": "Y",
            "websocket": "Y",
            "signature_key": _secret("signature"),
            "signature_algo": "sha1",
            "config_timestamp": "1767225600",
            "guest": "Y",
            "enable_protobuf": "Y",
            **{
                f"path_to_{name}{secure}": f"{scheme}{'s' if secure else ''}://{host}{path}"
                for name, scheme, path in (
                    ("listener", "http", "/bitrix/sub/"),
                    ("modern_listener", "http", "/bitrix/sub/"),
                    ("mobile_listener", "http", "/bitrix/sub/"),
                    ("websocket", "ws", "/bitrix/subws/"),
                )
                for secure in ("", "_secure")
            },
            "path_to_publish": f"https://{host}/bitrix/pub/",
            "path_to_publish_web": f"http://{host}/bitrix/rest/",
            "path_to_publish_web_secure": f"https://{host}/bitrix/rest/",
            "path_to_json_rpc": f"https://{host}/bitrix/api/",
        },
        "imbot": {"portal_url": url},
        "imopenlines": {"portal_url": url},
        "imconnector": {"uri_client": url},
        "voximplant": {"portal_url": url},
        "intranet": {"portal_url": url, "search_file_extension_exe_doc": "/usr/bin/catdoc"},
        "call": {
            "public_url": url,
            "turn_server": "turn.calls.bitrix24.com",
            "call_server_url": "https://calls.bitrix24.tech",
            "call_balancer_url": "https://balancer.calls.bitrix24.tech",
            "call_portal_key": _secret("call"),
        },
        "transformer": {
            "portal_url": url,
            "transformer_controller_url": "https://transformer.bitrix.info/json/add_queue.php",
        },
        "sign": {"public_url": url, "current_domain": host},
        "crm": {
            "portal_protocol_url": url,
            "webform_public_form_path": f"{url}/pub/form/#form_code#/#form_sec#/",
            "email_template": json.dumps({"footer": f'<a href="{url}/">España</a>', "level": 2}),
        },
        "rest": {
            "service_client_id": f"app.{_secret(host)[:14]}.{host}",
            "service_client_secret": _secret("client") * 2,
            "rest_server_path": f"{url}/rest",
        },
        "socialservices": {
            "bitrix24net_id": f"app.{_secret(host)[:14]}",
            "bitrix24net_secret": _secret("net"),
            "bitrix24net_domain": url,
        },
        "disk": {"disk_onlyoffice_server": "https://oo.bitrix.info", "successfully_converted": "Y"},
        "bitrixcloud": {"backup_secret_word": _secret("word"), "monitoring_devices": json.dumps([host])},
        "security": {"restriction_hosts_hosts": host, "restriction_hosts_action": "stop"},
        "landing": {
            "pub_path_s1": f"{url}/pub/site/",
            "site_domain": php({"domains": [host, f"www.{host}"], "titel": "España"}),
        },
        "messageservice": {
            "sender.sms.smsru": php(
                {
                    "api_id": _secret("sms"),
                    "login": "+34600000000",
                    "callback": f"{url}/bitrix/tools/messageservice/callback_smsru.php",
                }
            )
        },
        "calendar": {"google_push_endpoint": f"{url}/bitrix/tools/calendar/push.php"},
        "encaja": {"bucket": str(c.store.bucket or "")},
    }
    rows = [
        {"MODULE_ID": module, "NAME": name, "VALUE": value}
        for module, named_values in values.items()
        for name, value in named_values.items()
    ]
    c.store.insert("b_option", rows, verb="REPLACE")
    c.store.insert(
        "b_option_site",
        [{"MODULE_ID": "landing", "NAME": "pub_path", "SITE_ID": "s1", "VALUE": f"{url}/pub/site/"}],
        verb="REPLACE",
    )
    c.store.execute("UPDATE b_lang SET SERVER_NAME=%s WHERE LID='s1'", (named,))
    c.store.insert(
        "b_lang_domain", [{"LID": "s1", "DOMAIN": host}, {"LID": "s1", "DOMAIN": f"www.{host}"}], verb="INSERT IGNORE"
    )
    return len(rows)


def applications(c: Context) -> dict[str, int]:
    """Applications of the market and a local one, webhooks, event handlers, bots and open lines."""
    apps = (
        ("acme.telephony", "P", "Acme telephony", 4),
        ("partner.forms", "F", "Web forms", 2),
        ("bi.report", "T", "BI reports", 1),
        ("local.erp", "L", "ERP exchange", 1),
    )
    c.store.insert(
        "b_rest_app",
        [
            {
                "ID": n,
                "CLIENT_ID": f"app.{_secret(code)[:14]}" if status != "L" else f"local.{_secret(code)[:14]}",
                "CODE": code,
                "ACTIVE": "Y",
                "INSTALLED": "Y",
                "URL": f"https://{code}.partner.test/index",
                "URL_INSTALL": f"https://{code}.partner.test/install",
                "VERSION": str(version),
                "SCOPE": "crm,telephony,user,im,task",
                "STATUS": status,
                "SHARED_KEY": _shared_key(f"{'local' if status == 'L' else 'app'}.{_secret(code)[:14]}"),
                "CLIENT_SECRET": _secret(f"secret{code}"),
                "APP_NAME": name,
                "APPLICATION_TOKEN": _secret(f"token{code}"),
            }
            for n, (code, status, name, version) in enumerate(apps, 1)
        ],
    )
    c.store.insert(
        "b_rest_app_lang", [{"APP_ID": n, "LANGUAGE_ID": "es", "MENU_NAME": app[2]} for n, app in enumerate(apps, 1)]
    )
    for n, (title, scope) in enumerate((("Web shop", ("crm",)), ("Accounting", ("crm", "user", "task"))), 1):
        c.store.insert(
            "b_rest_ap",
            [
                {
                    "ID": n,
                    "USER_ID": 1,
                    "PASSWORD": _secret(f"hook{title}")[:16],
                    "TITLE": title,
                    "COMMENT": f"{c.url}/rest/1/…",
                    "DATE_CREATE": c.now,
                }
            ],
        )
        c.store.insert("b_rest_ap_permission", [{"PASSWORD_ID": n, "PERM": p} for p in scope])
    c.store.insert(
        "b_rest_event",
        [
            {
                "APP_ID": 2,
                "EVENT_NAME": "ONCRMDEALUPDATE",
                "EVENT_HANDLER": "http://hooks.partner.test/deal",
                "USER_ID": 1,
                "DATE_CREATE": c.now,
                "APPLICATION_TOKEN": _secret("tokenpartner.forms"),
            },
            {
                "APP_ID": 4,
                "EVENT_NAME": "ONIMBOTMESSAGEADD",
                "EVENT_HANDLER": "http://hooks.partner.test/bot",
                "USER_ID": 1,
                "DATE_CREATE": c.now,
                "APPLICATION_TOKEN": _secret("tokenlocal.erp"),
            },
        ],
    )
    c.store.insert(
        "b_rest_placement",
        [
            {
                "APP_ID": 1,
                "PLACEMENT": "CALL_CARD",
                "PLACEMENT_HANDLER": "https://acme.telephony.partner.test/card",
                "TITLE": "Acme",
                "DATE_CREATE": c.now,
            }
        ],
    )
    c.store.insert(
        "b_rest_integration",
        [
            {
                "ELEMENT_CODE": "in-hook",
                "TITLE": "Web shop",
                "PASSWORD_ID": 1,
                "USER_ID": 1,
                "SCOPE": php(["crm"]),
                "OUTGOING_HANDLER_URL": "http://hooks.partner.test/deal",
                "APPLICATION_TOKEN": _secret("integration"),
            }
        ],
    )
    bot = c.sizes.users + 3
    bots = (
        ("marta", "imbot", "B", "\\Bitrix\\ImBot\\Bot\\Marta", ""),
        ("support24", "imbot", "S", "\\Bitrix\\ImBot\\Bot\\Support24", ""),
        ("sales_assistant", "rest", "O", "\\Bitrix\\Im\\Bot", f"local.{_secret('local.erp')[:14]}"),
    )
    c.store.insert(
        "b_im_bot",
        [
            {
                "BOT_ID": bot + n,
                "MODULE_ID": module,
                "CODE": code,
                "TYPE": kind,
                "CLASS": name,
                "LANG": "es",
                "VERIFIED": "Y",
                "OPENLINE": "Y" if kind == "O" else "N",
                "APP_ID": app,
            }
            for n, (code, module, kind, name, app) in enumerate(bots)
        ],
    )
    c.store.insert(
        "b_im_command",
        [
            {
                "BOT_ID": bot + 2,
                "APP_ID": bots[2][4],
                "COMMAND": "precio",
                "MODULE_ID": "rest",
                "CLASS": "",
                "METHOD_COMMAND_ADD": "",
            }
        ],
    )
    c.store.insert(
        "b_im_app",
        [
            {
                "BOT_ID": bot,
                "APP_ID": "",
                "CODE": "marta",
                "MODULE_ID": "imbot",
                "CONTEXT": "ALL",
                "IFRAME": f"{c.url}/marta/",
            }
        ],
    )
    c.store.insert(
        "b_im_bot_network_session",
        [{"BOT_ID": bot + 1, "DIALOG_ID": "1", "SESSION_ID": 55, "GREETING_SHOWN": "Y", "DATE_CREATE": c.now}],
    )
    c.store.insert(
        "b_imopenlines_config",
        [
            {
                "ID": n,
                "LINE_NAME": name,
                "QUEUE_TYPE": "evenly",
                "WELCOME_BOT_ENABLE": "Y" if n == 1 else "N",
                "WELCOME_BOT_ID": bot + 2 if n == 1 else 0,
                "XML_ID": f"imol|line{n}",
                "DATE_CREATE": c.now,
            }
            for n, name in enumerate(("Web", "Telegram"), 1)
        ],
    )
    c.store.insert(
        "b_imconnectors_status",
        [
            {
                "CONNECTOR": kind,
                "LINE": str(n),
                "ACTIVE": "Y",
                "CONNECTION": "Y",
                "REGISTER": "Y",
                "DATA": php({"url": f"{c.url}/pub/imconnector/", "token": _secret(kind), "name": "España"}),
            }
            for n, kind in enumerate(("livechat", "telegrambot"), 1)
        ],
    )
    c.store.insert(
        "b_imopenlines_session",
        [
            {
                "SOURCE": "livechat",
                "STATUS": 60,
                "CONFIG_ID": 1,
                "USER_ID": bot + 4,
                "OPERATOR_ID": c.staff[n % len(c.staff)] if c.staff else 1,
                "USER_CODE": f"livechat|1|{n}",
                "CLOSED": "Y",
                "DATE_CREATE": c.now,
            }
            for n in range(40)
        ],
    )
    return {"applications": len(apps), "bots": len(bots)}


def channels(c: Context) -> dict[str, int]:
    """Everything that reaches out: mail, SMS, telephony, calendars, payments, buckets, devices, agents."""
    url = c.url
    c.store.insert(
        "b_mail_mailbox",
        [
            {
                "ID": n,
                "LID": "s1",
                "ACTIVE": "Y",
                "EMAIL": f"{name}@desarrollos.test",
                "USERNAME": name,
                "NAME": name,
                "SERVER": "imap.desarrollos.test",
                "PORT": 143,
                "LOGIN": f"{name}@desarrollos.test",
                "PASSWORD": f"sDS9{_secret(name)}==",
                "SERVER_TYPE": "imap",
                "USER_ID": 2,
                "PERIOD_CHECK": 10,
                "LINK": f"{url}/mail/",
                "OPTIONS": php({"flags": ["crm_connect"], "name": "Buzón"}),
            }
            for n, name in enumerate(("ventas", "info", "facturas"), 1)
        ],
    )
    c.store.insert(
        "b_main_mail_sender",
        [
            {
                "NAME": "Ventas",
                "EMAIL": "ventas@desarrollos.test",
                "USER_ID": 2,
                "IS_CONFIRMED": 1,
                "IS_PUBLIC": 1,
                "OPTIONS": php(
                    {
                        "smtp": {
                            "server": "smtp.desarrollos.test",
                            "port": 587,
                            "login": "ventas",
                            "password": _secret("smtp"),
                            "isOauth": False,
                        }
                    }
                ),
            }
        ],
    )
    pending = [
        {
            "EVENT_NAME": ("IM_NEW_NOTIFY", "BIZPROC_HTML_MAIL_TEMPLATE", "USER_INVITATION")[n % 3],
            "LID": "s1",
            "DATE_INSERT": c.now - timedelta(minutes=n),
            "SUCCESS_EXEC": "N",
            "DUPLICATE": "Y",
            "C_FIELDS": php(
                {
                    "EMAIL_TO": f"cliente{n}@correo.test",
                    "RECEIVER": f"cliente{n}@correo.test",
                    "TITLE": "Su visita del sábado",
                    "MESSAGE": f"Más información: {url}/pub/visita/{n}/ ñ",
                }
            ),
        }
        for n in range(24)
    ]
    c.store.insert("b_event", pending)
    c.store.insert(
        "b_event",
        [dict(pending[0]) | {"SUCCESS_EXEC": "Y", "DATE_INSERT": c.now - timedelta(days=n)} for n in range(1, 30)],
    )
    c.store.insert(
        "b_messageservice_rest_app",
        [
            {
                "APP_ID": "local.sms",
                "CODE": "smsgate",
                "TYPE": "SMS",
                "HANDLER": "http://sms.partner.test/send",
                "DATE_ADD": c.now,
            }
        ],
    )
    c.store.insert(
        "b_messageservice_message",
        [
            {
                "TYPE": "SMS",
                "SENDER_ID": "smsgate",
                "AUTHOR_ID": 1,
                "MESSAGE_TO": f"+3460000{n:04d}",
                "MESSAGE_BODY": f"Su visita: {url}/v/{n}",
                "DATE_INSERT": c.now,
                "SUCCESS_EXEC": "N",
            }
            for n in range(3)
        ],
    )
    c.store.insert(
        "b_voximplant_config",
        [
            {"ID": 1, "PORTAL_MODE": "SIP", "SEARCH_ID": "sip1", "PHONE_NAME": "Centralita"},
            {"ID": 2, "PORTAL_MODE": "RENT", "SEARCH_ID": "34911234567", "PHONE_NAME": "+34 911 23 45 67"},
        ],
    )
    c.store.insert(
        "b_voximplant_number", [{"NUMBER": "34911234567", "NAME": "Rented", "COUNTRY_CODE": "ES", "CONFIG_ID": 2}]
    )
    c.store.insert(
        "b_voximplant_sip",
        [
            {
                "CONFIG_ID": 1,
                "TYPE": "cloud",
                "REG_ID": 4711,
                "SERVER": "sip.provider.test",
                "LOGIN": "34911000000",
                "PASSWORD": _secret("sip")[:12],
                "INCOMING_SERVER": "incoming.sip.test",
                "INCOMING_LOGIN": "in",
                "INCOMING_PASSWORD": _secret("in")[:12],
                "REGISTRATION_STATUS_CODE": 200,
            }
        ],
    )
    c.store.insert(
        "b_voximplant_external_line",
        [
            {
                "TYPE": "rest-app",
                "NUMBER": "34911000000",
                "NORMALIZED_NUMBER": "34911000000",
                "NAME": "Acme",
                "REST_APP_ID": 1,
                "DATE_CREATE": c.now,
            }
        ],
    )
    c.store.insert("b_voximplant_queue", [{"ID": 1, "NAME": "Ventas", "TYPE": "all"}])
    c.store.insert("b_voximplant_caller_id", [{"NUMBER": "34911000000", "VERIFIED": "Y", "CONFIG_ID": 1}])
    calls = [
        {
            "PORTAL_USER_ID": c.dice.choice(c.staff),
            "PORTAL_NUMBER": "34911000000",
            "PHONE_NUMBER": f"346{c.dice.randrange(10**8):08d}",
            "INCOMING": str(1 + n % 2),
            "CALL_ID": f"externalCall.{_secret(str(n))}.{n}",
            "CALL_DURATION": c.dice.randrange(400),
            "CALL_START_DATE": t,
            "CALL_STATUS": 1,
            "CALL_FAILED_CODE": "200",
            "REST_APP_ID": 1,
            "REST_APP_NAME": "Acme telephony",
        }
        for n, t in enumerate(c.times(300))
    ]
    c.store.insert("b_voximplant_statistic", calls)
    c.store.insert(
        "b_dav_connections",
        [
            {
                "ENTITY_ID": u,
                "ACCOUNT_TYPE": "caldav_google_oauth",
                "NAME": "Google",
                "SERVER_SCHEME": "https",
                "SERVER_HOST": "apidata.googleusercontent.com",
                "SERVER_PORT": 443,
                "SERVER_USERNAME": c.people[u],
                "SERVER_PASSWORD": _secret(f"dav{u}"),
                "SERVER_PATH": "/caldav/v2",
            }
            for u in c.staff[:3]
        ],
    )
    c.store.insert(
        "b_calendar_section",
        [
            {
                "ID": n,
                "NAME": c.people[u],
                "CAL_TYPE": "user",
                "OWNER_ID": u,
                "CREATED_BY": u,
                "CAL_DAV_CON": n if n <= 3 else None,
            }
            for n, u in enumerate(c.staff, 1)
        ],
    )
    c.store.insert(
        "b_calendar_push",
        [
            {
                "ENTITY_TYPE": "SECTION",
                "ENTITY_ID": 1,
                "CHANNEL_ID": _secret("channel"),
                "RESOURCE_ID": "r1",
                "EXPIRES": c.now + timedelta(days=9),
            }
        ],
    )
    c.store.insert(
        "b_calendar_event",
        [
            {
                "CAL_TYPE": "user",
                "OWNER_ID": c.dice.choice(c.staff),
                "NAME": "Visita",
                "DATE_FROM": t,
                "DATE_TO": t + timedelta(hours=1),
                "LOCATION": f"{url}/video/{n}" if n % 4 == 0 else "Obra",
                "CREATED_BY": 1,
                "MEETING": php({"HOST_NAME": "Administrador", "REINVITE": False}),
            }
            for n, t in enumerate(c.times(200))
        ],
    )
    c.store.insert(
        "b_sale_pay_system_action", [{"PAY_SYSTEM_ID": 1, "NAME": "Tarjeta", "ACTION_FILE": "stripe", "CODE": "stripe"}]
    )
    c.store.insert(
        "b_sale_bizval",
        [
            {
                "CODE_KEY": "STRIPE_SECRET_KEY",
                "CONSUMER_KEY": "PAYSYSTEM_1",
                "PERSON_TYPE_ID": 0,
                "PROVIDER_KEY": "VALUE",
                "PROVIDER_VALUE": f"sk_live_{_secret('stripe')}",
            }
        ],
    )
    c.store.insert(
        "b_clouds_file_bucket",
        [
            {
                "ID": 1,
                "ACTIVE": "Y",
                "READ_ONLY": "N",
                "SERVICE_ID": "amazon_s3",
                "BUCKET": "b24-portal-4711",
                "LOCATION": "eu-central-1",
                "CNAME": "cdn.bitrix24.com",
                "SETTINGS": php({"ACCESS_KEY": f"AKIA{_secret('key')[:16].upper()}", "SECRET_KEY": _secret("bucket")}),
                "FILE_RULES": php([{"MODULE": "", "EXTENSION": "", "SIZE": ""}]),
            }
        ],
    )
    c.store.insert(
        "b_pull_push",
        [
            {
                "USER_ID": u,
                "DEVICE_TYPE": "GOOGLE",
                "APP_ID": "Bitrix24",
                "UNIQUE_HASH": _secret(f"device{u}"),
                "DEVICE_ID": _secret(f"d{u}"),
                "DEVICE_NAME": "Android",
                "DEVICE_TOKEN": _secret(f"t{u}") * 2,
                "DATE_CREATE": c.now,
            }
            for u in c.staff[::2]
        ],
    )
    c.store.insert(
        "b_pull_channel",
        [
            {
                "USER_ID": u,
                "CHANNEL_TYPE": "private",
                "CHANNEL_ID": _secret(f"c{u}"),
                "CHANNEL_PUBLIC_ID": _secret(f"p{u}"),
                "DATE_CREATE": c.now,
            }
            for u in c.staff
        ],
    )
    agents = [
        ("mail", "\\Bitrix\\Mail\\Helper::syncMailboxAgent(1);", "N", 600),
        ("mail", "\\Bitrix\\Mail\\Helper::syncMailboxAgent(2);", "N", 600),
        ("mail", "\\Bitrix\\Mail\\Helper::syncMailboxAgent(3);", "N", 600),
        ("crm", "\\Bitrix\\Crm\\Agent\\Notice\\NotificationAgent::run();", "N", 3600),
        ("bitrix24", "CBitrix24::CheckLicenseAgent();", "Y", 86400),
        ("calendar", "\\Bitrix\\Calendar\\Sync\\Managers\\DataExchangeManager::importAgent();", "N", 180),
        ("rest", "\\Bitrix\\Rest\\Marketplace\\Notification::checkAgent();", "N", 86400),
        ("imopenlines", "\\Bitrix\\ImOpenLines\\Session\\Agent::mailByTime(0);", "N", 60),
    ]
    c.store.insert(
        "b_agent",
        [
            {
                "MODULE_ID": module,
                "NAME": name,
                "ACTIVE": "Y",
                "NEXT_EXEC": c.now,
                "LAST_EXEC": c.now - timedelta(hours=1),
                "AGENT_INTERVAL": interval,
                "IS_PERIOD": period,
                "SORT": 100,
            }
            for module, name, period, interval in agents
        ],
    )
    return {"pending mails": len(pending), "calls": len(calls), "agents": len(agents)}


def traces(c: Context) -> int:
    """Places where the cloud's host hides: serialised PHP and JSON, pages, forms, a partner's own table."""
    url, host = c.url, c.host
    escaped = url.replace("/", "\\/")
    c.store.insert(
        "b_crm_webform",
        [
            {
                "ID": n,
                "ACTIVE": "Y",
                "NAME": f"Formulario {n}",
                "SECURITY_CODE": _secret(f"form{n}")[:6],
                "CODE": f"form{n}",
                "RESULT_SUCCESS_URL": f"{url}/pub/gracias/",
                "FORM_SETTINGS": php(
                    {"DOMAIN": host, "CAPTION": "¿Le llamamos?", "NESTED": php({"url": f"{url}/pub/form/{n}/"})}
                ),
                "DATE_CREATE": c.now,
            }
            for n in range(1, 6)
        ],
    )
    c.store.insert(
        "b_crm_tracking_source",
        [
            {
                "CODE": "google",
                "NAME": "Google",
                "TAGS": json.dumps({"landing": f"{url}/pub/?utm_source=google", "ñ": ["a", host]}),
            }
        ],
    )
    c.store.insert(
        "b_crm_automation_trigger",
        [
            {
                "NAME": "Form filled",
                "CODE": "WEBFORM",
                "ENTITY_TYPE_ID": 1,
                "ENTITY_STATUS": "NEW",
                "APPLY_RULES": json.dumps({"form": f"{url}/pub/form/1/"}, ensure_ascii=False),
            }
        ],
    )
    c.store.insert(
        "b_bp_workflow_template",
        [
            {
                "MODULE_ID": "crm",
                "ENTITY": "CCrmDocumentLead",
                "DOCUMENT_TYPE": "LEAD",
                "AUTO_EXECUTE": 1,
                "NAME": "Bienvenida",
                "TEMPLATE": gz(
                    [
                        {
                            "Type": "MailActivity",
                            "Properties": {"MailText": f"Bienvenido: {url}/pub/", "MailUserTo": ["author"]},
                        }
                    ]
                ),
                "PARAMETERS": gz({}),
            },
            {
                "MODULE_ID": "crm",
                "ENTITY": "CCrmDocumentDeal",
                "DOCUMENT_TYPE": "DEAL",
                "AUTO_EXECUTE": 0,
                "NAME": "Aprobación",
                "TEMPLATE": gz(
                    [
                        {
                            "Type": "WebHookActivity",
                            "Properties": {"Handler": "http://hooks.partner.test/approve", "Back": url},
                        }
                    ]
                ),
                "PARAMETERS": gz({}),
            },
        ],
    )
    c.store.insert(
        "b_landing_site",
        [{"ID": 1, "CODE": "/promo/", "TITLE": "Promo", "TYPE": "PAGE", "DOMAIN_ID": 1, "SMN_SITE_ID": "s1"}],
    )
    c.store.insert("b_landing_domain", [{"ID": 1, "DOMAIN": f"promo.{host}", "PROTOCOL": "https"}])
    c.store.insert(
        "b_landing_block",
        [
            {
                "LID": 1,
                "CODE": f"b{n}",
                "CONTENT": f'<section><a href="{url}/pub/form/{n}/">Solicite información</a>'
                f'<script>var s="{escaped}";</script></section>',
            }
            for n in range(40)
        ],
    )
    c.store.insert(
        "b_bitrixcloud_option",
        [
            {"NAME": n, "SORT": 0, "PARAM_KEY": "0", "PARAM_VALUE": v}
            for n, v in (
                ("cdn_config_active", "1"),
                ("cdn_config_domain", host),
                ("cdn_config_expire_time", "1767225600"),
            )
        ],
    )
    c.store.insert(
        "b_module_to_module",
        [
            {
                "FROM_MODULE_ID": "main",
                "MESSAGE_ID": "OnPageStart",
                "TO_MODULE_ID": "security",
                "TO_CLASS": "Bitrix\\Security\\HostRestriction",
                "TO_METHOD": "onPageStart",
                "UNIQUE_ID": _secret("host"),
            },
            {
                "FROM_MODULE_ID": "main",
                "MESSAGE_ID": "OnProlog",
                "TO_MODULE_ID": "bitrix24",
                "TO_CLASS": "CBitrix24",
                "TO_METHOD": "OnProlog",
                "UNIQUE_ID": _secret("b24"),
            },
        ],
    )
    c.store.insert(
        "b_short_uri",
        [
            {
                "URI": f"{url}/crm/deal/details/{n}/",
                "URI_CRC": n,
                "SHORT_URI": f"s{n}",
                "SHORT_URI_CRC": n,
                "MODIFIED": c.now,
            }
            for n in range(1, 20)
        ],
    )
    c.store.insert(
        "b_urlpreview_metadata",
        [{"URL": f"{url}/tasks/{n}/", "DATE_INSERT": c.now, "TITLE": "Tarea"} for n in range(1, 20)],
    )
    c.store.insert(
        "b_transformer_command",
        [
            {
                "GUID": _secret("cmd"),
                "STATUS": 300,
                "COMMAND": "Bitrix\\TransformerController\\Document",
                "MODULE": php(["disk"]),
                "CALLBACK": php(["Bitrix\\Disk\\View"]),
                "PARAMS": php({"back_url": f"{url}/bitrix/tools/transformer_result.php", "file": "/upload/ñ.doc"}),
            }
        ],
    )
    c.store.insert(
        "b_socialservices_ap",
        [
            {
                "TIMESTAMP_X": c.now,
                "USER_ID": 1,
                "DOMAIN": host,
                "ENDPOINT": f"{url}/bitrix/tools/oauth/",
                "LOGIN": "1",
                "PASSWORD": _secret("ap")[:16],
            }
        ],
    )
    c.store.insert(
        "b_sec_user",
        [
            {
                "USER_ID": c.staff[0] if c.staff else 1,
                "ACTIVE": "Y",
                "SECRET": _secret("otp"),
                "TYPE": "totp",
                "PARAMS": php({"start": 0}),
            }
        ],
    )
    c.store.execute(
        "CREATE TABLE IF NOT EXISTS acme_sync_endpoint (ID int NOT NULL AUTO_INCREMENT PRIMARY KEY, NAME varchar(100),"
        " ENDPOINT_URL varchar(255), API_TOKEN varchar(100), CALLBACK_URL varchar(255))"
    )
    c.store.insert(
        "acme_sync_endpoint",
        [
            {
                "NAME": "ERP",
                "ENDPOINT_URL": "https://erp.desarrollos.test/api",
                "API_TOKEN": _secret("erp"),
                "CALLBACK_URL": f"{url}/local/acme/callback.php",
            }
        ],
    )
    local: dict[str, str] = {
        "local/php_interface/init.php": f"<?php\ndefine('ACME_CALLBACK', '{url}/local/acme/callback.php');\n",
        "local/acme/settings.json": json.dumps({"portal": url, "hosts": [host]}, indent=1),
        "bitrix/php_interface/s1/init.php": f"<?php\n// {host}\n",
    }
    for name, text in local.items():
        path = c.store.docroot / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return len(local)


def manifest(c: Context) -> int:
    """List the bucket's files in ``bitrix/restore_cloud.php`` (facts, 1.7): time, size and path of each."""
    bucket = c.store.bucket
    if bucket is None:
        return 0
    lines = ["<?php die(); ?>"]
    for path in sorted(p for p in bucket.rglob("*") if p.is_file()):
        lines.append(f"{c.now:%Y-%m-%d %H:%M:%S} {path.stat().st_size:10d} b24-portal-4711/{path.relative_to(bucket)}")
    (c.store.docroot / "bitrix" / "restore_cloud.php").write_text("\n".join(lines) + "\n", encoding="utf-8")
    c.store.execute("UPDATE b_clouds_file_bucket SET FILE_COUNT=%s", (len(lines) - 1,))
    return len(lines) - 1


def access(c: Context) -> int:
    """What lets people, devices and programs in without a password, and what waits to be sent to them."""
    first = c.staff[:5] or [1]
    rows: dict[str, list[dict[str, Any]]] = {
        "b_user_stored_auth": [
            {
                "USER_ID": n,
                "DATE_REG": c.now,
                "LAST_AUTH": c.now,
                "STORED_HASH": _secret(f"stored{n}"),
                "IP_ADDR": 2130706433,
            }
            for n in first
        ],
        "b_user_hit_auth": [
            {"USER_ID": n, "HASH": _secret(f"hit{n}"), "URL": "/mobile/", "SITE_ID": "s1", "TIMESTAMP_X": c.now}
            for n in first
        ],
        "b_user_session": [
            {"SESSION_ID": _secret(f"session{n}"), "TIMESTAMP_X": c.now, "SESSION_DATA": php({"USER_ID": n})}
            for n in first
        ],
        "b_user_phone_auth": [{"USER_ID": n, "PHONE_NUMBER": f"+34600{n:06d}", "CONFIRMED": "Y"} for n in first],
        "b_user_password": [{"USER_ID": n, "PASSWORD": _secret(f"older{n}"), "DATE_CHANGE": c.now} for n in first],
        "b_app_password": [
            {
                "USER_ID": n,
                "APPLICATION_ID": "caldav",
                "PASSWORD": _secret(f"caldav{n}"),
                "DIGEST_PASSWORD": _secret(f"digest{n}"),
                "DATE_CREATE": c.now,
                "COMMENT": "Móvil",
            }
            for n in first
        ],
        "b_mail_oauth": [
            {
                "UID": _secret("mail"),
                "TOKEN": _secret("access"),
                "REFRESH_TOKEN": _secret("refresh"),
                "TOKEN_EXPIRES": 1767225600,
                "SECRET": _secret("mailbox"),
            }
        ],
        "b_disk_external_link": [
            {
                "OBJECT_ID": n,
                "HASH": _secret(f"link{n}"),
                "PASSWORD": _secret(f"word{n}"),
                "SALT": _secret("salt"),
                "TYPE": 2,
                "CREATE_TIME": c.now,
                "CREATED_BY": first[0],
            }
            for n in (1, 2)
        ],
        "b_pull_push_queue": [
            {
                "USER_ID": n,
                "TAG": "IM_CHAT",
                "MESSAGE": "Nuevo mensaje",
                "BADGE": 1,
                "DATE_CREATE": c.now,
                "APP_ID": "Bitrix24",
            }
            for n in first
        ],
        "b_rest_event_offline": [
            {
                "MESSAGE_ID": _secret(f"offline{n}"),
                "APP_ID": 2,
                "EVENT_NAME": "ONCRMLEADADD",
                "EVENT_DATA": php({"FIELDS": {"ID": n}}),
                "EVENT_ADDITIONAL": php({"user_id": 1}),
            }
            for n in (1, 2, 3)
        ],
        "b_rest_log": [
            {
                "CLIENT_ID": f"local.{_secret('local.erp')[:14]}",
                "SCOPE": "crm",
                "METHOD": "crm.lead.list",
                "REQUEST_METHOD": "POST",
                "REQUEST_URI": f"{c.url}/rest/crm.lead.list.json",
                "REQUEST_AUTH": php({"access_token": _secret("log")}),
            }
        ],
        "b_event_log": [
            {
                "TIMESTAMP_X": c.now,
                "SEVERITY": "SECURITY",
                "AUDIT_TYPE_ID": "USER_AUTHORIZE",
                "MODULE_ID": "main",
                "ITEM_ID": str(n),
                "REMOTE_ADDR": "127.0.0.1",
                "REQUEST_URI": f"{c.url}/stream/",
                "SITE_ID": "s1",
                "USER_ID": n,
            }
            for n in first
        ],
        "b_voximplant_phone": [
            {"USER_ID": n, "PHONE_NUMBER": f"+34911{n:06d}", "PHONE_MNEMONIC": "WORK_PHONE"} for n in first
        ],
    }
    return sum(c.store.insert(table, listed) for table, listed in rows.items())


def everything(c: Context) -> dict[str, Any]:
    """Run the parts of this module."""
    counts: dict[str, Any] = {"options": options(c)}
    counts |= applications(c)
    counts |= channels(c)
    traces(c)
    access(c)
    counts["files in the bucket"] = manifest(c)
    return counts
