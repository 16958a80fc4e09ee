"""What the kit assumes of the product's tables and of what stands in them. These probes only read."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from . import licence
from .contract_probe import Assumption, Outcome, Subject, assumption, differs, holds, judged, unproven
from .serialized import SerializedError, unserialize

_SAMPLE: Final = 50
Columns = Mapping[str, tuple[str, ...]]


def columns_are_there(tables: Columns, subject: Subject) -> Outcome:
    """Every table has the columns that the kit reads or writes."""
    portal = subject.portal
    missing = [table for table in tables if not portal.has(table)]
    if len(missing) == len(tables):
        return unproven(f"no table {', '.join(missing)}: the portal is not installed completely")
    lacking = [
        f"{table}.{column}"
        for table, columns in tables.items()
        if table not in missing
        for column in columns
        if not portal.has(table, column)
    ]
    if missing or lacking:
        return differs(f"missing: {', '.join([*missing, *lacking])}")
    return holds(f"{', '.join(tables)} with {sum(map(len, tables.values()))} columns")


def option_key(subject: Subject) -> Outcome:
    """An option is one row: module and name are the key."""
    if not subject.portal.has("b_option"):
        return unproven("no table b_option: the portal is not installed completely")
    keys = {table: subject.database.primary_key(table) for table in ("b_option", "b_option_site")}
    wanted = {"b_option": ["MODULE_ID", "NAME"], "b_option_site": ["MODULE_ID", "NAME", "SITE_ID"]}
    shown = "; ".join(f"{table}: {', '.join(key) or 'no key'}" for table, key in keys.items())
    return judged({table: sorted(key) for table, key in keys.items()} == wanted, shown)


def login_key(subject: Subject) -> Outcome:
    """Log-in and mark together are unique."""
    rows = subject.database.rows("SHOW KEYS FROM b_user WHERE Non_unique = 0 AND Key_name <> 'PRIMARY'")
    keys: dict[str, list[str]] = {}
    for row in rows:
        keys.setdefault(row["Key_name"], []).append(row["Column_name"])
    shown = "; ".join(f"{name} ({', '.join(columns)})" for name, columns in keys.items()) or "no unique key"
    return judged(any(sorted(key) == ["EXTERNAL_AUTH_ID", "LOGIN"] for key in keys.values()), shown)


def departments(subject: Subject) -> Outcome:
    """A person's departments are a serialised list."""
    if not subject.portal.has("b_uts_user", "UF_DEPARTMENT"):
        return unproven("b_uts_user has no UF_DEPARTMENT yet")
    return _serialised(subject, "b_uts_user", "UF_DEPARTMENT")


def policies(subject: Subject) -> Outcome:
    """A group's security policy is a serialised list."""
    return _serialised(subject, "b_group", "SECURITY_POLICY")


def queued_fields(subject: Subject) -> Outcome:
    """What a queued mail says is a serialised list."""
    return _serialised(subject, "b_event", "C_FIELDS")


def _serialised(subject: Subject, table: str, column: str) -> Outcome:
    rows = _sample(subject, table, column)
    if not rows:
        return unproven(f"{table} has no row with {column}")
    wrong = 0
    for value in rows:
        try:
            wrong += not isinstance(unserialize(value), dict)
        except SerializedError:
            wrong += 1
    return judged(not wrong, f"{len(rows) - wrong} of {len(rows)} rows of {table} are serialised")


def _sample(subject: Subject, table: str, column: str) -> list[Any]:
    found = subject.database.rows(
        f"SELECT {column} AS v FROM {table} WHERE COALESCE({column}, '') <> '' LIMIT {_SAMPLE}"  # noqa: S608  names of this file
    )
    return [row["v"] for row in found]


def password_hashes(subject: Subject) -> Outcome:
    """Passwords are hashes of SHA-512 by crypt, or a salt before an MD5."""
    rows = [str(value) for value in _sample(subject, "b_user", "PASSWORD")]
    if not rows:
        return unproven("nobody has a password")
    known = sum((value.startswith("$6$") and len(value) > 100) or (32 <= len(value) <= 64) for value in rows)
    return judged(known == len(rows), f"{known} of {len(rows)} have one of the two forms")


def templates(subject: Subject) -> Outcome:
    """Templates of workflows and robots are serialised, packed with zlib or bare."""
    rows = _sample(subject, "b_bp_workflow_template", "TEMPLATE")
    if not rows:
        return unproven("there is no workflow and no robot")
    packed = bare = 0
    for value in rows:
        data = value if isinstance(value, bytes) else str(value).encode()
        try:
            data, form = zlib.decompress(data), 1
        except zlib.error:
            form = 0
        if data.startswith(b"a:"):
            packed, bare = packed + form, bare + 1 - form
    return judged(packed + bare == len(rows), f"of {len(rows)} templates {packed} are packed, {bare} bare")


def files_on_disk(subject: Subject) -> Outcome:
    """A file without a handler lies in the upload directory, under its row's folder and name."""
    rows = subject.database.rows(
        "SELECT SUBDIR, FILE_NAME FROM b_file WHERE COALESCE(HANDLER_ID, '') IN ('', '0') ORDER BY ID DESC LIMIT %s",
        _SAMPLE,
    )
    if not rows:
        return unproven("b_file has no row of a file on this host")
    upload = subject.portal.root / subject.portal.option("main", "upload_dir", "upload")
    there = sum((upload / (row["SUBDIR"] or "") / row["FILE_NAME"]).is_file() for row in rows)
    # Some may be lost, which `encaja verify` counts; that none is where its row says means another layout.
    return judged(bool(there), f"{there} of the last {len(rows)} are in {upload.name}/")


def task_forum(subject: Subject) -> Outcome:
    """The option of the tasks' forum names a forum."""
    number = subject.portal.option("tasks", "task_forum_id")
    if not number:
        return unproven("tasks.task_forum_id is not set yet")
    return judged(bool(subject.database.count("SELECT COUNT(*) FROM b_forum WHERE ID = %s", number)),
                  f"tasks.task_forum_id is {number}")  # fmt: skip


def disk_storage(subject: Subject) -> Outcome:
    """The messenger's option names a storage of the disk."""
    number = subject.portal.option("im", "disk_storage_id")
    if not number:
        return unproven("im.disk_storage_id is not set yet")
    return judged(bool(subject.database.count("SELECT COUNT(*) FROM b_disk_storage WHERE ID = %s", number)),
                  f"im.disk_storage_id is {number}")  # fmt: skip


def licence_options(subject: Subject) -> Outcome:
    """The licence's options are a day and numbers."""
    known = licence.read_licence(subject.portal)
    if known.faults:
        return differs("; ".join(known.faults))
    missing = [name for name, value in (("end", known.end), ("users", known.users)) if value is None]
    if missing:
        return unproven(f"nothing says the licence's {' and '.join(missing)} yet")
    return holds(f"it ends on {known.end}, for {known.users or 'any number of'} users")


def _table(
    name: str,
    what: tuple[str, str],
    tables: Columns,
    used: Sequence[str],
    modules: Sequence[str] = (),
) -> Assumption:
    return assumption(
        f"table-{name}",
        (f"{what[0]} are in {', '.join(tables)}.", f"{what[1]} están en {', '.join(tables)}."),
        partial(columns_are_there, tables),
        "Observed in releases 23.300 and 26.250 (tables of a new installation).",
        used,
        releases=_BOTH,
        modules=modules,
    )


_BOTH: Final = ("23.300", "26.250")
_KEYS: Final = "Observed in releases 23.300 and 26.250 (keys of a new installation)."
_OBSERVED: Final = "Observed in release 26.250."
ASSUMPTIONS: Final[Sequence[Assumption]] = (
    _table("options", ("Options", "Las opciones"),
           {"b_option": ("MODULE_ID", "NAME", "VALUE"), "b_option_site": ("MODULE_ID", "NAME", "SITE_ID", "VALUE")},
           ("portal.site", "portal.domain", "portal.neutralise")),
    assumption("table-option-key",
               ("Module and name are the key of an option, whatever its site.",
                "Módulo y nombre son la clave de una opción, sea cual sea su sitio."),
               option_key, _KEYS, ("portal.site", "portal.plan"), releases=_BOTH),
    _table("sites", ("Sites and their domains", "Los sitios y sus dominios"),
           {"b_lang": ("LID", "ACTIVE", "DEF", "SORT", "SERVER_NAME", "DOC_ROOT", "LANGUAGE_ID"),
            "b_lang_domain": ("LID", "DOMAIN")},
           ("portal.site", "portal.domain")),
    _table("modules", ("Installed modules and the handlers of their events",
                       "Los módulos instalados y los gestores de sus eventos"),
           {"b_module": ("ID",), "b_module_to_module": ("FROM_MODULE_ID", "MESSAGE_ID", "TO_MODULE_ID")},
           ("portal.site", "portal.cloud")),
    _table("people", ("People, their groups and the groups' policies",
                      "Las personas, sus grupos y las políticas de los grupos"),
           {"b_user": ("ID", "LOGIN", "PASSWORD", "CHECKWORD", "ACTIVE", "BLOCKED", "PASSWORD_EXPIRED",
                       "EXTERNAL_AUTH_ID", "EMAIL", "NAME", "LAST_NAME", "LANGUAGE_ID"),
            "b_user_group": ("USER_ID", "GROUP_ID"), "b_group": ("ID", "SECURITY_POLICY")},
           ("portal.users", "portal.recovery", "portal.background_work")),
    assumption("table-login-key",
               ("A log-in is unique together with its mark (EXTERNAL_AUTH_ID).",
                "Un usuario es único junto con su marca (EXTERNAL_AUTH_ID)."),
               login_key, _KEYS, ("portal.users",), releases=_BOTH),
    _table("mail", ("The mail queue and its templates", "La cola de correo y sus plantillas"),
           {"b_event": ("ID", "EVENT_NAME", "C_FIELDS", "SUCCESS_EXEC", "DATE_INSERT", "DATE_EXEC", "LID"),
            "b_event_message": ("ID", "EVENT_NAME", "ACTIVE", "MESSAGE", "EMAIL_FROM")},
           ("portal.background_work", "portal.recovery")),
    _table("agents", ("Agents", "Los agentes"),
           {"b_agent": ("ID", "MODULE_ID", "NAME", "ACTIVE", "LAST_EXEC", "NEXT_EXEC", "DATE_CHECK", "RUNNING",
                        "IS_PERIOD", "RETRY_COUNT", "AGENT_INTERVAL")},
           ("portal.background_work",)),
    _table("files", ("Files", "Los ficheros"),
           {"b_file": ("ID", "SUBDIR", "FILE_NAME", "FILE_SIZE", "HANDLER_ID")}, ("portal.cloud", "clone.files")),
    _table("tasks", ("Tasks, their forum's topics and messages", "Las tareas, los temas de su foro y sus mensajes"),
           {"b_tasks": ("ID", "TITLE", "FORUM_TOPIC_ID"), "b_forum_topic": ("ID", "FORUM_ID", "POSTS"),
            "b_forum_message": ("ID", "TOPIC_ID", "NEW_TOPIC", "APPROVED", "POST_MESSAGE", "AUTHOR_ID")},
           ("portal.background_work", "carryover.records.tasks"), ("tasks", "forum")),
    _table("search", ("Indexed records and their texts", "Los registros indexados y sus textos"),
           {"b_search_content": ("ID", "MODULE_ID", "ITEM_ID", "TITLE", "BODY"),
            "b_search_content_text": ("SEARCH_CONTENT_ID",)}, ("portal.search",), ("search",)),
    _table("rest", ("Webhooks, applications and their events", "Los webhooks, las aplicaciones y sus eventos"),
           {"b_rest_ap": ("ID", "USER_ID", "PASSWORD", "ACTIVE", "TITLE"),
            "b_rest_ap_permission": ("PASSWORD_ID", "PERM"),
            "b_rest_app": ("ID", "CLIENT_ID", "CLIENT_SECRET", "CODE", "STATUS", "ACTIVE", "URL", "APPLICATION_TOKEN"),
            "b_rest_event": ("APP_ID", "EVENT_NAME", "EVENT_HANDLER")},
           ("portal.neutralise", "portal.cloud", "carryover.source.offline_events"), ("rest",)),
    _table("crm-origins", ("Origins of leads, deals, contacts and companies",
                           "Los orígenes de prospectos, negociaciones, contactos y compañías"),
           dict.fromkeys(("b_crm_lead", "b_crm_deal", "b_crm_contact", "b_crm_company"),
                         ("ID", "ORIGINATOR_ID", "ORIGIN_ID")),
           ("carryover.source.origins", "carryover.mapping.identity_map"), ("crm",)),
    assumption("rows-licence",
               (f"main.{licence.END_OPTION} is a day (YYYY-MM-DD), main.{licence.USERS_OPTION} a number (0: no limit).",
                f"main.{licence.END_OPTION} es un día (AAAA-MM-DD) y main.{licence.USERS_OPTION} un número (0: sin"
                " límite)."),
               licence_options, _OBSERVED, ("portal.licence", "portal.checks_licence")),
    assumption("rows-departments",
               ("A person's departments are a serialised PHP array.",
                "Los departamentos de una persona son un array serializado de PHP."),
               departments, _OBSERVED, ("portal.users",), modules=("intranet",)),
    assumption("rows-policies",
               ("A group's security policy is a serialised PHP array.",
                "La política de seguridad de un grupo es un array serializado de PHP."),
               policies, _OBSERVED, ("portal.background_work",)),
    assumption("rows-mail-fields",
               ("The fields of a queued mail are a serialised PHP array.",
                "Los campos de un correo en cola son un array serializado de PHP."),
               queued_fields, _OBSERVED, ("portal.recovery", "portal.background_work")),
    assumption("rows-passwords",
               ("A password is kept as $6$ (SHA-512) or as a salt before an MD5.",
                "Una contraseña se guarda como $6$ (SHA-512) o como una sal ante un MD5."),
               password_hashes, _OBSERVED, ("portal.users",)),
    assumption("rows-templates",
               ("Templates of workflows and robots are serialised PHP, packed with zlib or bare.",
                "Las plantillas de procesos y robots son PHP serializado, comprimido con zlib o sin comprimir."),
               templates, _OBSERVED, ("portal.host_rewrite", "portal.neutralise"), modules=("bizproc",)),
    assumption("rows-files",
               ("A file without a handler lies in the upload directory, by its row's SUBDIR and FILE_NAME.",
                "Un fichero sin gestor está en el directorio de subidas, según SUBDIR y FILE_NAME de su fila."),
               files_on_disk, _OBSERVED, ("portal.cloud", "clone.files")),
    assumption("rows-task-forum",
               ("tasks.task_forum_id names the forum of the tasks' comments.",
                "tasks.task_forum_id indica el foro de los comentarios de las tareas."),
               task_forum, _OBSERVED, ("portal.background_work",), modules=("tasks", "forum")),
    assumption("rows-messenger-storage",
               ("im.disk_storage_id names the storage of the messenger's files.",
                "im.disk_storage_id indica el almacén de los ficheros del mensajero."),
               disk_storage, _OBSERVED, ("portal.pull",), modules=("im", "disk")),
)  # fmt: skip
