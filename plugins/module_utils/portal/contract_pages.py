"""What the kit assumes of the product's pages, of what they start after their answer, and of REST by webhook."""

from __future__ import annotations

import datetime
import http.client
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..errors import EncajaError
from .contract_probe import (
    MAIL,
    TAG,
    WEBHOOK,
    Assumption,
    Outcome,
    Subject,
    Tagged,
    Webhook,
    assumption,
    differs,
    holds,
    judged,
    unproven,
)
from .licence import COUPON, ShutError

LOGIN_PAGE: Final = "/auth/"
_AGENT: Final = (Tagged("b_agent", f"NAME LIKE 'strval(%{TAG}%'"),)
_LEAD: Final = "encaja-probe"
_NOTHING: Final = "start=-1&filter[ID]=0&filter[id]=0&filter[TASK_ID]=0"
"""Of a list, so that a large portal is not asked for its first page."""
METHODS: Final[Mapping[str, Mapping[str, str]]] = {
    "rest": {"server.time": "", "feature.get": "", "event.offline.list": "", "user.get": "ID=0"},
    "crm": {
        "crm.item.list": "entityTypeId=1&start=-1&filter[id]=0", "crm.item.get": "entityTypeId=1&id=0",
        "crm.item.fields": "entityTypeId=1", "crm.type.list": "", "crm.category.list": "entityTypeId=2",
        "crm.status.list": "", "crm.activity.list": _NOTHING, "crm.activity.binding.list": "activityId=0",
        "crm.timeline.comment.list": "filter[ENTITY_ID]=0&filter[ENTITY_TYPE]=lead",
        "crm.item.productrow.list": "filter[=ownerType]=L&filter[=ownerId]=0", "crm.requisite.list": _NOTHING,
        "crm.requisite.bankdetail.list": _NOTHING, "crm.requisite.preset.list": "",
        "crm.address.list": "filter[ENTITY_ID]=0",
    },
    "tasks": {
        "tasks.task.list": _NOTHING, "tasks.task.get": "taskId=0", "task.commentitem.getlist": "TASKID=0",
        "task.checklistitem.getlist": "TASKID=0",
    },
    "disk": {"disk.file.get": "id=0"},
    "voximplant": {"voximplant.statistic.get": "FILTER[ID]=0"},
}  # fmt: skip
"""The methods by which the kit reads, by the module that has them, each with parameters that find nothing."""
_BATCH: Final = 50
_PAGE: Final = 50


def licence_gate(subject: Subject) -> Outcome:
    """Pages answer, and do not lead to where a licence is entered."""
    try:
        answer = subject.scene.get(LOGIN_PAGE)
    except ShutError as fault:
        return differs(f"{LOGIN_PAGE}: {fault.what}")
    if answer.status >= http.client.BAD_REQUEST:
        return unproven(f"{LOGIN_PAGE} answers {answer.status}")
    return holds(f"{LOGIN_PAGE} answers {answer.status}")


def recovery_form(subject: Subject) -> Outcome:
    """The address of a recovery link shows a form for a new password."""
    answer = subject.scene.get(f"{LOGIN_PAGE}?change_password=yes&USER_LOGIN={TAG}&USER_CHECKWORD={TAG}")
    names = [name for name in ("USER_LOGIN", "USER_CHECKWORD", "USER_PASSWORD") if name.encode() not in answer.body]
    if answer.status != http.client.OK:
        return unproven(f"the address answers {answer.status}")
    return judged(not names, f"no field {', '.join(names)}" if names else "a form for log-in, check word and password")


def frozen_agents(subject: Subject) -> Outcome:
    """In a frozen portal a page starts no agent."""
    if not subject.frozen():
        return unproven("the portal is not frozen")
    subject.kernel("emit((int)\\CAgent::AddAgent($argv[3]));", f"strval('{TAG}');")
    subject.database.execute(
        "UPDATE b_agent SET NEXT_EXEC = NOW() - INTERVAL 1 DAY, DATE_CHECK = NULL WHERE NAME = %s", f"strval('{TAG}');"
    )
    before = _state(subject, _AGENT[0])
    if not before:
        return differs("CAgent::AddAgent made no row in b_agent")
    return _untouched(subject, lambda: _state(subject, _AGENT[0]), before, "agent")


def frozen_mail(subject: Subject) -> Outcome:
    """In a frozen portal a page sends no mail of the queue."""
    if not subject.frozen():
        return unproven("the portal is not frozen")
    _queue(subject)
    before = _state(subject, MAIL[0])
    return _untouched(subject, lambda: _state(subject, MAIL[0]), before, "mail")


def held_mail(subject: Subject) -> Outcome:
    """A mail that is marked as held stays when the portal works off its queue."""
    if subject.frozen():
        return unproven("the portal is frozen, so nothing works off its queue")
    if waiting := subject.database.count("SELECT COUNT(*) FROM b_event WHERE SUCCESS_EXEC = 'N'"):
        return unproven(f"{waiting} mails wait for their turn")
    _queue(subject)
    subject.database.execute("UPDATE b_event SET SUCCESS_EXEC = 'H' WHERE EVENT_NAME = 'ENCAJA_PROBE'")
    held = _state(subject, MAIL[0])
    _queue(subject)
    subject.scene.get(LOGIN_PAGE)
    waits = "SELECT COUNT(*) FROM b_event WHERE EVENT_NAME = 'ENCAJA_PROBE' AND SUCCESS_EXEC = 'N'"
    if not subject.wait_for(lambda: not subject.database.count(waits)):
        return unproven(f"nothing took a mail that waits within {subject.patience:.0f} s")
    return judged(held[0] in _state(subject, MAIL[0]), "another mail was taken, the held one "
                  + ("stayed" if held[0] in _state(subject, MAIL[0]) else "was taken as well"))  # fmt: skip


def _queue(subject: Subject) -> None:
    subject.kernel("\\CEvent::Send('ENCAJA_PROBE', $argv[3], ['ENCAJA' => 'probe']); emit(true);", subject.site)


def _state(subject: Subject, rows: Tagged) -> list[dict[str, Any]]:
    return subject.database.rows(f"SELECT * FROM {rows.table} WHERE {rows.mark} ORDER BY ID")  # noqa: S608  names of this file


def _untouched(subject: Subject, state: Callable[[], Any], before: Any, what: str) -> Outcome:
    answer = subject.scene.get(LOGIN_PAGE)
    if answer.status >= 400:
        return unproven(f"{LOGIN_PAGE} answers {answer.status}")
    changed = subject.wait_for(lambda: state() != before)
    return judged(not changed, f"a page was asked for; {subject.patience:.0f} s later the {what} that was due "
                  + ("was taken" if changed else "is untouched"))  # fmt: skip


def webhook_rows(subject: Subject) -> Outcome:
    """A row of a webhook opens REST at once."""
    with subject.webhook("crm") as hook:
        status, said = hook.ask("server.time", refusable=True)
    return judged(status == http.client.OK and "result" in said,
                  f"server.time answers {status}{_error(said)}")  # fmt: skip


def wrong_code(subject: Subject) -> Outcome:
    """A code that no row has is refused."""
    hook = Webhook(subject.scene, f"/rest/{subject.administrator}/{subject.secret}")
    status, said = hook.ask("server.time", refusable=True)
    return judged(status == http.client.UNAUTHORIZED and said.get("error") == "INVALID_CREDENTIALS",
                  f"answered by {status}{_error(said)}")  # fmt: skip


def scope(subject: Subject) -> Outcome:
    """A method outside of the webhook's scopes is refused."""
    with subject.webhook("telephony") as hook:
        status, said = hook.ask("crm.item.list", {"entityTypeId": 1, "start": -1})
    return judged(status == http.client.FORBIDDEN and said.get("error") == "insufficient_scope",
                  f"answered by {status}{_error(said)}")  # fmt: skip


def batch(subject: Subject) -> Outcome:
    """A batch gives results and errors by name, and takes fifty commands."""
    with subject.webhook("crm") as hook:
        _, said = hook.ask("batch", {"halt": 0, "cmd": {"right": "server.time", "wrong": "encaja.probe"}})
        _, many = hook.ask("batch", {"halt": 0, "cmd": {f"c{number}": "server.time" for number in range(_BATCH + 1)}})
    result = said.get("result")
    if not isinstance(result, dict) or "result" not in result:
        return differs(f"a batch is answered otherwise{_error(said)}")
    errors = result.get("result_error")
    named = "right" in result["result"] and isinstance(errors, dict) and "wrong" in errors
    inner = many.get("result")
    refused = many.get("error") == "ERROR_BATCH_LENGTH_EXCEEDED" or (
        isinstance(inner, dict)
        and any(
            isinstance(one, dict) and one.get("error") == "ERROR_BATCH_LENGTH_EXCEEDED"
            for one in dict(inner.get("result_error") or {}).values()
        )
    )
    last = f"command {_BATCH + 1} {'refused' if refused else 'run'}"
    return judged(named and refused, f"results and errors {'by' if named else 'not by'} name, {last}")


def reading_methods(subject: Subject) -> Outcome:
    """Every method by which the kit reads is there."""
    wanted = {
        method: f"{method}?{query}" if query else method
        for module, methods in METHODS.items()
        if module in subject.portal.modules
        for method, query in methods.items()
    }
    with subject.webhook("crm", "task", "tasks", "user", "disk", "telephony") as hook:
        _, said = hook.ask("batch", {"halt": 0, "cmd": wanted})
    result = said.get("result")
    if not isinstance(result, dict):
        return unproven(f"a batch is answered otherwise{_error(said)}")
    errors = dict(result.get("result_error") or {})
    missing = [
        method
        for method in wanted
        if isinstance(errors.get(method), dict) and errors[method].get("error") == "ERROR_METHOD_NOT_FOUND"
    ]
    return judged(not missing, f"not there: {', '.join(missing)}" if missing else f"all {len(wanted)} are there")


def list_pages(subject: Subject) -> Outcome:
    """A list gives fifty rows; with start -1 it does not count."""
    with subject.webhook("crm") as hook:
        status, counted = hook.ask("crm.item.list", {"entityTypeId": 1, "order": {"id": "ASC"}})
        _, uncounted = hook.ask("crm.item.list", {"entityTypeId": 1, "order": {"id": "ASC"}, "start": -1})
    if status != http.client.OK:
        return unproven(f"crm.item.list answers {status}{_error(counted)}")
    total, rows = counted.get("total"), len(_items(counted))
    if total is None or "total" in uncounted:
        return differs("no total without start -1" if total is None else "a total even with start -1")
    right = rows == min(total, _PAGE) == len(_items(uncounted)) and ("next" in counted) == (total > _PAGE)
    return judged(right, f"{rows} rows of {total}, with start -1 no count")


def import_times(subject: Subject) -> Outcome:
    """An import keeps the moment at which a record was made, and starts no automation."""
    used = subject.database.count("SELECT COUNT(*) FROM b_crm_lead WHERE COALESCE(ORIGINATOR_ID, '') <> %s", _LEAD)
    if used and not subject.frozen():
        return unproven("people would see an import: try it on a copy, or before the release")
    with subject.webhook("crm") as hook:
        removed = _forget_leads(subject, hook)
        _, last = hook.ask("crm.item.list", {"entityTypeId": 1, "order": {"id": "DESC"}, "start": -1,
                                             "select": ["id", "createdTime"]})  # fmt: skip
        _, now = hook.ask("server.time")
        moment = datetime.datetime.fromisoformat(str(now["result"])) - datetime.timedelta(minutes=5)
        if items := _items(last):
            newest = datetime.datetime.fromisoformat(str(items[0]["createdTime"]))
            moment = max(moment, newest)
        made = moment.replace(microsecond=0).isoformat()
        fields = {"title": TAG, "originatorId": _LEAD, "originId": subject.secret, "createdTime": made}
        try:
            status, said = hook.ask("crm.item.import", {"entityTypeId": 1, "fields": fields})
            if status != http.client.OK:
                return differs(f"crm.item.import answers {status}{_error(said)}")
            number = said["result"]["item"]["id"]
            _, found = hook.ask("crm.item.get", {"entityTypeId": 1, "id": number})
            kept = datetime.datetime.fromisoformat(str(found["result"]["item"]["createdTime"]))
            origin = found["result"]["item"].get("originId") == subject.secret
        finally:
            _forget_leads(subject, hook)
    if left := subject.database.count("SELECT COUNT(*) FROM b_crm_lead WHERE ORIGINATOR_ID = %s", _LEAD):
        return differs(f"crm.item.delete left {left} of the probe's leads")
    same = kept == datetime.datetime.fromisoformat(made)
    words = f"createdTime {'kept' if same else f'changed to {kept.isoformat()}'}, origin {'kept' if origin else 'lost'}"
    again = f"; {removed} left by an earlier probe removed" if removed else ""
    return judged(same and origin, f"{words}{again}")


def _forget_leads(subject: Subject, hook: Webhook) -> int:
    """Delete the probe's leads through REST, as rows of other tables hang from them; returns how many there were."""
    rows = subject.database.rows("SELECT ID FROM b_crm_lead WHERE ORIGINATOR_ID = %s", _LEAD)
    for row in rows:
        hook.ask("crm.item.delete", {"entityTypeId": 1, "id": row["ID"]})
    return len(rows)


def offline_events(subject: Subject) -> Outcome:
    """Events are bound by applications only: a webhook is refused."""
    with subject.webhook("crm") as hook:
        status, said = hook.ask("event.bind", {"event": "onCrmLeadAdd", "event_type": "offline",
                                              "auth_connector": TAG})  # fmt: skip
    if "result" in said:
        return differs("a webhook may bind events")
    return holds(f"refused by {status}{_error(said)}")


def _items(said: dict[str, Any]) -> list[dict[str, Any]]:
    result = said.get("result")
    if not isinstance(result, dict) or not isinstance(result.get("items"), list):
        raise EncajaError(f"crm.item.list gives no items{_error(said)}", "REST")
    items: list[dict[str, Any]] = result["items"]
    return items


def _error(said: dict[str, Any]) -> str:
    return f" {said['error']}" if said.get("error") else ""


_OBSERVED: Final = "Observed in release 26.250."
_DOCUMENTED: Final = "The vendor's documentation of REST, page "
ASSUMPTIONS: Final[Sequence[Assumption]] = (
    assumption("page-licence",
               (f"A box whose licence has ended sends every page to {COUPON}; another one answers.",
                f"Una caja con la licencia vencida envía toda página a {COUPON}; otra responde."),
               licence_gate, _OBSERVED, ("portal.verify", "portal.checks_case")),
    assumption("page-recovery",
               ("/auth/?change_password=yes with USER_LOGIN and USER_CHECKWORD shows a form for a new password.",
                "/auth/?change_password=yes con USER_LOGIN y USER_CHECKWORD muestra un formulario de contraseña."),
               recovery_form, _OBSERVED, ("portal.recovery",)),
    assumption("page-frozen-agents",
               ("With NO_AGENT_CHECK in dbconn.php a page starts no agent.",
                "Con NO_AGENT_CHECK en dbconn.php una página no arranca ningún agente."),
               frozen_agents, _OBSERVED, ("portal.background_work",),
               writes=_AGENT),
    assumption("page-frozen-mail",
               ("With DisableEventsCheck in dbconn.php a page sends no mail of the queue.",
                "Con DisableEventsCheck en dbconn.php una página no envía correo de la cola."),
               frozen_mail, _OBSERVED, ("portal.background_work",),
               writes=MAIL),
    assumption("page-held-mail",
               ("A mail whose SUCCESS_EXEC is H stays in the queue when others are sent.",
                "Un correo con SUCCESS_EXEC H queda en la cola cuando otros se envían."),
               held_mail, "Observed in release 26.250: only N is taken.", ("portal.background_work",), writes=MAIL),
    assumption("rest-webhook",
               ("A row of b_rest_ap with its scopes opens /rest/USER/CODE/METHOD at once.",
                "Una fila de b_rest_ap con sus permisos abre /rest/USUARIO/CÓDIGO/MÉTODO al momento."),
               webhook_rows, _OBSERVED, ("rest.webhook", "rest.client", "portal.neutralise"), modules=("rest",),
               writes=WEBHOOK),
    assumption("rest-wrong-code",
               ("A code that no row has is refused with 401 INVALID_CREDENTIALS.",
                "Un código que ninguna fila tiene se rechaza con 401 INVALID_CREDENTIALS."),
               wrong_code, _OBSERVED, ("rest.errors", "rest.client"), modules=("rest",)),
    assumption("rest-scope",
               ("A method outside of the webhook's scopes is refused with 403 insufficient_scope.",
                "Un método fuera de los permisos del webhook se rechaza con 403 insufficient_scope."),
               scope, _OBSERVED, ("rest.errors", "carryover.prepare"), modules=("rest", "crm"), writes=WEBHOOK),
    assumption("rest-batch",
               ("A batch gives results and errors by name and takes 50 commands.",
                "Un batch da resultados y errores por nombre y admite 50 órdenes."),
               batch, f"{_DOCUMENTED}'How to call REST: batch'.", ("rest.command", "rest.client"), modules=("rest",),
               writes=WEBHOOK),
    assumption("rest-methods",
               ("Every method by which the kit reads is there.", "Existen todos los métodos con los que lee el kit."),
               reading_methods, f"{_DOCUMENTED}of each method.",
               ("carryover.source.reader", "carryover.records", "telephony.report"), modules=("rest",),
               writes=WEBHOOK),
    assumption("rest-pages",
               ("A list gives 50 rows at a time; with start -1 it does not count them.",
                "Una lista da 50 filas cada vez; con start -1 no las cuenta."),
               list_pages, f"{_DOCUMENTED}'Performance: lists'.", ("rest.listing", "carryover.source.reader"),
               modules=("rest", "crm"), writes=WEBHOOK),
    assumption("rest-import",
               ("crm.item.import keeps createdTime and origin of a lead for an administrator.",
                "crm.item.import conserva createdTime y el origen de un prospecto para un administrador."),
               import_times, _OBSERVED, ("carryover.records.imports",), modules=("rest", "crm"), writes=WEBHOOK),
    assumption("rest-events",
               ("Events are bound by applications only, so a webhook is refused.",
                "Solo las aplicaciones enlazan eventos; un webhook se rechaza."),
               offline_events, _OBSERVED, ("carryover.source.offline_events", "telephony.rest"), modules=("rest",),
               writes=(*WEBHOOK, Tagged("b_rest_event", f"CONNECTOR_ID = '{TAG}'"))),
)  # fmt: skip
