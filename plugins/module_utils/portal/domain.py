"""The portal's domain: every setting that holds the old host gets the new one, and a scan finds what is left.

Links in notifications come out without a domain or with the cloud's when ``main.server_name``, ``b_lang.SERVER_NAME``
(it wins in several places), ``b_lang_domain`` and the addresses of open lines, bots and telephony are not all set.
Source: portal.md chapters 3 and 5 (3, 8).
"""

# ruff: noqa: S608  names of tables and columns are constants of this module or the database's own, and quoted

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigurationError
from . import packed, php, silence
from .database import quoted
from .host_rewrite import HostChange, ascii_host, old_hosts
from .plan import Plan
from .serialized import SerializedError, map_strings
from .site import Portal

ADDRESS_OPTIONS: Final = (
    ("imbot", "portal_url"),
    ("imopenlines", "portal_url"),
    ("imconnector", "uri_client"),
    ("voximplant", "portal_url"),
)
"""Public addresses with scheme, which an installed module has to have even when the cloud left the option empty."""

HOST_OPTIONS: Final = (
    ("main", "server_name"), ("imbot", "portal_url"), ("imopenlines", "portal_url"), ("imconnector", "uri_client"),
    ("voximplant", "portal_url"), ("call", "public_url"), ("transformer", "portal_url"), ("intranet", "portal_url"),
    ("sign", "public_url"), ("sign", "current_domain"), ("crm", "portal_protocol_url"), ("main", "last_site_url"),
)  # fmt: skip
"""Options that name the portal's own host; the old one is learnt from them."""

SETTING_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "b_option": ("VALUE",),
    "b_option_site": ("VALUE",),
    "b_user_option": ("VALUE",),
    "b_event_message": ("MESSAGE",),
    "b_rest_app": ("URL", "URL_DEMO", "URL_INSTALL"),
    "b_rest_event": ("EVENT_HANDLER",),
    f"{silence.AWAY}b_rest_event": ("EVENT_HANDLER",),
    "b_rest_placement": ("PLACEMENT_HANDLER",),
    "b_rest_integration": ("OUTGOING_HANDLER_URL", "WIDGET_HANDLER_URL", "BOT_HANDLER_URL"),
    "b_crm_webform": ("RESULT_SUCCESS_URL", "RESULT_FAILURE_URL", "FORM_SETTINGS"),
    "b_landing_domain": ("DOMAIN", "PREV_DOMAIN"),
    "b_imconnectors_status": ("DATA",),
    "b_messageservice_rest_app": ("HANDLER",),
    "b_event": ("C_FIELDS",),
    "b_bp_workflow_template": ("TEMPLATE", "PARAMETERS", "VARIABLES", "CONSTANTS"),
    "b_bp_workflow_instance": ("WORKFLOW", "WORKFLOW_RO"),
    "b_bp_global_const": ("PROPERTY_VALUE",),
    "b_bp_global_var": ("PROPERTY_VALUE",),
    "b_bp_rest_activity": ("HANDLER",),
    "b_bp_rest_provider": ("HANDLER",),
    "b_bp_automation_trigger": ("APPLY_RULES",),
    "b_main_messenger_message": ("PAYLOAD",),
    "b_crm_automation_trigger": ("APPLY_RULES",),
    "b_crm_tracking_source": ("TAGS",),
    "b_im_app": ("IFRAME",),
    "b_mail_mailbox": ("LINK",),
    "b_bitrixcloud_option": ("PARAM_VALUE",),
}
"""Columns that take effect (settings, handlers, templates, mail); what people wrote is only changed on request."""

TEXT_FILES: Final = (
    ".htaccess",
    "robots.txt",
    "sitemap*.xml",
    "bitrix/php_interface/**/*.php",
    "local/php_interface/**/*.php",
)
UNSCANNED: Final = frozenset({"cache", "managed_cache", "stack_cache", "html_pages", "tmp", "backup", "resize_cache"})
_TEXT_TYPES: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "json", "varbinary"})


@dataclass(frozen=True)
class DomainPolicy:
    """The portal's address.

    Attributes:
        domain: the host name.
        scheme: ``https`` or ``http``.
        port: TCP port, 0 for the scheme's own.
        site: the site (``b_lang.LID``) that it belongs to; needed only when sites have different hosts.
        old: further old hosts, besides those that the portal's options name.
        content: further columns (``table.column``) in which the old host is replaced; ``*`` for all texts.
        mail_from: the portal's sender address; empty leaves it.
    """

    domain: str
    scheme: str = "https"
    port: int = 0
    site: str = ""
    old: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    mail_from: str = ""


@dataclass
class Remains:
    """Where an old host is left."""

    tables: dict[str, int] = field(default_factory=dict)  # "table.column" -> rows
    files: list[str] = field(default_factory=list)


def chosen_sites(portal: Portal, policy: DomainPolicy, known: Sequence[str]) -> list[dict[str, Any]]:
    """The sites that get the domain.

    Raises:
        ConfigurationError: there is none, the named one is missing, or sites have hosts of their own and none is named.
    """
    sites = portal.sites
    where = f"database {portal.database.name}"
    if not sites:
        raise ConfigurationError("the portal has no active site", where, "activate one in b_lang")
    names = ", ".join(site["LID"] for site in sites)
    if policy.site:
        found = [site for site in sites if site["LID"] == policy.site]
        if not found:
            raise ConfigurationError(f"no active site {policy.site!r}", where, f"name one of: {names}")
        return found
    ours = {ascii_host(policy.domain), *known}
    strangers = [
        site["LID"] for site in sites[1:] if site["SERVER_NAME"] and not set(old_hosts([site["SERVER_NAME"]])) <= ours
    ]
    if strangers:
        raise ConfigurationError(
            f"sites {names} have different hosts", where, "name the site that gets the domain (settle_site)"
        )
    return sites


def known_hosts(portal: Portal, policy: DomainPolicy) -> tuple[str, ...]:
    """Every host that the portal is known to have had: by its options and sites, by earlier runs, and by the policy."""
    values = [portal.option(*name) for name in HOST_OPTIONS]
    default = portal.sites[:1]
    values += [site["SERVER_NAME"] or "" for site in default]
    if default:
        rows = portal.database.rows("SELECT DOMAIN FROM b_lang_domain WHERE LID = %s", default[0]["LID"])
        values += [row["DOMAIN"] for row in rows]
    constant = php.read_define(portal.dbconn, "BX24_HOST_NAME")
    values += [constant] if isinstance(constant, str) else []
    values += portal.state().get("old_hosts", [])
    return old_hosts([*values, *policy.old])


def host_change(portal: Portal, policy: DomainPolicy) -> HostChange:
    """What becomes what in this portal."""
    return HostChange(known_hosts(portal, policy), policy.domain, policy.scheme, policy.port)


def plan_domain(portal: Portal, policy: DomainPolicy) -> tuple[Plan, HostChange]:
    """Everything that has to change for the portal to live at its new address."""
    plan = Plan()
    change = host_change(portal, policy)
    sites = chosen_sites(portal, policy, change.old)
    _plan_sites(portal, plan, sites, change)
    explicit = _plan_options(portal, plan, change, policy)
    _plan_columns(portal, plan, change, policy, explicit)
    _plan_settings(portal, plan, change)
    _plan_files(portal, plan, change)
    if sites[0]["DIR"] not in {"", "/"}:
        plan.warnings.append(
            f"site {sites[0]['LID']} lives in {sites[0]['DIR']}: links lead there, push and REST do not"
        )
    plan.report = {"url": change.url, "old_hosts": list(change.old), "sites": [site["LID"] for site in sites]}
    return plan, change


def _plan_sites(portal: Portal, plan: Plan, sites: Iterable[Mapping[str, Any]], change: HostChange) -> None:
    domains = portal.database.rows("SELECT LID, DOMAIN FROM b_lang_domain")
    for site in sites:
        lid = site["LID"]
        before = {"SERVER_NAME": site["SERVER_NAME"], "DOC_ROOT": site["DOC_ROOT"] or ""}
        plan.update("b_lang", {"LID": lid}, before, {"SERVER_NAME": change.authority, "DOC_ROOT": ""})
        mine = [row["DOMAIN"] for row in domains if row["LID"] == lid]
        for name in mine:
            if name.lower() in change.old:
                plan.delete("b_lang_domain", {"LID": lid, "DOMAIN": name}, repr(name))
        if change.new not in mine:
            plan.insert("b_lang_domain", {"LID": lid, "DOMAIN": change.new}, label=lid)


def _plan_options(portal: Portal, plan: Plan, change: HostChange, policy: DomainPolicy) -> set[tuple[str, str]]:
    wanted = {
        ("main", "server_name"): change.authority,
        ("main", "mail_link_protocol"): change.scheme,
        **{name: change.url for name in ADDRESS_OPTIONS if name[0] in portal.modules},
    }
    if policy.mail_from:
        wanted["main", "email_from"] = policy.mail_from
    for (module, name), value in wanted.items():
        portal.set_option(plan, module, name, value)
    return set(wanted)


def _plan_columns(
    portal: Portal, plan: Plan, change: HostChange, policy: DomainPolicy, explicit: set[tuple[str, str]]
) -> None:
    if not change.old:
        return
    targets: dict[str, list[str]] = {table: list(columns) for table, columns in SETTING_COLUMNS.items()}
    for item in policy.content:
        if item == "*":
            for table, columns in portal.columns.items():
                targets.setdefault(table, []).extend(name for name, kind in columns.items() if kind in _TEXT_TYPES)
            continue
        table, _, column = item.partition(".")
        if not portal.has(table, column):
            raise ConfigurationError("no such column", f"settle_domain_content: {item}", "write table.column")
        targets.setdefault(table, []).append(column)
    for table, names in targets.items():
        found = [column for column in dict.fromkeys(names) if portal.has(table, column)]
        if table in {"b_lang", "b_lang_domain"} or not found:
            continue
        key = portal.database.primary_key(table)
        values = [column for column in found if column not in key]
        if not values:
            continue
        if not key:
            plan.warnings.append(f"{table} has no primary key: its values are not changed")
            continue
        kinds = portal.columns[table]
        for row in _rows_with(portal, table, [*key, *values], values, change.old):
            if table == "b_option" and (row["MODULE_ID"], row["NAME"].lower()) in explicit:
                continue
            before = {name: row[name] for name in values}
            _plan_row(plan, table, {name: row[name] for name in key}, before, change, kinds=kinds)


def _plan_row(
    plan: Plan,
    table: str,
    key: dict[str, Any],
    before: dict[str, Any],
    change: HostChange,
    *,
    kinds: Mapping[str, str],
) -> None:
    after: dict[str, Any] = {}
    for column, value in before.items():
        here = f"{table}.{column}[{'/'.join(map(str, key.values()))}]"
        if isinstance(value, bytes) and value:
            try:
                held = packed.read(value)
            except SerializedError as fault:
                plan.warnings.append(f"{here}: {fault.what}, left alone")
                continue
            text = change.in_value(held.text)
            if change.is_unreadable(held.text):
                plan.warnings.append(f"{here}: damaged value left alone")
            if text != held.text:
                after[column] = held.stored(text)
                if len(after[column]) > packed.BLOBS.get(kinds[column], len(after[column])):
                    plan.warnings.append(f"{here}: too long with the new host, left alone")
                    del after[column]
        elif isinstance(value, str):
            after[column] = change.in_value(value)
            if change.is_unreadable(value):
                plan.warnings.append(f"{here}: damaged value left alone")
    plan.update(table, key, before, {column: value for column, value in after.items() if value != before[column]})


def _rows_with(
    portal: Portal, table: str, names: Sequence[str], columns: Sequence[str], hosts: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The rows with an old host; what may be packed is looked into by the caller, and so are all rows that have it."""
    blobs = [column for column in columns if portal.columns[table][column] in packed.BLOBS]
    texts = [column for column in columns if column not in blobs]
    conditions = [f"{quoted(column)} LIKE %s" for column in texts for _ in hosts]
    conditions += [f"COALESCE({quoted(column)}, '') <> ''" for column in blobs]
    arguments = [f"%{_escaped(host)}%" for _ in texts for host in hosts]
    selected = ", ".join(quoted(name) for name in dict.fromkeys(names))
    sql = f"SELECT {selected} FROM {quoted(table)} WHERE {' OR '.join(conditions)}"
    return portal.database.each(sql, *arguments)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _plan_settings(portal: Portal, plan: Plan, change: HostChange) -> None:
    wanted = map_strings(portal.settings, change.in_value)
    cookies = wanted.get("cookies")
    value = cookies.get("value") if isinstance(cookies, Mapping) else None
    secure = {"secure": change.scheme == "https", "http_only": True}
    merged = {**(value if isinstance(value, Mapping) else {}), **secure}
    readonly = cookies.get("readonly", False) if isinstance(cookies, Mapping) else False
    if not (isinstance(value, Mapping) and value == merged):
        wanted = {**wanted, "cookies": {"value": merged, "readonly": readonly}}
    portal.set_settings(plan, wanted)
    portal.set_extra(plan, map_strings(portal.extra, change.in_value))


def _plan_files(portal: Portal, plan: Plan, change: HostChange) -> None:
    paths = [path for pattern in TEXT_FILES for path in sorted(portal.root.glob(pattern)) if path.is_file()]
    for path in dict.fromkeys(paths):
        before = portal.text(path)
        after = change.in_text(before)
        if path == portal.dbconn_path:
            portal.set_dbconn(plan, php.edit_define(after, "BX24_HOST_NAME"))
            continue
        plan.file(path, before, after, ("(old host)\n", "(new host)\n") if len(before) > 100_000 else None)


def scan(portal: Portal, hosts: Sequence[str], *, uploads: bool = False) -> Remains:
    """Where an old host still stands, in the whole database and the whole tree (caches and user files apart).

    The database is read once per table, comparing bytes: collation-aware comparison is several times slower.
    """
    remains = Remains()
    # "www.old" is found by looking for "old": every name less is one pass over the data less.
    hosts = [host for host in hosts if not any(other != host and other in host for other in hosts)]
    if not hosts:
        return remains
    for table, columns in portal.columns.items():
        texts = [column for column, kind in columns.items() if kind in _TEXT_TYPES]
        blobs = [column for column, kind in columns.items() if kind in packed.BLOBS]
        if texts or blobs:
            remains.tables.update(_scan_table(portal, table, texts + blobs, hosts))
        for column in blobs:
            if rows := _scan_packed(portal, table, column, hosts):
                remains.tables[f"{table}.{column}"] = remains.tables.get(f"{table}.{column}", 0) + rows
    needles = [host.encode() for host in hosts]
    for path, size in _files(portal.root, uploads=uploads):
        if _file_has(path, size, needles):
            remains.files.append(str(path.relative_to(portal.root)))
    return remains


def _scan_table(portal: Portal, table: str, columns: Sequence[str], hosts: Sequence[str]) -> dict[str, int]:
    def condition(column: str) -> str:
        return "(" + " OR ".join([f"CAST({quoted(column)} AS BINARY) LIKE %s"] * len(hosts)) + ")"

    patterns = [f"%{_escaped(host)}%" for host in hosts]
    sums = ", ".join(f"SUM({condition(column)}) AS {quoted(column)}" for column in columns)
    anywhere = " OR ".join(condition(column) for column in columns)
    row = portal.database.rows(f"SELECT {sums} FROM {quoted(table)} WHERE {anywhere}", *(patterns * len(columns) * 2))[
        0
    ]
    return {f"{table}.{column}": int(row[column]) for column in columns if row[column]}


def _scan_packed(portal: Portal, table: str, column: str, hosts: Sequence[str]) -> int:
    """How many packed values of a column hold an old host; what cannot be unpacked is named when it is settled."""
    needles = [host.encode() for host in hosts]
    found = 0
    condition = packed.PACKED_SQL.format(column=quoted(column))
    for row in portal.database.each(f"SELECT {quoted(column)} AS v FROM {quoted(table)} WHERE {condition}"):
        with suppress(SerializedError):
            data = packed.read(row["v"]).text.encode("utf-8", "surrogateescape")
            found += any(needle in data for needle in needles)
    return found


def _files(root: Path, *, uploads: bool) -> Iterator[tuple[Path, int]]:
    pending = [str(root)]
    while pending:
        directory = pending.pop()
        try:
            entries = list(os.scandir(directory))
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                top = directory == str(root) and entry.name == "upload"
                if entry.name not in UNSCANNED and (uploads or not top):
                    pending.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path), entry.stat(follow_symlinks=False).st_size


def _file_has(path: Path, size: int, needles: Sequence[bytes]) -> bool:
    if not size:
        return False
    try:
        with path.open("rb") as stream:
            if size < 1 << 20:
                data = stream.read()
                return any(needle in data for needle in needles)
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return any(mapped.find(needle) >= 0 for needle in needles)
    except OSError:
        return False
