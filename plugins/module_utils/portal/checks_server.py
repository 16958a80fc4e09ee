"""The vendor's two server tests, as far as they can be run from outside, and a simple performance check.

Thresholds are those of ``bitrix_server_test.php`` and of the site checker (``/bitrix/admin/site_checker.php``).
Source: portal.md chapter 4.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..errors import EncajaError
from . import cache, upgrades
from .verify import Check, Finding, Scene, check, found, judged, ok, people

REQUIRED_EXTENSIONS: Final = (
    "gd", "xml", "dom", "zlib", "openssl", "hash", "mbstring", "zip", "mysqli", "curl", "json", "session", "fileinfo",
)  # fmt: skip
WANTED_EXTENSIONS: Final = ("Zend OPcache", "apcu", "redis", "ldap", "intl", "exif")
INSTALL_SCRIPTS: Final = (
    "restore.php", "bitrix_server_test.php", "bitrixsetup.php", "bitrix_install.php", "bitrix_setup.php",
    "bitrix6setup.php", "bitrix7setup.php", "bitrix8setup.php", "export_file.csv", "1c_bx_import.php",
)  # fmt: skip
COLLATIONS: Final = ("utf8mb4_unicode_ci", "utf8mb4_0900_ai_ci")
MINIMUM_PHP: Final = (8, 1, 0)
MINIMUM_INSERTS: Final = 2000.0
MAXIMUM_FILES_SECONDS: Final = 2.0
_FILES: Final = 1000
_SCRATCH: Final = "encaja_speed"
_SET: Final = re.compile(r"""["'](SET\s+(?:NAMES|collation_connection)[^"]*?)["']\s*\)""", re.IGNORECASE)
_CREATE: Final = re.compile(r"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?`?(\w+)`?\s*\(", re.IGNORECASE)
_MARKS: Final = re.compile(r"'(?:[^'\\]|\\.|'')*'|[(),]")
_KEYS: Final = frozenset({"primary", "key", "index", "unique", "fulltext", "spatial", "constraint", "foreign", "check"})
_UNITS: Final = {"k": 1024, "m": 1024**2, "g": 1024**3}


def size(text: object) -> int:
    """A size as php.ini writes it (``1024M``, ``-1`` for no limit) in bytes."""
    match = re.fullmatch(r"\s*(-?\d+)\s*([kmg]?)b?\s*", str(text).lower())
    if not match:
        return 0
    number = int(match.group(1))
    return 2**62 if number < 0 else number * _UNITS.get(match.group(2), 1)


def switched_on(text: object) -> bool:
    """Whether a php.ini value means "on"."""
    return str(text).strip().lower() in {"1", "on", "yes", "true"}


Rule = Callable[[str], bool]


def _at_least(minimum: str) -> Rule:
    return lambda value: size(value) >= size(minimum)


def _on(value: str) -> bool:
    return switched_on(value)


def _off(value: str) -> bool:
    return not switched_on(value)


INI: Final[Mapping[str, Mapping[str, tuple[str, Rule]]]] = {
    "limits": {
        "max_input_vars": ("at least 10000", _at_least("10000")),
        "max_file_uploads": ("at least 20", _at_least("20")),
        "post_max_size": ("at least 1024M", _at_least("1024M")),
        "upload_max_filesize": ("at least 1024M", _at_least("1024M")),
        "memory_limit": ("at least 256M", _at_least("256M")),
        "default_socket_timeout": ("at least 60", _at_least("60")),
        "pcre.backtrack_limit": ("at least 1000000", _at_least("1000000")),
        "realpath_cache_size": ("at least 4096k", _at_least("4096k")),
    },
    "switches": {
        "short_open_tag": ("On", _on),
        "file_uploads": ("On", _on),
        "allow_url_fopen": ("On", _on),
        "display_errors": ("Off", lambda value: _off(value) or value == "stderr"),
        "enable_dl": ("Off", _off),
        "expose_php": ("Off", _off),
        "mail.add_x_header": ("Off", _off),
    },
    "charset": {
        "default_charset": ("UTF-8", lambda value: value.upper() == "UTF-8"),
        "mbstring.internal_encoding": ("empty or UTF-8", lambda value: value.upper() in {"", "UTF-8"}),
        "mbstring.func_overload": ("0", lambda value: value in {"", "0"}),
    },
}
FPM_INI: Final[Mapping[str, tuple[str, Rule]]] = {
    "opcache.enable": ("On", _on),
    "opcache.revalidate_freq": ("0", lambda value: value == "0"),
    "opcache.max_accelerated_files": ("at least 100000", _at_least("100000")),
    "max_execution_time": ("at least 300", lambda value: value == "0" or size(value) >= 300),
    "session.cookie_httponly": ("On", _on),
}
VARIABLES: Final[Mapping[str, tuple[str, Rule]]] = {
    "sql_mode": ("empty", lambda value: not value),
    "innodb_strict_mode": ("OFF", lambda value: value.upper() in {"OFF", "0"}),
    "innodb_default_row_format": ("dynamic", lambda value: value.lower() == "dynamic"),
    "default_storage_engine": ("InnoDB", lambda value: value.lower() == "innodb"),
    "character_set_server": ("utf8mb4", lambda value: value == "utf8mb4"),
    "max_allowed_packet": ("at least 16M", _at_least("16M")),
}


def _broken(values: Mapping[str, Any], rules: Mapping[str, tuple[str, Rule]], where: str) -> list[str]:
    return [
        f"{where}{name} is {values.get(name) if values.get(name) not in {None, ''} else 'empty'}, wanted {wanted}"
        for name, (wanted, rule) in rules.items()
        if not rule("" if values.get(name) is None else str(values[name]))
    ]


def ini_probe(group: str) -> Callable[[Scene], Finding]:
    """A probe of one group of php.ini settings, for pages and for the command line."""

    def probe(scene: Scene) -> Finding:
        rules = INI[group]
        wrong = _broken(scene.fpm["ini"], rules, "pages: ") + _broken(scene.cli["ini"], rules, "command line: ")
        return judged(wrong, ", ".join(f"{name}={scene.fpm['ini'].get(name) or 'empty'}" for name in list(rules)[:4]))

    return probe


def php_pool(scene: Scene) -> Finding:
    """Settings that matter only to pages."""
    ini = scene.fpm["ini"]
    return judged(_broken(ini, FPM_INI, ""), f"opcache on, {ini.get('memory_limit')} per page")


def php_version(scene: Scene) -> Finding:
    """PHP's version, the same for pages and schedule, and the environment's version that the checker looks for."""
    wrong = []
    for name, facts in (("pages", scene.fpm), ("command line", scene.cli)):
        numbers = tuple(int(part) for part in re.findall(r"\d+", facts["version"])[:3])
        if numbers < MINIMUM_PHP:
            wrong.append(f"{name}: PHP {facts['version']} is older than 8.1")
    if scene.fpm["version"] != scene.cli["version"]:
        wrong.append(f"pages have {scene.fpm['version']}, the command line {scene.cli['version']}")
    if not scene.fpm["environment"]:
        wrong.append("BITRIX_VA_VER is not set for pages")
    return judged(wrong, f"PHP {scene.fpm['version']}, environment {scene.fpm['environment']}")


def php_extensions(scene: Scene) -> Finding:
    """Extensions that the portal needs."""
    wrong = []
    for name, facts in (("pages", scene.fpm), ("command line", scene.cli)):
        loaded = {extension.lower() for extension in facts["extensions"]}
        if missing := [extension for extension in REQUIRED_EXTENSIONS if extension not in loaded]:
            wrong.append(f"{name}: {', '.join(missing)} missing")
    graphics = scene.fpm.get("gd") or {}
    for kind in ("FreeType Support", "JPEG Support"):
        if graphics and not graphics.get(kind):
            wrong.append(f"gd without {kind}")
    return judged(wrong, f"{len(scene.fpm['extensions'])} extensions")


def php_extras(scene: Scene) -> Finding:
    """Extensions that the portal uses where they are installed."""
    loaded = {extension.lower() for extension in scene.fpm["extensions"]}
    missing = [extension for extension in WANTED_EXTENSIONS if extension.lower() not in loaded]
    return judged([f"{', '.join(missing)} missing"] if missing else [], "all there")


def database_settings(scene: Scene) -> Finding:
    """Server variables as the site checker requires them."""
    return judged(_broken(scene.variables, VARIABLES, ""), f"{scene.variables.get('version')}, sql_mode empty")


def database_charset(scene: Scene) -> Finding:
    """Character set and collation of the database, the same as the tables' and columns'."""
    database = scene.portal.database
    row = database.rows(
        "SELECT DEFAULT_CHARACTER_SET_NAME AS c, DEFAULT_COLLATION_NAME AS o FROM information_schema.SCHEMATA"
        " WHERE SCHEMA_NAME = %s", database.name
    )[0]  # fmt: skip
    wrong = []
    if row["c"] != "utf8mb4" or row["o"] not in COLLATIONS:
        wrong.append(f"the database is {row['c']} / {row['o']}")
    other = database.rows(
        "SELECT TABLE_NAME AS t, TABLE_COLLATION AS o FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"
        " AND TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME LIKE 'b\\_%%' AND TABLE_COLLATION <> %s", database.name, row["o"]
    )  # fmt: skip
    if other:
        wrong.append(f"{len(other)} tables have another collation, such as {other[0]['t']} ({other[0]['o']})")
    columns = database.count(
        "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME LIKE 'b\\_%%'"
        " AND COLLATION_NAME IS NOT NULL AND CHARACTER_SET_NAME <> 'utf8mb4'", database.name
    )  # fmt: skip
    if columns:
        wrong.append(f"{columns} columns are not utf8mb4")
    return judged(wrong, f"everything utf8mb4 / {row['o']}")


def database_tables(scene: Scene) -> Finding:
    """Tables in InnoDB, in a row format that long keys need."""
    database = scene.portal.database
    rows = database.rows(
        "SELECT TABLE_NAME AS t, ENGINE AS e, ROW_FORMAT AS f FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"
        " AND TABLE_TYPE = 'BASE TABLE' AND (ENGINE <> 'InnoDB' OR ROW_FORMAT IN ('Compact', 'Redundant'))",
        database.name,
    )
    shown = ", ".join(f"{row['t']} ({row['e']} {row['f']})" for row in rows[:4])
    return judged([f"{len(rows)} tables: {shown}"] if rows else [], f"{len(scene.portal.columns)} tables in InnoDB")


def database_time(scene: Scene) -> Finding:
    """The database's clock and time zone, the same as PHP's."""
    difference = scene.portal.database.value("SELECT TIMESTAMPDIFF(SECOND, %s, NOW())", scene.fpm["local"])
    waited = time.time() - float(scene.fpm["now"])
    seconds = abs(float(difference) - waited)
    return judged([f"PHP ({scene.fpm['zone']}) and the database differ by {seconds:.0f} s"] if seconds > 2 else [],
                  f"both in {scene.fpm['zone']}")  # fmt: skip


def connection_charset(scene: Scene) -> Finding:
    """The connection as the portal makes it, with the statements of its own files, against the database's collation."""
    portal = scene.portal
    folder = portal.root / "bitrix" / "php_interface"
    text = "".join(portal.text(folder / name) for name in ("after_connect.php", "after_connect_d7.php"))
    statements = [found_in.group(1) for found_in in _SET.finditer(text)]
    with portal.connect() as connection:
        for statement in statements:
            connection.execute(statement)
        row = connection.rows("SELECT @@character_set_connection AS c, @@collation_connection AS o, @@sql_mode AS m")[0]
    wanted = portal.database.value("SELECT @@collation_database")
    wrong = []
    if not str(row["c"]).startswith("utf8mb4"):
        wrong.append(f"the connection is {row['c']}")
    if statements and row["o"] != wanted:
        wrong.append(f"the connection has {row['o']}, the database {wanted}")
    if row["m"]:
        wrong.append(f"the connection has sql_mode {row['m']}")
    return judged(wrong, f"{row['c']} / {row['o']}")


def table_structure(scene: Scene) -> Finding:
    """Missing tables and columns that the installed modules' own scripts create."""
    portal = scene.portal
    tables = {name.lower(): {column.lower() for column in columns} for name, columns in portal.columns.items()}
    missing: list[str] = []
    looked = 0
    for module in sorted(portal.modules):
        for place in ("mysql", "db/mysql"):
            script = portal.root / "bitrix" / "modules" / module / "install" / place / "install.sql"
            for table, columns in declared_tables(portal.text(script)).items():
                looked += 1
                if table not in tables:
                    missing.append(table)
                else:
                    missing += [f"{table}.{column}" for column in sorted(columns - tables[table])]
    shown = ", ".join(missing[:5])
    return judged([f"{len(missing)} tables or columns are missing: {shown}"] if missing else [],
                  f"{looked} tables as the modules create them")  # fmt: skip


def declared_tables(script: str) -> dict[str, set[str]]:
    """Tables of an installation script with their columns, all in lower case."""
    found_tables: dict[str, set[str]] = {}
    for begin in _CREATE.finditer(script):
        depth, start, parts = 1, begin.end(), []
        for mark in _MARKS.finditer(script, begin.end()):
            sign = mark.group()
            depth += (sign == "(") - (sign == ")")
            if depth == 0 or (depth == 1 and sign == ","):
                parts.append(script[start : mark.start()])
                start = mark.end()
            if depth == 0:
                break
        words = [part.split(maxsplit=1)[0].strip("`").lower() for part in parts if part.split()]
        found_tables[begin.group(1).lower()] = {
            word for word in words if word.split("(")[0] not in _KEYS and not word.startswith(("--", "#"))
        }
    return found_tables


def no_output(scene: Scene) -> Finding:
    """Files that run before every page and must print nothing."""
    folder = scene.portal.root / "bitrix" / "php_interface"
    wrong = []
    for path in (scene.portal.dbconn_path, folder / "init.php", folder / "after_connect_d7.php"):
        text = scene.portal.text(path)
        if text and not text.startswith("<?"):
            wrong.append(f"{path.name} starts with text or a byte order mark")
        elif re.search(r"\?>\s*\S|\?>\n\s*\n", text[text.rfind("?>") :] if "?>" in text else ""):
            wrong.append(f"{path.name} prints something after its last '?>'")
    return judged(wrong, "dbconn.php, init.php and after_connect_d7.php print nothing")


def document_tools(scene: Scene) -> Finding:
    """Programs that turn documents into text for the search; the portal's options name them."""
    named = {
        name.removeprefix("search_file_extension_exe_"): value
        for (module, name), value in scene.portal.options.items()
        if module == "intranet" and name.startswith("search_file_extension_exe_") and value
    }
    missing = [f"{kind} ({value.split()[0]})" for kind, value in named.items() if not shutil.which(value.split()[0])]
    if missing:
        return people(f"not installed, so the search does not find these documents by their text: {', '.join(missing)}")
    return ok(", ".join(sorted(named)) if named else "the portal names none")


def install_scripts(scene: Scene) -> Finding:
    """Scripts of installers that were left behind."""
    left = [
        str(path.relative_to(scene.portal.root))
        for directory in ("", "bitrix", "upload")
        for name in INSTALL_SCRIPTS
        if (path := scene.portal.root / directory / name).exists()
    ]
    return judged([f"left behind: {', '.join(left)}"] if left else [], "none left behind")


def redis_server(scene: Scene) -> Finding:
    """The cache that the settings name."""
    section = scene.portal.section("cache")
    if "redis" not in str(section.get("type", "")).lower():
        return people(f"the cache is {section.get('type') or 'files'}: Redis is faster")
    target = cache.redis_target(section)
    if target is None:
        return found("the cache section names no server")
    server = cache.Redis(*target)
    try:
        answer = server.command("PING")
        policy = server.command("CONFIG", "GET", "maxmemory-policy")
    except EncajaError as fault:
        return found(str(fault))
    finally:
        server.close()
    shown = bytes(policy[1]).decode() if isinstance(policy, list) and len(policy) > 1 else ""
    return ok(f"{bytes(answer).decode()}, {shown}")


def temporary_files(scene: Scene) -> Finding:
    """Directories that pages write to."""
    wrong = []
    root = scene.portal.root
    owner = (root / "bitrix" / "php_interface").stat().st_uid
    for name in ("upload", "bitrix/managed_cache", "bitrix/cache", "bitrix/tmp"):
        path = root / name
        if path.exists() and path.stat().st_uid != owner:
            wrong.append(f"{name} belongs to another user")
    usage = shutil.disk_usage(root)
    if usage.free < max(usage.total // 10, 2 * 1024**3):
        wrong.append(f"{usage.free / 1024**3:.1f} GiB free of {usage.total / 1024**3:.0f}")
    return judged(wrong, f"{usage.free / 1024**3:.0f} GiB free")


def security_upgrades(_: Scene) -> Finding:
    """Upgrades that have no source, or wait for a restart."""
    automatic = upgrades.is_automatic()
    wrong = [what for what, _ in upgrades.upgrade_faults(automatic=automatic)]
    return judged(wrong, "they come by themselves" if automatic else "switched off, and none waits for a restart")


def mail_program(scene: Scene) -> Finding:
    """The program that PHP hands mail to."""
    command = str(scene.fpm["ini"].get("sendmail_path") or "")
    program = command.split(maxsplit=1)[0] if command else ""
    if not program or not (Path(program).exists() or shutil.which(program)):
        return found(f"sendmail_path is {command or 'empty'}: no such program")
    return ok(command)


def inserts(scene: Scene) -> Finding:
    """Rows inserted per second, one statement each, in a table that is made for it and goes again."""
    database = scene.portal.database
    database.execute(f"DROP TABLE IF EXISTS {_SCRATCH}")  # of a look that was killed
    database.execute(f"CREATE TABLE {_SCRATCH} (ID int NOT NULL AUTO_INCREMENT PRIMARY KEY, TEXT varchar(100))")
    try:
        begun = time.perf_counter()
        for number in range(_FILES):
            database.execute(f"INSERT INTO {_SCRATCH} (TEXT) VALUES (%s)", f"row {number}")  # noqa: S608  a constant
        rate = _FILES / (time.perf_counter() - begun)
    finally:
        database.execute(f"DROP TABLE IF EXISTS {_SCRATCH}")
    return judged([f"{rate:.0f} rows per second, wanted {MINIMUM_INSERTS:.0f}"] if rate < MINIMUM_INSERTS else [],
                  f"{rate:.0f} rows per second")  # fmt: skip


def file_creation(scene: Scene) -> Finding:
    """Time for a thousand small files."""
    with tempfile.TemporaryDirectory(prefix=".encaja-", dir=scene.portal.root.resolve().parent) as directory:
        begun = time.perf_counter()
        for number in range(_FILES):
            with open(os.path.join(directory, f"{number}.php"), "w") as file:  # noqa: PTH118, PTH123  as fast as it goes
                file.write("<?php return 1;")
        seconds = time.perf_counter() - begun
    return judged([f"{seconds:.2f} s for {_FILES} files"] if seconds > MAXIMUM_FILES_SECONDS else [],
                  f"{seconds:.2f} s for {_FILES} files")  # fmt: skip


CHECKS: Final[Sequence[Check]] = (
    check("php-version", ("PHP's version", "Versión de PHP"), php_version, "role php"),
    check("php-extensions", ("PHP extensions", "Extensiones de PHP"), php_extensions, "php_packages (role php)"),
    check("php-extras", ("Further PHP extensions", "Otras extensiones de PHP"), php_extras, "php_packages", "warning"),
    check("php-limits", ("PHP: limits", "PHP: límites"), ini_probe("limits"), "role php, php_ini_extra"),
    check("php-switches", ("PHP: switches", "PHP: interruptores"), ini_probe("switches"), "role php"),
    check("php-charset", ("PHP: character set", "PHP: juego de caracteres"), ini_probe("charset"), "role php"),
    check("php-pool", ("PHP: accelerator and time", "PHP: acelerador y tiempo"), php_pool, "role php"),
    check("php-mail", ("PHP's mail program", "Programa de correo de PHP"), mail_program, "role mail"),
    check("database-settings", ("Database server's settings", "Ajustes del servidor de base de datos"),
          database_settings, "role database"),
    check("database-charset", ("Character set and collation", "Juego de caracteres y cotejamiento"), database_charset,
          "restore with the kit: it rewrites collations"),
    check("database-tables", ("Tables in InnoDB", "Tablas en InnoDB"), database_tables,
          "restore with the kit: it rewrites engines"),
    check("database-connection", ("The portal's connection", "La conexión del portal"), connection_charset,
          "set the database's collation in bitrix/php_interface/after_connect_d7.php"),
    check("database-structure", ("Tables of the modules", "Tablas de los módulos"), table_structure,
          "update the portal: cloud and box differ in versions", "warning"),
    check("database-time", ("Clock of PHP and database", "Reloj de PHP y de la base de datos"), database_time,
          "encaja_time_zone for both"),
    check("php-output", ("Files that must print nothing", "Ficheros que no deben imprimir nada"), no_output,
          "remove what is outside of <?php"),
    check("host-documents", ("Text of documents", "Texto de los documentos"), document_tools,
          "apt install catdoc poppler-utils", "note"),
    check("host-scripts", ("Installers left behind", "Instaladores olvidados"), install_scripts, "delete them"),
    check("host-cache", ("Cache server", "Servidor de caché"), redis_server, "role cache"),
    check("host-upgrades", ("Security upgrades", "Actualizaciones de seguridad"), security_upgrades,
          "a security suite in apt's sources; a restart", "warning"),
    check("host-files", ("Owners and space", "Propietarios y espacio"), temporary_files, "role portal; a larger disk"),
    check("speed-inserts", ("Rows per second", "Filas por segundo"), inserts, "role database; faster disk", "warning"),
    check("speed-files", ("Creating files", "Creación de ficheros"), file_creation, "a faster disk", "warning"),
)  # fmt: skip
