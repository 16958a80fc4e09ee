"""A restored portal as one object: its tree, its settings, its options and its database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ..errors import EncajaError
from . import files, php
from .database import Database
from .plan import Plan
from .settings import HIDDEN, is_secret
from .settings import diff as settings_diff

ROOT: Final = Path("/srv/portal/www")
STATE: Final = Path("/var/lib/encaja/settle")


class Portal:
    """Reads lazily; what it has read it keeps, so one object serves one plan."""

    def __init__(self, root: Path = ROOT, state: Path = STATE) -> None:
        self.root = root
        self.state_directory = state
        if not (root / "bitrix").is_dir():
            raise EncajaError("no portal here (directory 'bitrix' is missing)", str(root), "restore the portal first")

    @property
    def settings_path(self) -> Path:
        """``local/.settings.php`` when there is one, as the kernel looks for it, else ``bitrix/.settings.php``."""
        local = self.root / "local" / ".settings.php"
        return local if local.exists() else self.root / "bitrix" / ".settings.php"

    @property
    def extra_path(self) -> Path:
        """The file whose sections replace those of ``.settings.php`` whole."""
        return self.settings_path.with_name(".settings_extra.php")

    @property
    def dbconn_path(self) -> Path:
        """The program that the kernel runs before it connects."""
        return self.root / "bitrix" / "php_interface" / "dbconn.php"

    def text(self, path: Path) -> str:
        """A file's text, empty when it is not there."""
        try:
            return php.decode(path.read_bytes())
        except FileNotFoundError:
            return ""
        except OSError as fault:
            raise EncajaError(f"cannot be read: {fault.strerror}", str(path), "fix its permissions") from fault

    def _parsed(self, path: Path) -> dict[int | str, Any]:
        text = self.text(path)
        return php.parse_settings(text, str(path)) if text else {}

    @cached_property
    def settings(self) -> dict[int | str, Any]:
        """``.settings.php`` as it stands."""
        if not self.settings_path.exists():
            raise EncajaError("the portal has no settings file", str(self.settings_path), "restore the portal first")
        return self._parsed(self.settings_path)

    @cached_property
    def extra(self) -> dict[int | str, Any]:
        """``.settings_extra.php`` as it stands."""
        return self._parsed(self.extra_path)

    @cached_property
    def effective(self) -> dict[int | str, Any]:
        """The settings as the kernel sees them: sections of the extra file replace whole sections."""
        return {**self.settings, **self.extra}

    def section(self, name: str) -> dict[Any, Any]:
        """The value of one section as the kernel sees it, empty when it is missing or no array."""
        section = self.effective.get(name)
        value = section.get("value") if isinstance(section, Mapping) else None
        return dict(value) if isinstance(value, Mapping) else {}

    @cached_property
    def dbconn(self) -> str:
        """``dbconn.php`` as it stands."""
        return self.text(self.dbconn_path)

    @cached_property
    def database(self) -> Database:
        """The connection to the portal's database."""
        return Database.connect(self.settings, str(self.settings_path))

    @contextmanager
    def connect(self) -> Iterator[Database]:
        """Another connection of its own, closed afterwards."""
        connection = Database.connect(self.settings, str(self.settings_path))
        try:
            yield connection
        finally:
            connection.close()

    @cached_property
    def columns(self) -> dict[str, dict[str, str]]:
        """Tables and columns with their types."""
        return self.database.columns()

    def has(self, table: str, *columns: str) -> bool:
        """Whether the database has the table, with the columns."""
        return table in self.columns and all(column in self.columns[table] for column in columns)

    @cached_property
    def options(self) -> dict[tuple[str, str], str]:
        """``b_option`` by module and lower-case name."""
        found = self.database.rows("SELECT MODULE_ID, NAME, VALUE FROM b_option")
        return {(row["MODULE_ID"], row["NAME"].lower()): row["VALUE"] or "" for row in found}

    @cached_property
    def site_options(self) -> dict[tuple[str, str, str], str]:
        """``b_option_site`` by module, lower-case name and site."""
        if not self.has("b_option_site"):
            return {}
        found = self.database.rows("SELECT MODULE_ID, NAME, SITE_ID, VALUE FROM b_option_site")
        return {(row["MODULE_ID"], row["NAME"].lower(), row["SITE_ID"]): row["VALUE"] or "" for row in found}

    def option(self, module: str, name: str, default: str = "") -> str:
        """The value of a global option."""
        return self.options.get((module, name.lower()), default)

    @cached_property
    def modules(self) -> frozenset[str]:
        """Installed modules."""
        return frozenset(row["ID"] for row in self.database.rows("SELECT ID FROM b_module"))

    @cached_property
    def sites(self) -> list[dict[str, Any]]:
        """Active sites, the default one first."""
        return self.database.rows("SELECT * FROM b_lang WHERE ACTIVE = 'Y' ORDER BY DEF DESC, SORT, LID")

    def set_option(self, plan: Plan, module: str, name: str, value: str, site: str = "") -> None:
        """Plan an option's value; nothing when it has it already."""
        key: dict[str, str] = {"MODULE_ID": module, "NAME": name, **({"SITE_ID": site} if site else {})}
        table = "b_option_site" if site else "b_option"
        before = (
            self.site_options.get((module, name.lower(), site)) if site else self.options.get((module, name.lower()))
        )
        if before is None:
            plan.insert(table, {**key, "VALUE": value}, label=f"{module}/{name}", name=name)
        else:
            plan.update(table, key, {"VALUE": before}, {"VALUE": value}, name=name)

    def remove_option(self, plan: Plan, module: str, name: str) -> None:
        """Plan the removal of an option, for all sites; nothing when there is none."""
        if (value := self.options.get((module, name.lower()))) is not None:
            plan.delete(
                "b_option", {"MODULE_ID": module, "NAME": name}, "(secret)" if is_secret(name) else repr(value[:200])
            )
        for owner, option, site in self.site_options:
            if (owner, option) == (module, name.lower()):
                plan.delete("b_option_site", {"MODULE_ID": module, "NAME": name, "SITE_ID": site}, "(for one site)")

    def set_settings(self, plan: Plan, wanted: Mapping[Any, Any]) -> None:
        """Plan a new ``.settings.php``; nothing when it says the same already."""
        if wanted != self.settings:
            shown = settings_diff(self.settings, wanted, str(self.settings_path))
            plan.file(
                self.settings_path,
                self.text(self.settings_path),
                php.render_settings(wanted),
                (shown["before"], shown["after"]),
            )

    def set_extra(self, plan: Plan, wanted: Mapping[Any, Any]) -> None:
        """Plan a new ``.settings_extra.php``; it is removed when nothing is left of it."""
        if wanted != self.extra:
            shown = settings_diff(self.extra, wanted, str(self.extra_path))
            after = php.render_settings(wanted) if wanted else None
            plan.file(self.extra_path, self.text(self.extra_path), after, (shown["before"], shown["after"]))

    def set_dbconn(self, plan: Plan, after: str) -> None:
        """Plan a new ``dbconn.php``; the password that some portals keep in it is not shown."""

        def masked(text: str) -> str:
            password = php.read_variable(text, "DBPassword")
            return text if password is None else php.edit_variable(text, "DBPassword", HIDDEN)

        plan.file(self.dbconn_path, self.dbconn, after, (masked(self.dbconn), masked(after)))

    def state(self) -> dict[str, Any]:
        """What earlier runs of settling noted about this database (old hosts, last queued mail …)."""
        path = self.state_directory / f"{self.database.name}.json"
        try:
            noted: dict[str, Any] = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return noted

    def note(self, **values: Any) -> None:
        """Add to what is noted about this database."""
        self.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = json.dumps({**self.state(), **values}, indent=2, sort_keys=True) + "\n"
        path = self.state_directory / f"{self.database.name}.json"
        files.write(path, data.encode(), files.Attributes(mode=0o600))
