#!/usr/bin/python
"""See that MariaDB has a data directory, and make one where nothing is left of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_directory
short_description: MariaDB's data directory, made again where it is empty, and never over data
description:
  - A server whose data directory was deleted, or whose new disk is still empty, does not start
    (C(Table 'mysql.db' doesn't exist)). Here the directory is initialised as Debian's package does it.
  - It counts as empty while it holds nothing but files that a server makes for itself when it starts on nothing. Those
    are set aside, not deleted. Anything else, a directory of a database or a binary log, makes the module refuse.
  - The new files are made in a folder within the directory, and put in place with the system tables last. A directory
    without system tables is therefore one that was not finished, and the next run begins again.
  - A directory whose disk is not mounted, and one that was deleted under a server that still runs, are refused as well.
options:
  unit:
    description: The server's unit.
    type: str
    default: mariadb.service
  user:
    description: The user as whom the server runs.
    type: str
    default: mysql
author: encaja
"""

EXAMPLES = r"""
- name: See that the server has a data directory
  encaja.portal.database_directory:
"""

RETURN = r"""
directory:
  description: The data directory, empty while the server is not installed.
  returned: always
  type: str
set_aside:
  description: Where files that lay in the directory are now; empty where there were none.
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
# What a server writes that finds nothing: no row of anybody's is in them without a database's directory beside them.
OWN_FILES = re.compile(
    r"aria_log(_control|\.\d+)|ib_buffer_pool(\.incomplete)?|ib_logfile\d+|ibdata\d+|ibtmp\d+|undo\d+|"
    r"ddl_recovery(-backup)?\.log|tc\.log|multi-master\.info|(mariadb|mysql)_upgrade_info|debian-[\d.]+\.flag|.+\.pid"
)
OWN_FOLDERS = {FIRST, "performance_schema", "sys"}
ELSEWHERE = ("innodb_data_home_dir", "innodb_log_group_home_dir", "innodb_undo_directory", "aria_log_dir_path")


class DirectoryError(Exception):
    """Why nothing was made, in one line with what to do."""


def setting(lines: list[str], name: str) -> str:
    """The last value of a setting among ``my_print_defaults``' lines, in either spelling; empty where it has none."""
    values = [
        value
        for key, _, value in (line.removeprefix("--").partition("=") for line in lines)
        if key.replace("-", "_") == name
    ]
    return values[-1] if values else ""


def content(directory: Path) -> tuple[list[str], list[str]]:
    """What lies in a data directory without system tables: what a server made for itself, and everything else."""
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
    """Whether the server's own tables are there."""
    return (directory / SYSTEM).is_dir()


def put_aside(directory: Path, names: list[str], stamp: str) -> str:
    """Move what a server had made for itself out of the directory, and return where it is now."""
    if not names:
        return ""
    place = directory.with_name(f"{directory.name}.set-aside-{stamp}")
    place.mkdir(mode=0o700, exist_ok=True)
    for name in names:
        shutil.move(str(directory / name), str(place / name))
    return str(place)


def put_in_place(directory: Path) -> None:
    """Move the new files to where the server looks for them; the system tables last, which say that all is there."""
    first = directory / FIRST
    for entry in sorted(first.iterdir(), key=lambda entry: (entry.name == SYSTEM, entry.name)):
        if entry.name == SYSTEM:
            sync(directory)
        entry.rename(directory / entry.name)
    sync(directory)
    first.rmdir()


def sync(directory: Path) -> None:
    """Write the directory's entries, and everything that waits, to the disk."""
    os.sync()
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def output(*command: str) -> str:
    """What a command printed, empty where it failed or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def mount_units(directory: Path) -> dict[str, str]:
    """The names of the mount units for the directory and the ones above it, to their paths."""
    above = [path for path in (directory, *directory.parents) if path != Path("/")]
    escaped = output("systemd-escape", "--path", "--suffix=mount", *map(str, above)).split()
    return {unit: str(path) for unit, path in zip(escaped, above, strict=True)} if len(escaped) == len(above) else {}


def unmounted(shown: str, units: dict[str, str]) -> str:
    """The path of a disk that belongs to this host and is not mounted, from ``systemctl show``; empty where all are."""
    for block in shown.strip().split("\n\n"):
        now = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if now.get("LoadState") == "loaded" and now.get("ActiveState") != "active" and now.get("Id") in units:
            return units[now["Id"]]
    return ""


def check(directory: Path, lines: list[str], unit: str) -> list[str]:
    """The files that are in the way of a new data directory.

    Raises:
        DirectoryError: there is, or may be, something that must not be touched.
    """
    own, other = content(directory)
    if other:
        shown = ", ".join(other[:5]) + (" …" if len(other) > 5 else "")
        raise DirectoryError(
            f"{directory} has no system tables but holds {shown}; nothing was touched: put the whole directory back "
            f"from a physical copy, or move it away (mv {directory} {directory}.old) to begin with an empty server"
        )
    if moved := [
        name for name in ELSEWHERE if setting(lines, name).strip("./") and setting(lines, name) != str(directory)
    ]:
        raise DirectoryError(
            f"{directory} is empty, but {moved[0]} points to {setting(lines, moved[0])}; nothing was touched: see what "
            "is there, and initialise this server by hand (mariadb-install-db)"
        )
    units = mount_units(directory)
    shown = output("systemctl", "show", "--property=Id,LoadState,ActiveState", *units) if units else ""
    if path := unmounted(shown, units):
        raise DirectoryError(
            f"{path} is not mounted, so {directory} only looks empty: mount its disk, then run this again"
        )
    if output("systemctl", "is-active", unit).strip() == "active":
        raise DirectoryError(
            f"{directory} was emptied under {unit}, which still runs and may still give what it holds: save that "
            f"(mariadb-dump --all-databases), stop it (systemctl stop {unit}), then run this again"
        )
    return own


def initialise(directory: Path, user: str, unit: str, own: list[str], stamp: str) -> str:
    """Make the server's first files, put them in place, and return where what lay there is now.

    Raises:
        DirectoryError: the server's own program failed.
    """
    # A server that fails and is started again by systemd would write into the same place.
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
        told = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise DirectoryError(f"mariadb-install-db failed for {directory}: {' / '.join(told[-3:])}")
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
        module.fail_json(msg="MariaDB is not installed on this host; its packages are role database's (tag install)")
    lines = output("my_print_defaults", "--mariadbd").splitlines()
    directory = Path(setting(lines, "datadir") or "/var/lib/mysql")
    if has_system_tables(directory):
        if (directory / FIRST).is_dir() and not module.check_mode:
            shutil.rmtree(directory / FIRST)  # a run that was cut off after its last step but one
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
        f"{directory} held no server: it {'would be' if module.check_mode else 'was'} initialised, with no data in it. "
        "Databases that were there have to be brought back from a backup (docs/estate.md)"
        + (f"; what a failed start had left is in {aside}" if aside else "")
    )
    module.exit_json(changed=True, directory=str(directory), set_aside=aside)


if __name__ == "__main__":
    main()
