"""A release appears whole or not at all."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from unit.push_role.test_push_config import load

release = load("plugins/modules/push_release.py")
GOOD = {
    "package.json": json.dumps({"name": "push-server", "version": "0.4.0", "dependencies": {"ws": "8"}}),
    "server.js": "//",
}


@pytest.fixture(autouse=True)
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of the host: a Node that finds a library only in node_modules, and no npm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder, "node", '[ -d "$3/node_modules/ws" ] && echo "[]" || echo \'["ws"]\'')
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin" if not Path("/usr/bin/npm").exists() else str(folder))
    return folder


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def tarball(folder: Path, files: dict[str, str], name: str = "push.tgz", link: str = "") -> Path:
    path = folder / name
    with tarfile.open(path, "w:gz") as archive:
        for inside, content in files.items():
            entry = tarfile.TarInfo(inside if inside.startswith(("/", ".")) else f"package/{inside}")
            entry.size = len(content)
            entry.mode = 0o755 if content.startswith("#!") else 0o600
            archive.addfile(entry, io.BytesIO(content.encode()))
        if link:
            entry = tarfile.TarInfo(f"package/{link}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
            archive.addfile(entry)
    return path


LOCK = json.dumps({"packages": {"": {"name": "push-server"}, "node_modules/ws": {"integrity": "sha512-x"}}})


def install(path: Path, to: Path, lock: str = LOCK) -> dict[str, object]:
    result: dict[str, object] = release.install(path, release.digest(path), to, lock, "nobody")
    return result


def test_a_whole_tarball_becomes_a_release(tmp_path: Path) -> None:
    path = tarball(tmp_path, {**GOOD, "node_modules/ws/package.json": "{}", "etc/init.d/run": "#!/bin/sh"})
    target = tmp_path / "releases" / "one"
    assert install(path, target) == {"version": "0.4.0", "npm": False}
    assert (target / "node_modules/ws/package.json").read_text() == "{}"
    assert (target / "etc/init.d/run").stat().st_mode & 0o777 == 0o755
    assert (target / "server.js").stat().st_mode & 0o777 == 0o644
    assert not path.exists()


def test_another_hash_changes_nothing(tmp_path: Path) -> None:
    path = tarball(tmp_path, GOOD)
    with pytest.raises(release.ReleaseError, match=f"not {'0' * 64}; nothing was changed"):
        release.install(path, "0" * 64, tmp_path / "releases" / "one")
    assert not (tmp_path / "releases").exists()
    assert path.exists()


@pytest.mark.parametrize(
    ("files", "link", "message"),
    [
        ({**GOOD, "../outside": "x"}, "", "no npm tarball has"),
        ({**GOOD, "/etc/passwd": "x"}, "", "no npm tarball has"),
        (GOOD, "link", "no npm tarball has"),
        ({"package.json": '{"name": "push-server"}'}, "", "with a server.js"),
        ({**GOOD, "package.json": '{"name": "other"}'}, "", "is package 'other'"),
        ({"server.js": ""}, "", "not an npm tarball"),
        (GOOD, "", "does not hold ws; add their Debian packages to push_packages, or npm"),
    ],
)
def test_a_tarball_that_cannot_run_leaves_no_release(
    tmp_path: Path, files: dict[str, str], link: str, message: str
) -> None:
    path = tarball(tmp_path, files, link=link)
    with pytest.raises(release.ReleaseError, match=message):
        install(path, tmp_path / "releases" / "one")
    assert list((tmp_path / "releases").iterdir()) == []
    assert not (tmp_path / "outside").exists()


def test_a_cut_tarball_leaves_no_release(tmp_path: Path) -> None:
    path = tarball(tmp_path, {**GOOD, "big": "x" * 100_000})
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(release.ReleaseError, match="cannot be unpacked"):
        install(path, tmp_path / "releases" / "one")
    assert list((tmp_path / "releases").iterdir()) == []


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A directory that others can reach, as they can on a host."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o011 != 0o011 and folder.owner() == "root":
            folder.chmod(folder.stat().st_mode | 0o011)
    return tmp_path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_npm_brings_what_the_lock_pins_and_is_not_root(open_path: Path, tools: Path) -> None:
    program(tools, "npm", '(echo "$@"; id -un; echo $HOME; env) > said; /bin/mkdir -p node_modules/ws')
    (tools / "id").symlink_to("/usr/bin/id")
    (tools / "env").symlink_to("/usr/bin/env")
    target = open_path / "releases/one"
    assert install(tarball(open_path, GOOD), target)["npm"] is True
    arguments, user, home, *rest = (target / "said").read_text().splitlines()
    assert arguments == "ci --omit=dev --ignore-scripts --no-audit --no-fund"
    assert user == "nobody"
    assert home.startswith(f"{open_path}/releases/.new-")
    assert {line.partition("=")[0] for line in rest} <= {"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_"}
    assert (target / "package-lock.json").read_text() == LOCK
    assert {path.owner() for path in (target, *target.rglob("*"))} == {"root"}
    assert [path.name for path in target.parent.iterdir()] == ["one"]


@pytest.mark.parametrize(
    ("lock", "message"),
    [
        ("", "does not hold ws; add their Debian packages to push_packages, or npm, and their package-lock.json"),
        ("nonsense", "no package-lock.json of version 2"),
        ('{"lockfileVersion": 1, "dependencies": {}}', "no package-lock.json of version 2"),
        ('{"packages": {"": {}, "node_modules/ws": {"version": "8"}}}', "has no hash of node_modules/ws"),
    ],
)
def test_npm_brings_nothing_that_is_not_pinned(tmp_path: Path, tools: Path, lock: str, message: str) -> None:
    program(tools, "npm", "exit 0")
    with pytest.raises(release.ReleaseError, match=message):
        install(tarball(tmp_path, GOOD), tmp_path / "releases/one", lock)
    assert list((tmp_path / "releases").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_a_failing_npm_leaves_no_release(open_path: Path, tools: Path) -> None:
    program(tools, "npm", "echo no registry >&2; exit 1")
    with pytest.raises(release.ReleaseError, match="npm failed: no registry"):
        install(tarball(open_path, GOOD), open_path / "releases" / "one")
    assert list((open_path / "releases").iterdir()) == []


def test_only_the_release_before_is_kept(tmp_path: Path) -> None:
    releases = tmp_path / "releases"
    for number, name in enumerate(("one", "two", "three")):
        path = tarball(tmp_path, {**GOOD, "node_modules/ws/package.json": "{}", "n": name})
        install(path, releases / name)
        os.utime(releases / name, (number, number))
    assert sorted(path.name for path in releases.iterdir()) == ["three", "two"]
