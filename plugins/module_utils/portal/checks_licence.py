"""The box's licence: whether it opens the portal, until when, and for how many; and the versions of the modules.

What an edition includes is not in the database, so it is compared as far as sites and missing modules tell.
Source: behaviour.md chapter 8.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from typing import Final

from . import fastcgi, licence, module_versions, restored, users
from .verify import Check, Finding, Scene, check, found, found_fault, judged, ok, people

WARN_DAYS: Final = 30
URGENT_DAYS: Final = 15
CLOUD_MODULES: Final = frozenset({"bitrix24", "oauth", "replica"})
"""Modules that only the vendor's cloud has files of."""
LOGIN_PAGE: Final = "/auth/"
_KEY: Final = "<?php include $argv; echo hash('sha256', (string)($LICENSE_KEY ?? ''));"
_FILL: Final = "open /bitrix/admin/update_system.php once with the box's key: the update system writes them"


def _is_keyless_copy(scene: Scene) -> bool:
    """A neutralised copy without a key of its own, as playbook clone leaves it."""
    return scene.copy.is_copy and not licence.key(scene.portal)


def opens(scene: Scene) -> Finding:
    """The box answers pages, and does not lead to where a licence is entered."""
    try:
        answer = scene.get(LOGIN_PAGE)
    except licence.ShutError as fault:
        return found_fault(fault)
    if answer.status >= 400:
        return found(f"{LOGIN_PAGE} answers {answer.status}")
    return ok(f"{LOGIN_PAGE} answers {answer.status}")


def key_present(scene: Scene) -> Finding:
    """A key is in the file, and pages have it loaded."""
    if _is_keyless_copy(scene):
        return ok("a neutralised copy: it has no licence key of its own (DEMO)")
    key = licence.key(scene.portal)
    if not key:
        return found(f"no key in {licence.KEY_FILE}, or that of a demonstration")
    path = str(scene.portal.root.resolve() / licence.KEY_FILE).replace("\\", "\\\\").replace("'", "\\'")
    said = fastcgi.run_php(scene.fpm_socket, _KEY.replace("$argv", f"'{path}'"))
    if said.strip() != hashlib.sha256(key.encode()).hexdigest():
        return Finding("found", "pages have another key loaded than the file's", cure="reload PHP's pool (opcache)")
    return ok("a key is set, and pages have it loaded")


def clock_fault(scene: Scene, today: datetime.date) -> str:
    """Why this host's clock cannot be right; empty when nothing speaks against it."""
    said = [("the newest module was published on", module_versions.newest_date(scene.portal.root)[:10])]
    if record := restored.read_record(scene.portal.root):
        said.append(("the portal was restored on", str(record["restored"])[:10]))
    for what, day in said:
        try:
            moment = datetime.date.fromisoformat(day)
        except ValueError:
            continue
        if moment > today + datetime.timedelta(days=1):
            return f"this host's clock says {today}, but {what} {moment}"
    return ""


def end(scene: Scene, today: datetime.date | None = None) -> Finding:
    """Days until the licence ends, and until a time-bound one shuts the box."""
    today = today or datetime.date.today()
    if fault := clock_fault(scene, today):
        return Finding("found", f"{fault}: nothing can be said of the licence's end", "error", "set the host's clock")
    known = licence.read_licence(scene.portal)
    if wrong := [fault for fault in known.faults if licence.END_OPTION in fault]:
        return Finding("found", wrong[0], "error", _FILL)
    if known.end is None:
        if _is_keyless_copy(scene):
            return ok("a neutralised copy: no licence, no end")
        return Finding("unknown", f"main.{licence.END_OPTION} says no end", cure=_FILL)
    if known.end < today:
        return _ended(scene, known.end, today)
    days = (known.end - today).days
    said = f"it ends on {known.end}, in {days} days; a time-bound edition shuts the box on {known.end + licence.GRACE}"
    return Finding("found" if days <= WARN_DAYS else "ok", said, cure="renew it now" if days <= URGENT_DAYS else "")


def _ended(scene: Scene, day: datetime.date, today: datetime.date) -> Finding:
    shut = day + licence.GRACE
    if today < shut:
        left = f"a time-bound edition shuts the box on {shut}, in {(shut - today).days} days"
        return Finding("found", f"it ended on {day}; {left}", "error", "renew it now")
    if opens(scene).state != "ok":
        return Finding("found", f"it ended on {day}, and the box was shut on {shut}", "error", "renew it now")
    why = "this edition is not bound to a time (and gets no updates any more), or this host's clock is ahead"
    return found(f"it ended on {day}, yet pages answer: {why}")


def user_limit(scene: Scene) -> Finding:
    """Active employees against the people that the licence is for."""
    known = licence.read_licence(scene.portal)
    if wrong := [fault for fault in known.faults if licence.USERS_OPTION in fault]:
        return Finding("found", wrong[0], "warning", _FILL)
    employees = [user for user in users.read_users(scene.portal) if user.employee and user.reason != "inactive"]
    if known.users is None:
        return Finding("unknown", f"{len(employees)} active employees; main.{licence.USERS_OPTION} says no limit",
                       cure=_FILL)  # fmt: skip
    if not known.users:
        return ok(f"{len(employees)} active employees, any number may use the portal")
    counted = scene.portal.database.count(
        f"SELECT COUNT(*) FROM b_user WHERE LAST_LOGIN IS NOT NULL AND ID IN ({', '.join(['%s'] * len(employees))})",  # noqa: S608  marks only
        *(user.id for user in employees),
    ) if employees else 0  # fmt: skip
    said = f"{len(employees)} active employees, {counted} of whom have logged in; the licence is for {known.users}"
    over = len(employees) - known.users
    return judged([f"{said}: {over} will not be let in"] if over > 0 else [], said)


def edition(scene: Scene) -> Finding:
    """The edition's name, its sites, and modules that the cloud used and this tree does not have."""
    portal, known = scene.portal, licence.read_licence(scene.portal)
    name = " ".join(filter(None, (known.name, f"({known.codes})" if known.codes else ""))) or "of unknown name"
    wrong = [fault for fault in known.faults if licence.SITES_OPTION in fault]
    if known.sites and len(portal.sites) > known.sites:
        wrong.append(f"{len(portal.sites)} active sites, the licence is for {known.sites}")
    folder = portal.root / module_versions.MODULES
    if lost := sorted(name for name in portal.modules - CLOUD_MODULES if not (folder / name).is_dir()):
        marks = ", ".join(["%s"] * len(lost))
        agents = portal.database.count(f"SELECT COUNT(*) FROM b_agent WHERE MODULE_ID IN ({marks})", *lost)  # noqa: S608  marks only
        wrong.append(f"the cloud used modules that this box does not have: {', '.join(lost)}"
                     f" ({agents} of their agents never run)")  # fmt: skip
    if wrong:
        return people(f"edition {name}: {'; '.join(wrong)}")
    return ok(f"edition {name}: every module of the database has its files, {len(portal.sites)} sites")


def versions(scene: Scene) -> Finding:
    """Modules against the archive that the database came from, and against the box that was there before."""
    have = module_versions.read_versions(scene.portal.root)
    record = restored.read_record(scene.portal.root)
    archive = {str(name): str(version) for name, version in dict(record.get("modules") or {}).items()}
    box = {str(name): str(version) for name, version in dict(record.get("box_modules") or {}).items()}
    said = f"{len(have)} modules, main {have.get('main') or 'without a version'}"
    if back := module_versions.older(have, archive):
        return found(f"{said}; code older than the database that came with newer: {module_versions.shown(back)}")
    if ahead := module_versions.older(box, have):
        return Finding("found", f"{said}; the box that was here before is behind: {module_versions.shown(ahead)}",
                       "warning", "never copy its code over this one; update by the vendor's updater")  # fmt: skip
    if not archive:
        return ok(f"{said}; the restore noted none to compare with")
    return ok(f"{said}; none older than the archive's")


def leftover_steps(scene: Scene) -> Finding:
    """Steps of updates that wait for their agents."""
    portal = scene.portal
    agents = portal.database.count("SELECT COUNT(*) FROM b_agent WHERE NAME LIKE '%Stepper%'")
    rows = sum(1 for module, name in portal.options if module.startswith("main.stepper") or name.startswith("~update_"))
    said = f"{agents} agents and {rows} options of updates under way"
    return judged([said] if agents else [], said)


CHECKS: Final[Sequence[Check]] = (
    check("licence-opens", ("The licence opens the portal", "La licencia abre el portal"), opens,
          "renew or enter the box's licence; set encaja_licence_key and run playbook settle"),
    check("licence-key", ("Licence key", "Clave de licencia"), key_present,
          "set encaja_licence_key and run playbook settle"),
    check("licence-end", ("End of the licence", "Fin de la licencia"), end, "renew it", "warning"),
    check("licence-users", ("Users that the licence allows", "Usuarios que permite la licencia"), user_limit,
          "widen the licence, or switch people off who have left"),
    check("licence-edition", ("Edition and what the cloud used", "Edición y lo que usaba la nube"), edition,
          "compare the edition with the cloud's tariff; ask the vendor for what is missing", "warning"),
    check("licence-versions", ("Versions of the modules", "Versiones de los módulos"), versions,
          "restore the archive's code, or update: playbook update_portal"),
    check("licence-update-steps", ("Steps of updates that are left", "Pasos de actualización pendientes"),
          leftover_steps, "they run with the agents; look at /bitrix/admin/update_system.php", "warning"),
)  # fmt: skip
