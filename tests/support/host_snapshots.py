"""Snapshots of hosts as module ``snapshot`` returns them."""

from __future__ import annotations

from typing import Any

from encaja.portal.value_digest import Secrecy, ValueDigester

GIB4, GIB8 = {"memory": 4096, "processors": 2}, {"memory": 8192, "processors": 4}


def snapshot(host: str, sections: dict[str, dict[str, str]], environment: str = "", **more: Any) -> dict[str, Any]:
    digester = ValueDigester("salt", {host: "{here}", environment: "{environment}"})
    guards = {"counts": Secrecy.OPEN, "packages": Secrecy.OPEN, "mariadb": Secrecy.NAMED, "php": Secrecy.NAMED}
    values = {
        section: {
            name: [*digester.value(name, text, guards.get(section, Secrecy.STRICT)), digester.without_names(name)]
            for name, text in held.items()
        }
        for section, held in sections.items()
    }
    return {"sections": values, "missing": {}, "neutral": {}, "size": GIB4, **more}
