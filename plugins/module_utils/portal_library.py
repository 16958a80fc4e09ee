"""What the ``portal_*`` modules share; it also names every module of the portal package.

The package's modules import each other, and the atomic write, relatively. Ansible itself follows that when it packs a
module; Mitogen does not and sends only what is imported by an absolute name, so all of them are named here (a test
keeps the list complete).
"""

from __future__ import annotations

import datetime
import grp
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils import atomic
from ansible_collections.encaja.portal.plugins.module_utils.errors import EncajaError
from ansible_collections.encaja.portal.plugins.module_utils.portal import (
    applications,
    background_proof,
    background_work,
    cache,
    carry_over_state,
    checks_case,
    checks_copy,
    checks_licence,
    checks_server,
    checks_silence,
    checks_web,
    cloud,
    contract,
    contract_kernel,
    contract_pages,
    contract_probe,
    contract_tables,
    copy_state,
    credentials,
    database,
    domain,
    fastcgi,
    files,
    held_mail,
    host_facts,
    host_rewrite,
    kernel,
    lead_rates,
    licence,
    masking,
    module_versions,
    neutralise,
    outbox,
    packed,
    php,
    plan,
    probe_page,
    pull,
    recovery,
    remains,
    restored,
    search,
    serialized,
    settings,
    silence,
    site,
    snapshot,
    tls_faults,
    updater,
    upgrades,
    users,
    value_digest,
    verify,
)

__all__ = [
    "ADDRESS_ARGUMENTS",
    "COPY_ARGUMENTS",
    "FILE_ARGUMENTS",
    "PORTAL_ARGUMENTS",
    "address",
    "applications",
    "atomic",
    "attributes",
    "background_proof",
    "background_work",
    "cache",
    "carry_over_state",
    "checks_case",
    "checks_copy",
    "checks_licence",
    "checks_server",
    "checks_silence",
    "checks_web",
    "cloud",
    "contract",
    "contract_kernel",
    "contract_pages",
    "contract_probe",
    "contract_tables",
    "copy_state",
    "credentials",
    "database",
    "domain",
    "fastcgi",
    "files",
    "held_mail",
    "host_facts",
    "host_rewrite",
    "kernel",
    "lead_rates",
    "licence",
    "masking",
    "module_versions",
    "neutralise",
    "open_copy",
    "open_database",
    "open_portal",
    "outbox",
    "packed",
    "php",
    "plan",
    "probe_page",
    "pull",
    "recovery",
    "remains",
    "restored",
    "run",
    "search",
    "serialized",
    "settings",
    "settle",
    "silence",
    "site",
    "snapshot",
    "tls_faults",
    "updater",
    "upgrades",
    "users",
    "value_digest",
    "verify",
    "write_changed",
    "write_private",
]

FILE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "str"},
    "backup": {"type": "bool", "default": True},
}

ADDRESS_ARGUMENTS: dict[str, dict[str, Any]] = {
    "domain": {"type": "str", "required": True},
    "scheme": {"type": "str", "choices": ["https", "http"], "default": "https"},
    "port": {"type": "int", "default": 0},
    "site": {"type": "str", "default": ""},
    "old_hosts": {"type": "list", "elements": "str", "default": []},
    "mail_from": {"type": "str", "default": ""},
}

COPY_ARGUMENTS: dict[str, dict[str, Any]] = {
    "root": {"type": "path", "default": str(site.ROOT)},
    "marker": {"type": "path", "default": "/etc/encaja/environment"},
}

PORTAL_ARGUMENTS: dict[str, dict[str, Any]] = {
    "root": {"type": "path", "default": str(site.ROOT)},
    "state": {"type": "path", "default": str(site.STATE)},
    "fpm_socket": {"type": "path", "default": "/run/php/portal.sock"},
}


def run(arguments: dict[str, dict[str, Any]], converge: Callable[[AnsibleModule], dict[str, Any]]) -> None:
    """Run one ``portal_*`` module: its function returns the result, its errors become one line."""
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    try:
        result = converge(module)
    except EncajaError as fault:
        module.fail_json(msg=str(fault))
    except OSError as fault:
        module.fail_json(msg=f"{fault.filename}: {fault.strerror}" if fault.filename else str(fault))
    module.exit_json(**result)


def attributes(module: AnsibleModule, path: Path) -> files.Attributes:
    """Owner, group and mode as the task wants them; in check mode an owner that does not exist yet is ignored."""
    wanted = module.params
    try:
        return files.Attributes(
            pwd.getpwnam(wanted["owner"]).pw_uid if wanted["owner"] else None,
            grp.getgrnam(wanted["group"]).gr_gid if wanted["group"] else None,
            int(wanted["mode"], 8) if wanted["mode"] else None,
        )
    except KeyError as fault:
        if module.check_mode:
            return files.Attributes()
        raise EncajaError(f"no such owner or group: {fault}", str(path), "make it first") from fault


def write_changed(
    module: AnsibleModule, path: Path, data: bytes | None, difference: dict[str, str] | None
) -> dict[str, Any]:
    """Make a file's content (None: it is right already) and attributes as wanted; returns the module's result."""
    wanted = attributes(module, path)
    if data is not None:
        result: dict[str, Any] = {"changed": True, "diff": difference}
        if not module.check_mode:
            if path.exists() and module.params["backup"]:
                result["backup_file"] = str(files.keep_copy(path))
            files.write(path, data, wanted)
        return result
    changed = path.exists() and files.attributes_differ(path, wanted)
    if changed and not module.check_mode:
        files.set_attributes(path, wanted)
    return {"changed": changed}


def open_portal(module: AnsibleModule) -> site.Portal:
    """The portal that the task names."""
    return site.Portal(Path(module.params["root"]), Path(module.params["state"]))


def address(module: AnsibleModule, content: tuple[str, ...] = ()) -> domain.DomainPolicy:
    """The portal's address as the task gives it, with columns in which the old one is replaced as well."""
    given = module.params
    return domain.DomainPolicy(
        given["domain"], given["scheme"], given["port"], given["site"], tuple(given["old_hosts"]), content,
        given["mail_from"],
    )  # fmt: skip


def open_copy(module: AnsibleModule, refusal: str) -> tuple[database.Database, dict[int | str, Any]]:
    """The database and the settings of a copied portal.

    Args:
        module: with the options of ``COPY_ARGUMENTS``.
        refusal: the error for a host of production, or one without a marker.

    Raises:
        EncajaError: the host is no copy's, or there is no portal on it.
    """
    marker = Path(module.params["marker"])
    if not marker.exists() or marker.read_text().strip() == "production":
        raise EncajaError(refusal, str(marker), "name a copy")
    return open_database(module)


def open_database(module: AnsibleModule) -> tuple[database.Database, dict[int | str, Any]]:
    """The database and the settings of the portal at ``root``.

    Raises:
        EncajaError: there is no portal, or its database refuses the connection.
    """
    path = Path(module.params["root"]) / "bitrix" / ".settings.php"
    if not path.exists():
        raise EncajaError("there is no portal", str(path), "restore one there first")
    found = php.parse_settings(php.decode(path.read_bytes()), str(path))
    return database.Database.connect(found, str(path)), found


def write_private(path: Path, text: str) -> bool:
    """Write a list for an administrator, for the owner only; returns whether it has changed."""
    data = text.encode("utf-8-sig")
    if path.exists() and path.read_bytes() == data:
        return False
    files.write(path, data, files.Attributes(mode=0o600))
    return True


def settle(
    module: AnsibleModule,
    portal: site.Portal,
    wanted: plan.Plan,
    notes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Apply a plan (or show it, in check mode) and purge the portal's caches when it changed anything.

    That a purge is due is noted first: a run that was cut off leaves it to the next one, which finds nothing to change.
    """
    result: dict[str, Any] = {
        "changed": wanted.changed,
        "report": wanted.report,
        "diff": wanted.diff(),
        "portal_warnings": wanted.warnings,
    }
    if module.check_mode:
        return result
    if wanted.changed:
        portal.note(purge_due=True)
        result["kept"] = wanted.apply(portal.database)
        part = module._name.rpartition(".")[2].removeprefix("portal_")
        moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        portal.note(cured={**portal.state().get("cured", {}), part: moment})
    if portal.state().get("purge_due"):
        result["changed"] = True
        fresh = site.Portal(portal.root, portal.state_directory)
        result["purged"] = cache.purge(portal.root, fresh.effective, Path(module.params["fpm_socket"]))
        portal.note(purge_due=False)
    stale = {name: value for name, value in (notes or {}).items() if portal.state().get(name) != value}
    if stale:
        portal.note(**stale)
    return result
