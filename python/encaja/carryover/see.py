"""Whether a webhook can be worked with."""

from __future__ import annotations

from encaja.errors import ConfigurationError
from encaja.rest.client import RestClient
from encaja.rest.command import Command
from encaja.rest.errors import AccessError


async def see_webhook(portal: RestClient, which: str) -> None:
    """See that a webhook is an administrator's and has the scopes.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    hint = "make a new inbound webhook as an administrator, with the scopes crm, user, task and disk"
    try:
        admin, scope = await portal.batch([Command("user.admin"), Command("scope")])
        for answer in (admin, scope):
            if answer.error:
                raise answer.error
    except AccessError as fault:
        raise ConfigurationError(f"the {which}'s webhook is refused: {fault.what}", portal.where, hint) from fault
    faults = [] if admin.result else ["it is not an administrator's"]
    have = set(scope.result)
    lacking = [
        name for name in ("crm", "user", "task") if name not in have and not (name == "task" and "tasks" in have)
    ]
    if lacking:
        faults.append(f"it lacks the scopes {', '.join(lacking)}")
    if faults:
        raise ConfigurationError(f"the {which}'s webhook: {'; '.join(faults)}", portal.where, hint)
