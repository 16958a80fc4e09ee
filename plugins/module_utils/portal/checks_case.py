"""The case's checklist: ten dangers foreseen, three bugs met, and what else people need to work."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from ..errors import EncajaError
from . import applications as rest_interfaces
from . import (
    background_proof,
    background_work,
    carry_over_state,
    cloud,
    php,
    pull,
    recovery,
    restored,
    search,
    silence,
    users,
)
from .plan import Plan
from .tls_faults import connection_fault
from .verify import Check, Finding, Scene, check, found, found_fault, judged, ok, pending, people

_DAY: Final = 86400
_FAILING_AGENTS: Final = (
    "read 'journalctl -u encaja-portal-cron' and the portal's exceptions.log; switch off agents that cannot work here"
)


def _planned(plan: Plan, *tables: str) -> list[str]:
    return [row.label for row in plan.rows if row.label.startswith(tables)] + [
        str(change.path) for change in plan.files
    ]


def applications(scene: Scene) -> Finding:
    """Applications and webhooks, by what becomes of them in the box."""
    rows = rest_interfaces.inventory(scene.portal)
    told = rest_interfaces.summary(rows)
    if scene.copy.is_copy:
        names = [row["name"] for row in rows if row["active"]]
        wrong = [f"switched on in a copy: {', '.join(names[:5])}"] if names else []
        return judged(wrong, f"a neutralised copy: {len(rows)} applications and webhooks are switched off")
    active = [row["name"] for row in rows if row["kind"] == "application" and row["active"] and not row["works_in_box"]]
    if active:
        return found(f"{len(active)} applications of the cloud are switched on and cannot work; {told}")
    if any(row["fate"] not in {"lives", "off"} for row in rows):
        return people(told)
    return ok(told or "no applications and no webhooks")


def licence_costs(scene: Scene) -> Finding:
    """Paid applications, whose prices differ between cloud and box, and the portal's own key."""
    path = scene.portal.root / "bitrix" / "license_key.php"
    key = php.read_variable(scene.portal.text(path), "LICENSE_KEY")
    if scene.copy.is_copy and isinstance(key, str) and key.upper() == "DEMO":
        return ok("a neutralised copy: it has no licence key of its own (DEMO), and not that of production")
    if not isinstance(key, str) or not key or key.upper() in {"DEMO", "******"}:
        return found("the portal has no licence key of its own")
    if "cloud" not in scene.portal.state().get("cured", {}) and "bitrix24" in scene.portal.modules:
        seen = "the licence key is still the one that came with the backup"
        return replace(found(seen), cure="playbook settle replaces it with encaja_licence_key")
    paid = [row["name"] for row in rest_interfaces.inventory(scene.portal) if row["fate"] == "buy"]
    if paid:
        seen = f"{len(paid)} applications have another price in the box: {', '.join(paid[:5])}"
        return replace(people(seen), cure="ask for their price in the box, and buy those that are needed")
    return ok("a licence key is set, no application has to be bought")


def restore_below(scene: Scene) -> Finding:
    """The restore that the live portal comes from; a portal of an earlier one must not be verified in its place."""
    seen = restored.look(
        scene.portal.root,
        scene.portal.database.name,
        is_copy=scene.copy.is_copy,
        wanted=scene.restore,
        job=scene.restore_job,
    )
    return found(f"{seen.fault}: {seen.hint}") if seen.fault else ok(seen.evidence)


def time_lag(scene: Scene) -> Finding:
    """Records made or changed in the cloud after the backup: carried over and compared, or missing."""
    if scene.copy.is_copy:
        return ok("a neutralised copy: later records of the cloud are carried into the portal that it was made of")
    newest = [
        scene.portal.database.value(f"SELECT MAX(DATE_CREATE) FROM {table}")  # noqa: S608  fixed names
        for table in ("b_crm_lead", "b_crm_deal", "b_crm_contact")
        if scene.portal.has(table, "DATE_CREATE")
    ]
    last = max((moment for moment in newest if moment), default=None)
    begun = background_work.dump_begun(scene.portal)
    backup = f"backup of {begun}" if begun else "a backup of unknown time"
    done, proof = scene.carried, scene.carried.proof
    # Before the release a later step carries the rest; afterwards it is missing from what people work with.
    missing = found if scene.portal.state().get("released") else pending
    if not done.begun:
        return pending(f"{backup}, newest record of {last or '(none)'}: nothing has been carried over since")
    if proof.get("differences"):
        faults = f"{proof.get('missing')} missing, {proof.get('doubled')} doubled, {proof['differences']} differences"
        return found(
            f"{backup}; {proof.get('carried')} records of the window since {done.since} are here, but {faults}"
            f" (compared {proof['ended']})"
        )
    if done.frozen:
        return ok(
            f"{backup}; {proof.get('carried')} records of the window since {done.since} are here, none missing,"
            f" doubled or different (frozen {done.frozen}, compared {proof['ended']})"
        )
    return missing(f"{backup}; {_unfinished(done)}")


def _unfinished(done: carry_over_state.CarryOverState) -> str:
    """How far a carry-over without a freeze has come."""
    if done.failed:
        return f"the carry-over did not finish: {done.failed}"
    parts = []
    if done.follow:
        parts.append(f"{done.follow.get('behind', '?')} s behind at {done.follow.get('updated')}")
    if done.proof:
        parts.append(f"compared {done.proof['ended']} without a difference")
    if parts:
        return f"carried since {done.since or '(unknown)'}: {', '.join(parts)}; the rest comes at the freeze"
    return f"prepared since {done.since}, but nothing has been carried over yet"


def still_in_cloud(scene: Scene) -> Finding:
    """Records of people who keep working in the cloud have to be found."""
    if scene.copy.is_copy:
        return ok("a neutralised copy: it replaces no cloud")
    done = scene.carried
    count = sum(1 for user in users.read_users(scene.portal) if user.employee)
    if not done.frozen:
        followed = f"followed until {done.follow.get('updated')}" if done.follow else "not followed"
        return pending(f"work in the cloud was not stopped: {count} employees can write there; it is {followed}")
    if done.late_records:
        names = ", ".join(done.late[:5]) or "see 'encaja reconcile'"
        return people(
            f"{done.late_records} records were written in the cloud after the freeze of {done.frozen}: {names}"
        )
    if done.follows:
        return ok(
            f"no record was written in the cloud after the freeze of {done.frozen};"
            f" followed until {done.follow['updated']}"
        )
    why = done.follow.get("error") or (
        f"the last status is of {done.follow['updated']}" if done.follow else "no carry-over follows it"
    )
    return people(
        f"no record had been written in the cloud after the freeze of {done.frozen} when both sides were compared"
        f" ({done.proof['ended']}); the cloud is not followed any more: {why}"
    )


def mobile(scene: Scene) -> Finding:
    """What the mobile application needs: push, a certificate, a listener, and access from outside."""
    wrong, cure = [], ""
    rows = {name: value for (module, name), value in scene.portal.options.items() if module == "pull"}
    settings = {**scene.portal.section("pull"), **rows}
    still = scene.copy.is_intended(scene.portal, "pull", "push")
    silenced = ["push to devices is off until the release"] if scene.portal.has(silence.TABLE) else []
    if scene.copy.is_copy and not still:
        wrong.append(f"pull.push is {settings.get('push')} on a copy: people's telephones would ring")
    elif not still and not silenced and settings.get("push") != "Y":
        wrong.append("push to devices is off (pull.push)")
    if scene.policy.scheme != "https":
        wrong.append("the application needs HTTPS")
    address = str(settings.get("path_to_mobile_listener_secure", "")).replace("#DOMAIN#", scene.policy.domain)
    parts = urlsplit(address)
    port = parts.port or 443
    if parts.hostname != scene.policy.domain:
        wrong.append(f"the listener for devices is {address or '(none)'}")
    elif scene.policy.scheme == "https":
        try:
            status = scene.get(parts.path, port=port, secure=True).status
            if status in {404, 502, 503, 504}:
                wrong.append(f"no listener behind {address} (status {status})")
        except ssl.SSLError as fault:
            explained = connection_fault(fault, scene.policy.domain, "see nginx")
            wrong.append(f"{explained.what} (port {port})")
            cure = explained.hint
        except OSError as fault:
            wrong.append(f"no listener on port {port}: {fault}")
    if wrong:
        return Finding("found", "; ".join(wrong), cure=cure)
    if still:
        return ok(f"a neutralised copy: push to devices is off; certificate and listener on port {port} are right")
    closed = [*silenced, *([f"{scene.policy.domain} resolves to an address of a private network"] * scene.is_private)]
    if "push to devices" in scene.unreached:
        closed.append(f"this host does not reach {scene.unreached['push to devices']}, so devices get no push")
    if closed:
        return people(f"certificate and listener are right, but {'; '.join(closed)}")
    return ok(f"certificate valid, listener answers on port {port}, and the name is public")


def passwords(scene: Scene) -> Finding:
    """People whose password stayed with Bitrix24.Network."""
    pending = users.pending_recovery(scene.portal)
    employees = [user for user in users.read_users(scene.portal, pending) if user.employee]
    network = [user for user in employees if user.reason == "network"]
    if network:
        return found(f"{len(network)} of {len(employees)} employees have their password in Bitrix24.Network")
    lost = sum(count for state, count in recovery.sent_states(scene.portal).items() if state in recovery.UNSENT)
    if lost:
        seen = f"{lost} recovery letters were not sent (b_event, SUCCESS_EXEC)"
        return replace(found(seen), cure="see that the portal can send mail, then playbook release once more")
    waiting = [user for user in employees if user.reason == "recovery"]
    if waiting:
        due = {user.id for user in recovery.due(scene.portal, without_mail=True)}
        late = recovery.expired(scene.portal)
        counts = {
            "get a recovery link with the release, or set a password with an administrator": len(due),
            "had a link and have not used it": sum(user.id not in due | late for user in waiting),
            "let their link expire (settle_recovery_again)": sum(user.id in late - due for user in waiting),
        }
        told = [f"{count} employees {words}" for words, count in counts.items() if count]
        return people("; ".join([*told, *recovery.conditions(scene.portal, waiting)]))
    return ok(f"{len(employees)} employees have a password in the portal or are switched off")


def bots(scene: Scene) -> Finding:
    """Bots that cannot work in the box."""
    rows = cloud.inventory_bots(scene.portal)
    wrong = [row["code"] for row in rows if row["active"] and not row["works_in_box"]]
    return judged(
        [f"bots of the cloud are switched on: {', '.join(wrong[:5])}"] if wrong else [],
        f"{len(rows)} bots, none of the cloud's is switched on",
    )


def logouts(scene: Scene) -> Finding:
    """Everything that ends sessions early."""
    wrong = [
        f"policy of group {row['NAME']} ends sessions early or binds them to an address"
        for row, _ in background_work.strict_groups(scene.portal, scene.session_minutes)
    ]
    portal = scene.portal
    if portal.option("main", "session_expand", "N") != "N":
        wrong.append("main.session_expand conflicts with push & pull")
    if portal.option("main", "use_session_id_ttl", "N") == "Y":
        wrong.append("main.use_session_id_ttl changes session ids")
    lifetime = int(scene.fpm["ini"].get("session.gc_maxlifetime") or 0)
    if lifetime < scene.session_minutes * 60:
        wrong.append(f"PHP deletes sessions after {lifetime} s")
    wrong += [
        f"nginx does not trust the proxy {proxy}: all requests seem to come from its address"
        for proxy in scene.trusted_proxies
        if f"set_real_ip_from {proxy};" not in scene.nginx
    ]
    if scene.policy.scheme == "http" and scene.fpm["ini"].get("session.cookie_secure") in {"1", "On"}:
        wrong.append("session cookies are for HTTPS only")
    return judged(wrong, f"sessions live at least {min(lifetime // 60, 10**6)} minutes, bound to no address")


def comments(scene: Scene) -> Finding:
    """Task comments that are not shown, or that did not arrive with the backup."""
    counts = background_work.comment_counts(scene.portal)
    wrong = []
    if counts["lost_topics"]:
        wrong.append(f"{counts['lost_topics']} tasks name a discussion that does not exist")
    if counts["missing"]:
        wrong.append(f"{counts['missing']} comments are missing that their discussions count")
    if counts["low_counts"]:
        wrong.append(f"{counts['low_counts']} discussions count fewer comments than they have")
    forum = scene.portal.option("tasks", "task_forum_id")
    if counts["forum"] and counts["forum"] != forum:
        wrong.append(f"tasks use forum {forum or '(none)'}, the comments are in {counts['forum']}")
    dump = background_work.compare_with_dump(scene.portal)
    right = f"{counts['comments']} comments of {counts['tasks']} tasks, none lost"
    if dump is None:
        return judged(wrong, f"{right}; there is no dump's count to compare with")
    counted = (
        (dump["absent"], f"the dump has {dump['rows']} messages, {dump['absent']} are not here"),
        (dump["samples_absent"], f"{dump['samples_absent']} of {dump['samples']} sampled messages are not here"),
        (
            dump["samples_different"],
            f"{dump['samples_different']} of {dump['samples']} sampled messages have another text",
        ),
    )
    differences = [text for count, text in counted if count]
    if differences and scene.portal.state().get("released"):  # people delete and edit messages
        return judged(wrong, "; ".join([right, *differences]))
    return judged(wrong + differences, f"{right}; all {dump['rows']} messages of the dump, {dump['samples']} compared")


def search_index(scene: Scene) -> Finding:
    """An index that is empty or does not find what is there."""
    state = search.index_state(scene.portal)
    if search.needs_reindex(state):
        words = ", ".join(sample["word"] for sample in state["not_found"])
        return found(
            f"{state['records']} records, {state['texts']} texts indexed" + (f"; not found: {words}" if words else "")
        )
    words = ", ".join(sample["word"] for sample in state["samples"])
    return ok(f"{state['records']} records indexed; found: {words}")


def attachments(scene: Scene) -> Finding:
    """The messenger's attachment icon, which depends on the push server."""
    portal = scene.portal
    wrong = []
    stale = [name for name in pull.stale_rows(portal) if not scene.copy.is_intended(portal, "pull", name)]
    if stale:
        wrong.append(f"rows of the cloud override the settings: pull.{', pull.'.join(stale[:4])}")
    if portal.option("pull", "server_mode") == "shared":
        wrong.append("push & pull uses the cloud's shared server")
    if portal.options.get(("pull", "nginx"), portal.section("pull").get("nginx")) != "Y":
        wrong.append("the push server is off (pull.nginx), so the messenger has no attachment icon")
    if portal.option("disk", "successfully_converted") != "Y":
        wrong.append("disk.successfully_converted is not Y")
    if pull.storage_is_missing(portal):
        wrong.append("im.disk_storage_id names a storage that does not exist")
    key = pull.push_server_key()
    if key is not None and key != portal.section("pull").get("signature_key"):
        wrong.append("portal and push server have different keys (4010 Wrong Channel Id)")
    if wrong:
        return found("; ".join(wrong))
    try:
        proof = scene.proof
    except EncajaError as fault:
        return found_fault(fault)
    return ok(f"a message published to {proof['published_to']} came back on {proof['websocket']}")


def links(scene: Scene) -> Finding:
    """Links without a domain, or with the old one."""
    portal = scene.portal
    wrong = []
    name = scene.policy.domain + (f":{scene.policy.port}" if scene.policy.port else "")
    if portal.option("main", "server_name") != name:
        wrong.append(f"main.server_name is {portal.option('main', 'server_name')!r}")
    site = portal.sites[0] if portal.sites else {}
    if site.get("SERVER_NAME") != name:
        wrong.append(f"site {site.get('LID', '(none)')} has the name {site.get('SERVER_NAME')!r}")
    if php.read_define(portal.dbconn, "BX24_HOST_NAME") is not None:
        wrong.append("BX24_HOST_NAME overrides the host name")
    others = [
        label for label in scene.settling if not label.startswith("b_lang[") and label not in _intended_labels(scene)
    ]
    if others:
        wrong.append(f"{len(others)} settings do not fit the domain: {', '.join(others[:4])}")
    return judged(wrong, f"links lead to {scene.policy.scheme}://{name}")


def _intended_labels(scene: Scene) -> set[str]:
    """Options that neutralisation has set, and settling would change back."""
    intended = [key for key in scene.copy.options if scene.copy.is_intended(scene.portal, *key)]
    return {f"b_option[{module}/{name}]" for module, name in intended}


def login(scene: Scene) -> Finding:
    """Employees whom the log-in does not find."""
    employees = [user for user in users.read_users(scene.portal) if user.employee]
    unseen = [user for user in employees if user.reason in {"network", "external"}]
    names = ", ".join(user.login for user in unseen[:4])
    return judged([f"the log-in does not find {len(unseen)} of {len(employees)}: {names}"] if unseen else [],
                  f"the log-in finds {len(employees)} employees")  # fmt: skip


def cloud_mode(scene: Scene) -> Finding:
    """Whether the kernel still takes itself for the cloud."""
    plan = cloud.plan_cloud(scene.portal, cloud.CloudPolicy(applications="keep", bots="keep"))
    wrong = _planned(plan, "b_module", "b_option", "b_bitrixcloud")
    return judged(
        [f"remains of the cloud: {', '.join(wrong[:5])}"] if wrong else [], "no module, constant or key of the cloud"
    )


def cloud_storage(scene: Scene) -> Finding:
    """Files that are still in a bucket, or missing."""
    state = cloud.cloud_files(scene.portal)
    if state["in_cloud"]:
        return found(f"{state['in_cloud']} files are in buckets of the cloud: {', '.join(state['buckets'])}")
    if state["missing"]:
        return people(f"{state['missing']} files are missing, such as {', '.join(state['missing_samples'][:3])}")
    return ok("every file is on this host")


def sites(scene: Scene) -> Finding:
    """A document root of another host, or a missing access file, leaves only a log-in form."""
    wrong = [
        f"site {site['LID']} has document root {site['DOC_ROOT']!r}" for site in scene.portal.sites if site["DOC_ROOT"]
    ]
    wrong += [
        f"site {site['LID']} is in {site['DIR']}, which push and REST do not reach"
        for site in scene.portal.sites[:1]
        if site["DIR"] not in {"", "/"}
    ]
    if not (scene.portal.root / ".access.php").exists():
        wrong.append(".access.php is missing in the document root")
    return judged(wrong, f"{len(scene.portal.sites)} active sites")


def release(scene: Scene) -> Finding:
    """Whether the portal waits for its release."""
    counts = background_work.mail_counts(scene.portal)
    if scene.copy.is_copy:
        wrong = [] if background_work.is_frozen(scene.portal) else ["agents and mail are not held in dbconn.php"]
        return judged(wrong, f"a neutralised copy is never released; {counts['waiting']} mails wait and are not sent")
    if background_work.is_frozen(scene.portal):
        return people(f"agents and mail wait for the release; {counts['waiting']} mails new, {counts['held']} held")
    return ok(f"released; {counts['waiting']} mails waiting, {counts['held']} held")


def old_mail(scene: Scene) -> Finding:
    """Mail of the backup that would be sent."""
    last = scene.portal.state().get("mail_queue_last_id")
    waiting = background_work.mail_counts(scene.portal)["waiting"]
    if scene.copy.is_copy and background_work.is_frozen(scene.portal):
        return ok(f"a neutralised copy: {waiting} mails wait and are not sent")
    if last is None and waiting:
        return found(f"{waiting} mails of the backup would be sent with the first run of cron")
    count = scene.portal.database.count("SELECT COUNT(*) FROM b_event WHERE ID <= %s AND SUCCESS_EXEC = 'N'", last or 0)
    if count and scene.portal.state().get("released"):
        return ok(f"{count} mails of the backup are being sent, as decided")
    kinds = background_work.held_mail(scene.portal)
    listed = ", ".join(f"{kind['event']} {kind['mails']}" for kind in kinds[:4])
    held = f"{sum(kind['mails'] for kind in kinds)} held{f': {listed}' if listed else ''}"
    return judged([f"{count} mails of the backup would be sent"] if count else [], held)


def agents(scene: Scene) -> Finding:
    """Agents that do not run."""
    counts = background_work.agent_counts(scene.portal)
    if scene.copy.is_copy and background_work.is_frozen(scene.portal):
        timer = scene.command("systemctl", "is-enabled", "encaja-portal-cron.timer")
        wrong = [] if timer == "masked" else [f"the portal's schedule is {timer or 'not there'} on a copy"]
        return judged(wrong, f"a neutralised copy: {counts['active']} agents are active, none is run")
    if background_work.is_frozen(scene.portal):
        return people(f"{counts['active']} agents wait for the release")
    timer = scene.command("systemctl", "is-active", "encaja-portal-cron.timer")
    if timer != "active":
        return found(f"the portal's schedule is {timer or 'not installed'}")
    return _background_work(scene)


def _background_work(scene: Scene) -> Finding:
    """What a released portal's agents, mail and Messenger have left in their rows."""
    since = background_proof.moment(scene.portal, -_DAY // 60)
    released = str(scene.portal.state().get("released_at") or "")
    signs = background_proof.read_signs(scene.portal, max(since, released))
    wrong = background_proof.unproven(signs)
    ran = background_proof.summary(signs)
    if released > background_proof.moment(scene.portal, -background_proof.GRACE_MINUTES):
        return pending("; ".join([*wrong, ran])) if wrong else ok(ran)
    failing = background_proof.failing_agents(signs)
    if wrong := [*wrong, *background_proof.stuck_queues(signs)]:
        return found("; ".join([*wrong, *failing, ran]))
    if failing:  # a few agents that cannot work hold nothing else up
        return Finding("found", "; ".join([*failing, ran]), "warning", cure=_FAILING_AGENTS)
    failed = background_proof.failed_mail(signs)
    return ok(f"{ran}{f'; {failed}' if failed else ''}")


def old_host(scene: Scene) -> Finding:
    """The old host in what people wrote."""
    remains = scene.portal.state().get("remains")
    if remains is None:
        return Finding("unknown", "not scanned yet: settle the domain")
    tables, files = remains.get("tables", {}), remains.get("files_total", 0)
    if not tables and not files:
        return ok("the old host is nowhere in database and tree")
    named = ", ".join(f"{name} ({count})" for name, count in sorted(tables.items(), key=lambda item: -item[1])[:5])
    return people(f"left in {len(tables)} columns and {files} files: {named or ', '.join(remains['files'][:3])}")


def rest_service(scene: Scene) -> Finding:
    """The box has to be registered at the REST service."""
    if "rest" not in scene.portal.modules:
        return ok("module rest is not installed")
    registered = bool(scene.portal.option("rest", "service_client_id"))
    if registered and not scene.copy.is_copy and not rest_interfaces.is_registered(scene.portal):
        return found("registered at the vendor's OAuth service as the cloud's portal")
    if scene.copy.is_copy:
        wrong = ["a copy is registered at the vendor's OAuth service, under production's name"] if registered else []
        return judged(wrong, "a neutralised copy is not registered, and must not be")
    if registered:
        return ok("registered")
    return people("not registered at the vendor's OAuth service: no application and no outgoing webhook works")


CHECKS: Final[Sequence[Check]] = (
    check("case-01-applications",
          ("Cloud applications missing in the box", "Aplicaciones de la nube que faltan en la caja"), applications,
          "playbook settle switches them off and lists each with what it needs (settle_applications_csv)"),
    check("case-02-licences", ("Licence costs that differ", "Costes de licencias distintos"), licence_costs,
          "set encaja_licence_key and run playbook settle; ask for box prices"),
    check("case-03-time-lag", ("Data lost in the time lag", "Datos perdidos en el desfase"), time_lag,
          "encaja carry-over, at the freeze, until 'encaja reconcile' finds no difference"),
    check("case-04-still-in-cloud",
          ("People who keep working in the cloud", "Personas que siguen trabajando en la nube"), still_in_cloud,
          "stop them; 'encaja carry-over' keeps following, carries what they still create and names them"),
    check("case-05-mobile", ("Mobile application on a closed portal", "Aplicación móvil en un portal cerrado"), mobile,
          "playbook push_pull; a certificate that devices trust", part="pull"),
    check("case-06-passwords",
          ("Users who cannot log in with their old password", "Usuarios que no entran con su antigua contraseña"),
          passwords, "playbook settle, then recovery links with playbook release", part="users"),
    check("case-07-bots", ("Chat bots that do not work", "Bots de chat que no funcionan"), bots,
          "playbook settle switches them off; reinstall their applications", part="cloud"),
    check("case-08-logouts", ("Frequent logouts", "Cierres de sesión frecuentes"), logouts,
          "playbook settle (policies); php_session_days (role php); web_trusted_proxies (role web)",
          part="background_work"),
    check("case-09-comments",
          ("Only part of the task comments shown", "Solo parte de los comentarios de tareas"), comments,
          "playbook settle (tag work); compare with the backup's counts", part="background_work"),
    check("case-10-search", ("No search index", "Sin índice de búsqueda"), search_index,
          "playbook settle (tag search) rebuilds it", part="search"),
    check("bug-attachments",
          ("No attachment icon in the messenger", "Sin icono de adjuntar en el messenger"), attachments,
          "playbook push_pull", part="pull"),
    check("bug-links", ("Links in notifications without a domain", "Enlaces de avisos sin dominio"), links,
          "playbook domain", part="domain"),
    check("bug-login", ("Users with a log-in error", "Usuarios con error de acceso"), login,
          "playbook settle (tag users)", part="users"),
    check("portal-restore", ("The restore that this portal comes from", "La restauración de la que procede el portal"),
          restore_below, "playbook restore"),
    check("portal-cloud-mode", ("Remains of the cloud in the kernel", "Restos de la nube en el núcleo"), cloud_mode,
          "playbook settle (tag cloud)", part="cloud"),
    check("portal-files", ("Files in the cloud's buckets, and missing files", "Ficheros en la nube, y los que faltan"),
          cloud_storage, "restore with the cloud's file list, then playbook settle (tag cloud)", part="cloud"),
    check("portal-sites", ("Sites and their document roots", "Sitios y sus directorios raíz"), sites,
          "playbook domain; restore .access.php from the backup", part="domain"),
    check("portal-mail", ("Mail that waited in the backup", "Correo en espera dentro de la copia"), old_mail,
          "playbook settle (settle_mail_queue)", part="background_work"),
    check("portal-agents",
          ("Agents, mail and Messenger run", "Los agentes, el correo y el Messenger se ejecutan"), agents,
          "playbook release; role portal; 'journalctl -u encaja-portal-cron' on the portal's host"),
    check("portal-release", ("Release", "Liberación"), release, "playbook release, once all agree", "note"),
    check("portal-old-host", ("The old host in what people wrote", "El dominio antiguo en los contenidos"), old_host,
          "settle_content names columns to rewrite", "note", part="domain"),
    check("portal-rest", ("REST service", "Servicio REST"), rest_service,
          "playbook register after the release, or Applications in the portal", "note"),
)  # fmt: skip
