"""Whether a portal that is not released yet is silent, and what it would have sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from . import background_work, outbox, php, settings, silence
from .verify import Check, Finding, Scene, check, found, ok


def silent(scene: Scene) -> Finding:
    """Check that everything which can be off until the release is off."""
    portal = scene.portal
    if scene.copy.is_copy:
        return ok("a neutralised copy, which is never released")
    closed = "encaja silent" in scene.command("nft", "list", "chain", "inet", "encaja", "encaja_egress")
    if not (background_work.is_frozen(portal) or portal.has(silence.TABLE)):
        if not portal.state().get("released"):
            return ok("the portal was never frozen")
        shut = [text for text, is_shut in (("the network is still closed to it", closed),
                                           ("mail is still held", scene.mail_hold.exists())) if is_shut]  # fmt: skip
        if shut:
            return found(f"the portal is released, but {' and '.join(shut)}", "run playbook release again")
        return ok("the portal is released")
    wrong = [
        f"dbconn.php does not define {name}"
        for name in background_work.FROST
        if php.read_define(portal.dbconn, name) is not True
    ]
    for name, (key, still) in settings.FROZEN.items():
        value = portal.section(name).get(key)
        if value != still and (value or name == "messenger"):
            wrong.append(f"{name}.{key} is {value!r}")
    alive = silence.live(portal.database, scene.silence, again=silence.is_complete(portal.database))
    wrong += [f"{count} of {name} are switched on" for name, count in alive.items()]
    if scene.mailer.exists() and not scene.mail_hold.exists():
        wrong.append("mail that PHP sends at once is not held")
    if scene.closed_network.exists() and not closed:
        wrong.append(f"the network is open in spite of {scene.closed_network}")
    if wrong:
        return found("; ".join(wrong))
    network = f"the network is {'closed' if closed else 'open'} to the portal"
    off = ", ".join(f"{count} {name}" for name, count in silence.held(portal.database).items())
    waits = outbox.summary(outbox.waiting(portal))
    return ok(f"off until the release: {off or 'nothing'}; {network}; waiting: {waits or 'nothing'}")


CHECKS: Final[Sequence[Check]] = (
    check("portal-silent", ("Nothing goes out before the release", "Nada sale antes de la puesta en marcha"), silent,
          "playbook settle (--tags work) switches it off again", part="background_work"),
)  # fmt: skip
