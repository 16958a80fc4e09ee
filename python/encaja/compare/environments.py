"""An environment as its hosts report it: their snapshots merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "options": {"en": "options", "es": "opciones"},
    "sites": {"en": "sites", "es": "sitios"},
    "modules": {"en": "modules", "es": "módulos"},
    "files": {"en": "settings files", "es": "archivos de configuración"},
    "php": {"en": "PHP", "es": "PHP"},
    "mariadb": {"en": "MariaDB", "es": "MariaDB"},
    "nginx": {"en": "nginx", "es": "nginx"},
    "packages": {"en": "packages", "es": "paquetes"},
    "schedule": {"en": "cron and timers", "es": "cron y temporizadores"},
    "system": {"en": "system", "es": "sistema"},
    "counts": {"en": "rows", "es": "filas"},
}
"""What is compared, in the order of the report."""


@dataclass(frozen=True)
class Seen:
    """A value as its host gave it.

    Attributes:
        text: the text; None when it is secret.
        digest: the digest of the text.
        nameless: digest of the text without the environment's own names.
        kept: digest of the text without those own names that are not plain words.
        bare: digest of the text without own names and without the credentials inside it.
        name: what the value is called, own names taken out; empty where they are the same.
    """

    text: str | None
    digest: str
    nameless: str
    kept: str = ""
    bare: str = ""
    name: str = ""

    def is_same(self, other: Seen) -> bool:
        """Whether the two differ in nothing but own names."""
        return self.nameless == other.nameless or (bool(self.kept) and self.kept == other.kept)


@dataclass(frozen=True)
class Environment:
    """All that the hosts of an environment reported.

    Attributes:
        name: production, preproduction or test.
        sections: values by section and name.
        missing: sections that a host could not read, with host and reason.
        neutral: by section the names that neutralisation has set; None where this is no neutralised copy.
        sizes: memory and processors of the hosts.
    """

    name: str
    sections: Mapping[str, Mapping[str, Seen]]
    missing: Sequence[tuple[str, str]]
    neutral: Mapping[str, frozenset[str]] | None
    sizes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, name: str, snapshots: Mapping[str, Mapping[str, Any]]) -> Environment:
        """Merge the snapshots of an environment's hosts; where hosts differ, all their values count."""
        sections: dict[str, dict[str, list[Seen]]] = {}
        missing: list[tuple[str, str]] = []
        neutral: dict[str, set[str]] = {}
        sizes = []
        for host, snapshot in snapshots.items():
            for section, values in snapshot["sections"].items():
                held = sections.setdefault(section, {})
                for key, value in values.items():
                    held.setdefault(key, []).append(Seen(*value))
            missing += [(section, f"{host}: {why}") for section, why in snapshot["missing"].items()]
            for section, names in snapshot["neutral"].items():
                neutral.setdefault(section, set()).update(names)
            sizes.append((int(snapshot["size"]["memory"]), int(snapshot["size"]["processors"])))
        return cls(
            name,
            {section: {key: joined(seen) for key, seen in held.items()} for section, held in sections.items()},
            missing,
            {section: frozenset(names) for section, names in neutral.items()} if neutral else None,
            tuple(sorted(sizes)),
        )


def joined(several: Sequence[Seen]) -> Seen:
    """Several values of one name as one: all their texts where hosts differ."""
    distinct = sorted({seen.digest: seen for seen in several}.values(), key=lambda seen: seen.nameless)
    if len(distinct) == 1:
        return distinct[0]
    texts = [seen.text for seen in distinct]
    return Seen(
        None if None in texts else " | ".join(text for text in texts if text is not None),
        "|".join(sorted(seen.digest for seen in distinct)),
        "|".join(dict.fromkeys(seen.nameless for seen in distinct)),
        "|".join(dict.fromkeys(seen.kept for seen in distinct)),
        "|".join(dict.fromkeys(seen.bare for seen in distinct)),
        distinct[0].name,
    )
