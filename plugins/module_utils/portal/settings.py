"""Merging sections into ``.settings.php`` and showing what changes, secrets hidden.

Every section is ``{'value': …, 'readonly': bool}``; other keys at the top level are markers that some environments put
around their block (``pull_s1``). Source: portal.md 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ..errors import ConfigurationError
from .php import array_key, render_settings

SECRET_NAME: Final = re.compile(
    r"(?:^|_|~)(?:pass(?:word|wd)?|secret|token|(?:api|crypto|private|signature|licen[cs]e|default)_?key|key)$", re.I
)
"""Names under which the portal keeps secrets (``password``, ``crypto_key``, ``signature_key``, ``client_secret`` …)."""
RUN_MODE: Final = "run_mode"
FROZEN: Final[Mapping[str, tuple[str, Any]]] = {"messenger": (RUN_MODE, "cli"), "smtp": ("enabled", False)}
"""What a key of a section is while the portal is frozen. Source: behaviour.md 1 and 2.1."""
_OWN: Final = "encaja_"
"""Begins the name under which a key's value from before the freeze is kept (empty: not set)."""
HIDDEN: Final = "(secret)"
HIDDEN_CHANGED: Final = "(secret, changed)"


def is_secret(name: object) -> bool:
    """Whether a key, option or column of this name holds a secret."""
    return isinstance(name, str) and SECRET_NAME.search(name) is not None


def normal(value: Any) -> Any:
    """Plain data in the form in which PHP arrays are read: sequences as dictionaries with the keys 0, 1, 2."""
    if isinstance(value, Mapping):
        return {array_key(key): normal(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return {index: normal(item) for index, item in enumerate(value)}
    return value


def _is_list(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == list(range(len(value)))


def merged(settings: Mapping[Any, Any], sections: Mapping[Any, Any]) -> dict[Any, Any]:
    """The settings merged with the sections, dictionary by dictionary; lists and single values are replaced."""
    result = dict(settings)
    for key, wanted in sections.items():
        name = array_key(key)
        present = result.get(name)
        value = normal(wanted)
        if (
            isinstance(wanted, Mapping)
            and wanted
            and isinstance(present, dict)
            and (not _is_list(present) or not present)
        ):
            result[name] = merged(present, wanted)
        else:
            result[name] = value
    return result


def with_path(settings: Mapping[Any, Any], path: str, value: Any) -> dict[Any, Any]:
    """The settings with one value set at a dotted path such as ``connections.value.default.password``."""
    head, _, rest = path.partition(".")
    present = settings.get(head)
    inner = with_path(present if isinstance(present, dict) else {}, rest, value) if rest else normal(value)
    return {**settings, head: inner}


def without_path(settings: Mapping[Any, Any], path: str) -> dict[Any, Any]:
    """The settings without the section or value at a dotted path."""
    head, _, rest = path.partition(".")
    if head not in settings:
        return dict(settings)
    if not rest:
        return {key: item for key, item in settings.items() if key != head}
    present = settings[head]
    return {**settings, head: without_path(present, rest)} if isinstance(present, dict) else dict(settings)


def converge(
    settings: Mapping[Any, Any],
    sections: Mapping[str, Any],
    secrets: Mapping[str, Any],
    replace: Iterable[str] = (),
    absent: Iterable[str] = (),
) -> dict[Any, Any]:
    """The settings as they should be.

    Args:
        settings: what the file holds now.
        sections: sections to merge into it; they must hold no secrets.
        secrets: values by dotted path.
        replace: sections that are taken from ``sections`` whole, whatever the file had in them.
        absent: dotted paths that are removed.

    Raises:
        ConfigurationError: a secret stands among the sections, where it would reach logs.
    """
    for path in _secret_paths(sections):
        raise ConfigurationError("a secret among the plain sections", path, f"give it as secrets: {{{path}: …}}")
    result = dict(settings)
    for path in absent:
        result = without_path(result, path)
    whole = frozenset(replace)
    result = merged(result, {name: value for name, value in sections.items() if name not in whole})
    for name in sections.keys() & whole:
        result[name] = normal(sections[name])
    for path, value in secrets.items():
        result = with_path(result, path, value)
    return result


def _secret_paths(value: Any, path: str = "") -> Iterable[str]:
    if not isinstance(value, Mapping):
        return
    for key, item in value.items():
        here = f"{path}.{key}" if path else str(key)
        if is_secret(key) and isinstance(item, str) and item:
            yield here
        else:
            yield from _secret_paths(item, here)


def masked(value: Any, other: Any = None, *, changed: str = HIDDEN) -> Any:
    """A copy with every secret hidden; ``changed`` is shown for those that differ from the same place in ``other``."""
    if not isinstance(value, Mapping):
        return value
    base = other if isinstance(other, Mapping) else {}
    shown: dict[Any, Any] = {}
    for key, item in value.items():
        if is_secret(key) and isinstance(item, str) and item:
            shown[key] = HIDDEN if base.get(key) == item else changed
        else:
            shown[key] = masked(item, base.get(key), changed=changed)
    return shown


def diff(before: Mapping[Any, Any], after: Mapping[Any, Any], path: str) -> dict[str, str]:
    """Ansible's form of a difference between two settings files, secrets hidden but marked where they change."""
    return {
        "before_header": path,
        "after_header": path,
        "before": render_settings(masked(before)) if before else "",
        "after": render_settings(masked(after, before, changed=HIDDEN_CHANGED)),
    }


def freeze(settings: Mapping[Any, Any], sections: Iterable[str] = tuple(FROZEN)) -> dict[Any, Any]:
    """The settings with a Messenger that waits for a consumer of the command line, and mail handed to PHP's mailer.

    Nothing starts that consumer, and the mailer of a frozen portal holds what it gets; a mail server of the settings
    would be asked first. What was there is kept next to it, so that both are written at once or not at all.
    """
    result = dict(settings)
    for name in sections:
        key, still = FROZEN[name]
        section, value = _section(settings, name)
        if name == "smtp" and not value.get(key):
            continue
        kept = {} if _OWN + key in value else {_OWN + key: value.get(key) or ""}
        result[name] = {**section, "value": {**value, **kept, key: still}}
    return result


def thaw(settings: Mapping[Any, Any]) -> dict[Any, Any]:
    """The settings as they were before :func:`freeze`."""
    result = dict(settings)
    for name, (key, _) in FROZEN.items():
        section, value = _section(settings, name)
        if _OWN + key not in value:
            continue
        former = value.pop(_OWN + key)
        del value[key]
        value |= {key: former} if former else {}
        if value:
            result[name] = {**section, "value": value}
        else:
            del result[name]
    return result


def _section(settings: Mapping[Any, Any], name: str) -> tuple[dict[Any, Any], dict[Any, Any]]:
    section = settings.get(name)
    section = dict(section) if isinstance(section, Mapping) else {"readonly": False}
    value = section.get("value")
    return section, dict(value) if isinstance(value, Mapping) else {}
