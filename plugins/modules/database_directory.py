#!/usr/bin/python
"""See that MariaDB has a data directory, and make one where nothing is left of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_directory
short_description: Initialise MariaDB's data directory where it is empty
description:
  - A server whose data directory was deleted, or whose new disk is empty, does not start
    (C(Table 'mysql.db' doesn't exist)). The module initialises the directory as Debian's package does.
  - The directory counts as empty if it holds only files that a server creates when it starts without data. Those are
    set aside, not deleted. With anything else, such as a database's directory or a binary log, the module fails.
  - The new files are created in a folder within the directory and moved into place, the system tables last. So a
    directory without system tables was not completed, and the next run starts again.
  - Also fails if the directory's disk is not mounted, or if it was deleted under a running server.
options:
  unit:
    description: The server's unit.
    type: str
    default: mariadb.service
  user:
    description: The user that runs the server.
    type: str
    default: mysql
author: encaja
"""

EXAMPLES = r"""
- name: Ensure that the data directory exists
  encaja.portal.database_directory:
"""

RETURN = r"""
directory:
  description: The data directory, empty if the server is not installed.
  returned: always
  type: str
set_aside:
  description: Directory to which former files were moved; empty if there were none.
  returned: always
  type: str
"""

import datetime
import os
import re
import shutil
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

FIRST = ".encaja-initial"
SYSTEM = "mysql"
# What a server writes into an empty directory: these files hold no user's data unless there is a database's directory.
OWN_FILES = re.compile(
    r"aria_log(_control|\.\d+)|ib_buffer_pool(\.incomplete)?|ib_logfile\d+|ibdata\d+|ibtmp\d+|undo\d+|"
    r"ddl_recovery(-backup)?\.log|tc\.log|multi-master\.info|(mariadb|mysql)_upgrade_info|debian-[\d.]+\.flag|.+\.pid"
)
OWN_FOLDERS = {FIRST, "performance_schema", "sys"}
ELSEWHERE = ("innodb_data_home_dir", "innodb_log_group_home_dir", "innodb_undo_directory", "aria_log_dir_path")


class DirectoryError(Exception):
    """Why nothing was initialised, in one line with how to fix it."""


def setting(lines: list[str], name: str) -> str:
    """The last value of a setting among ``my_print_defaults``' lines, in either spelling; empty if it has none."""
    values = [
        value
        for key, _, value in (line.removeprefix("--").partition("=") for line in lines)
        if key.replace("-", "_") == name
    ]
    return values[-1] if values else ""


def content(directory: Path) -> tuple[list[str], list[str]]:
    """The files in a data directory without system tables: those that a server creates, and all others."""
    own: list[str] = []
    other: list[str] = []
    for entry in sorted(directory.iterdir()) if directory.is_dir() else []:
        if entry.name in ("lost+found", FIRST):
            continue
        is_folder = entry.is_dir() and not entry.is_symlink()
        is_own = entry.name in OWN_FOLDERS if is_folder else OWN_FILES.fullmatch(entry.name) and entry.is_file()
        (own if is_own else other).append(entry.name)
    return own, other


def has_system_tables(directory: Path) -> bool:
    """Whether the system tables exist."""
    return (directory / SYSTEM).is_dir()


def put_aside(directory: Path, names: list[str], stamp: str) -> str:
    """Move files of a failed start out of the directory, and return their new place."""
    if not names:
        return ""
    place = directory.with_name(f"{directory.name}.set-aside-{stamp}")
    place.mkdir(mode=0o700, exist_ok=True)
    for name in names:
        shutil.move(str(directory / name), str(place / name))
    return str(place)


def put_in_place(directory: Path) -> None:
    """Move the new files into place; the system tables last, which mark the directory as complete."""
    first = directory / FIRST
    for entry in sorted(first.iterdir(), key=lambda entry: (entry.name == SYSTEM, entry.name)):
        if entry.name == SYSTEM:
            sync(directory)
        entry.rename(directory / entry.name)
    sync(directory)
    first.rmdir()


def sync(directory: Path) -> None:
    """Flush the directory's entries, and all pending writes, to disk."""
    os.sync()
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def output(*command: str) -> str:
    """A command's output, empty if it failed or does not exist."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def mount_units(directory: Path) -> dict[str, str]:
    """Names of the mount units of the directory and its parents, to their paths."""
    above = [path for path in (directory, *directory.parents) if path != Path("/")]
    escaped = output("systemd-escape", "--path", "--suffix=mount", *map(str, above)).split()
    return {unit: str(path) for unit, path in zip(escaped, above, strict=True)} if len(escaped) == len(above) else {}


def unmounted(shown: str, units: dict[str, str]) -> str:
    """The path of a disk that belongs to this host and is not mounted, from ``systemctl show``; empty if all are."""
    for block in shown.strip().split("\n\n"):
        now = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if now.get("LoadState") == "loaded" and now.get("ActiveState") != "active" and now.get("Id") in units:
            return units[now["Id"]]
    return ""


def check(directory: Path, lines: list[str], unit: str) -> list[str]:
    """The files to set aside for a new data directory.

    Raises:
        DirectoryError: there is, or may be, something that must not be touched.
    """
    own, other = content(directory)
    if other:
        shown = ", ".join(other[:5]) + (" …" if len(other) > 5 else "")
        raise DirectoryError(
            f"{directory} has no system tables but holds {shown}; nothing was changed: restore the whole directory "
            f"from a physical copy, or move it away (mv {directory} {directory}.old) to start with an empty server"
        )
    if moved := [
        name for name in ELSEWHERE if setting(lines, name).strip("./") and setting(lines, name) != str(directory)
    ]:
        raise DirectoryError(
            f"{directory} is empty, but {moved[0]} points to {setting(lines, moved[0])}; nothing was changed: inspect "
            "it, and initialise this server by hand (mariadb-install-db)"
        )
    units = mount_units(directory)
    shown = output("systemctl", "show", "--property=Id,LoadState,ActiveState", *units) if units else ""
    if path := unmounted(shown, units):
        raise DirectoryError(
            f"{path} is not mounted, so {directory} only looks empty: mount its disk, then run this again"
        )
    if output("systemctl", "is-active", unit).strip() == "active":
        raise DirectoryError(
            f"{directory} was emptied under {unit}, which still runs and may still have its data: save it "
            f"(mariadb-dump --all-databases), stop it (systemctl stop {unit}), then run this again"
        )
    return own


def initialise(directory: Path, user: str, unit: str, own: list[str], stamp: str) -> str:
    """Initialise the directory, and return the place of the files set aside.

    Raises:
        DirectoryError: the server's own program failed.
    """
    # A failing server that systemd restarts would write to the same place.
    output("systemctl", "stop", unit)
    directory.mkdir(parents=True, exist_ok=True)
    shutil.chown(directory, user, user)
    directory.chmod(0o755)
    first = directory / FIRST
    if first.exists():
        shutil.rmtree(first)
    first.mkdir(mode=0o700)
    shutil.chown(first, user, user)
    command = [
        "mariadb-install-db", "--rpm", "--cross-bootstrap", f"--user={user}", "--disable-log-bin", "--skip-test-db",
        f"--datadir={first}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": ""})
    if done.returncode or not has_system_tables(first):
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise DirectoryError(f"mariadb-install-db failed for {directory}: {' / '.join(lines[-3:])}")
    aside = put_aside(directory, own, stamp)
    put_in_place(directory)
    return aside


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "default": "mariadb.service"},
            "user": {"type": "str", "default": "mysql"},
        },
        supports_check_mode=True,
    )
    if not shutil.which("my_print_defaults"):
        if module.check_mode:
            module.exit_json(changed=False, directory="", set_aside="")
        module.fail_json(msg="MariaDB is not installed on this host; run role database with tag install")
    lines = output("my_print_defaults", "--mariadbd").splitlines()
    directory = Path(setting(lines, "datadir") or "/var/lib/mysql")
    if has_system_tables(directory):
        if (directory / FIRST).is_dir() and not module.check_mode:
            shutil.rmtree(directory / FIRST)  # a run that was interrupted after its last but one step
        module.exit_json(changed=False, directory=str(directory), set_aside="")
    aside = ""
    try:
        own = check(directory, lines, module.params["unit"])
        if not module.check_mode:
            stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
            aside = initialise(directory, module.params["user"], module.params["unit"], own, stamp)
    except (DirectoryError, OSError) as fault:
        module.fail_json(msg=str(fault))
    module.warn(
        f"{directory} was empty: it {'would be' if module.check_mode else 'was'} initialised, without data. "
        "Restore former databases from a backup (docs/estate.md)"
        + (f"; files of a failed start are in {aside}" if aside else "")
    )
    module.exit_json(changed=True, directory=str(directory), set_aside=aside)


if __name__ == "__main__":
    main()
