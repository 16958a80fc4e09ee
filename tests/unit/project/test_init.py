"""`encaja init`: a project whole or not at all, its secrets made, encrypted and never shown."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from encaja import cli
from encaja.errors import ConfigurationError
from encaja.project import ENVIRONMENTS, GENERATED, PLACEHOLDERS, VAULT_PASSWORD, Answers, make_project

ROOT = Path(__file__).parents[3]


def opened(project: Path, environment: str) -> dict[str, str]:
    password = (project / VAULT_PASSWORD).read_text().strip()
    vault = VaultLib([("default", VaultSecret(password.encode()))])
    path = project / "inventories" / environment / "group_vars" / environment / "vault.yml"
    values: dict[str, str] = yaml.safe_load(vault.decrypt(path.read_bytes()))
    return values


def secrets_of(project: Path) -> list[str]:
    made = [value for name in ENVIRONMENTS for key, value in opened(project, name).items() if key in GENERATED]
    return [*made, (project / VAULT_PASSWORD).read_text().strip()]


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path / "portal", Answers())
    return tmp_path / "portal"


def test_every_secret_is_made_once_and_as_the_roles_demand(project: Path) -> None:
    made = secrets_of(project)
    assert len(made) == len(set(made))
    for environment in ENVIRONMENTS:
        values = opened(project, environment)
        assert re.fullmatch("[A-Za-z0-9]{128}", values["encaja_push_key"])
        assert all(len(values[name]) >= 32 for name in GENERATED if name in values)
        left = {name for name, value in values.items() if value == "change me"}
        assert left == {"encaja_licence_key"} | (
            {"encaja_mail_relay_password"} if environment == "production" else set()
        )


def test_secrets_stand_in_no_other_file(project: Path) -> None:
    made = [secret.encode() for secret in secrets_of(project)]
    for path, content in everything(project).items():
        if path.name == VAULT_PASSWORD:
            continue
        assert not any(secret in content for secret in made), path
        if path.name == "vault.yml":
            assert content.startswith(b"$ANSIBLE_VAULT;1.1;AES256\n")


def test_modes(project: Path) -> None:
    private = {
        path.name for path in project.rglob("*") if path.is_file() and not stat.S_IMODE(path.stat().st_mode) & 0o077
    }
    assert private == {VAULT_PASSWORD, "vault.yml"}
    assert stat.S_IMODE((project / VAULT_PASSWORD).stat().st_mode) == 0o600


def test_git_takes_the_vaults_and_not_their_password(project: Path) -> None:
    (project / ".encaja").mkdir()
    (project / ".encaja/journal.sqlite3").touch()
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    subprocess.run(["git", "add", "."], cwd=project, check=True)
    listed = subprocess.run(["git", "ls-files"], cwd=project, check=True, capture_output=True, text=True).stdout.split()
    assert "inventories/production/group_vars/production/vault.yml" in listed
    assert not [name for name in listed if VAULT_PASSWORD in name or name.startswith(".encaja/")]


def test_no_file_names_a_path_of_this_machine(project: Path) -> None:
    machine = [str(ROOT).encode(), str(project).encode(), sys.prefix.encode()]
    assert not [path for path, content in everything(project).items() if any(place in content for place in machine)]


def test_ansible_reads_all_three_inventories(project: Path) -> None:
    words = [word for name in ENVIRONMENTS for word in ("-i", f"inventories/{name}")]
    mine = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    command = [Path(sys.executable).with_name("ansible-inventory"), *words, "--list"]
    ended = subprocess.run(command, cwd=project, env=mine, capture_output=True, text=True, check=True)
    assert "WARNING" not in ended.stderr
    hosts = yaml.safe_load(ended.stdout)["_meta"]["hostvars"]
    assert set(hosts) == set(PLACEHOLDERS.values())
    assert hosts["test.example.com"]["encaja_push_key"] == opened(project, "test")["encaja_push_key"]


def test_answers_stand_in_the_place_of_placeholders(tmp_path: Path) -> None:
    make_project(
        tmp_path / "portal",
        Answers(
            {"production": "crm.acme.test", "telephony": "pbx.acme.test"},
            {"production": "192.0.2.7", "test": "fd00::7"},
        ),
    )
    inventories = tmp_path / "portal/inventories"
    described = yaml.safe_load((inventories / "production/hosts.yml").read_text())["all"]["children"]
    assert described["production"]["hosts"] == {"crm.acme.test": {"ansible_host": "192.0.2.7"}, "pbx.acme.test": None}
    assert described["telephony"]["hosts"] == {"pbx.acme.test": None}
    values = yaml.safe_load((inventories / "production/group_vars/production/main.yml").read_text())
    assert values["encaja_domain"] == "crm.acme.test"
    test = yaml.safe_load((inventories / "test/hosts.yml").read_text())["all"]["children"]
    assert test["test"]["hosts"] == {"test.example.com": {"ansible_host": "fd00::7"}}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (Answers({"prod": "crm.acme.test"}), "--domain: there is no 'prod' (use production, telephony,"),
        (Answers({"test": "https://crm.acme.test"}), "--domain: 'https://crm.acme.test' is not a host's name"),
        (Answers(addresses={"test": "a b"}), "--host: 'a b' is not a host's name or address"),
        (Answers({"test": "x\nencaja_environment: production"}), "is not a host's name"),
    ],
)
def test_a_wrong_answer_makes_nothing(tmp_path: Path, answers: Answers, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        make_project(tmp_path / "portal", answers)
    assert said in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_refuses_and_overwrites_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(project.parent)
    assert cli.run(["init", str(project)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{project}: is not empty, it holds ")
    assert line.endswith(" (give a folder that is empty or does not exist)")
    assert everything(project.parent) == before


def test_the_command_shows_no_secret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["init", str(tmp_path / "portal"), "--domain", "crm.acme.test"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "encaja check" in out
    assert not [secret for secret in secrets_of(tmp_path / "portal") if secret in out]


def test_an_empty_folder_stays_the_folder_that_it_is(tmp_path: Path) -> None:
    number = tmp_path.stat().st_ino
    make_project(tmp_path, Answers())
    assert tmp_path.stat().st_ino == number
    assert {path.name for path in tmp_path.iterdir()} == {
        VAULT_PASSWORD, ".gitignore", "ansible.cfg", "inventories", "runbook.yml"
    }  # fmt: skip


KILLED = """
import os, signal, sys
from pathlib import Path
from encaja import project

made = 0
original = getattr({owner}, {name!r})

def counted(*words, **options):
    global made
    made += 1
    if made == {after}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*words, **options)

setattr({owner}, {name!r}, counted)
project.make_project(Path(sys.argv[1]), project.Answers())
"""


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("owner", "name", "after"), [("project", "_put", 1), ("project", "_put", 9), ("Path", "rename", 1)]
)
def test_killed_on_its_way_it_leaves_no_project(
    tmp_path: Path, *, there: bool, owner: str, name: str, after: int
) -> None:
    target = tmp_path / "portal"
    if there:
        target.mkdir()
    script = KILLED.format(owner=owner, name=name, after=after)
    ended = subprocess.run([sys.executable, "-c", script, str(target)], cwd=tmp_path, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (target / "inventories").exists()
    assert all(path.name.startswith(".encaja-init-") for path in (target if there else tmp_path).iterdir())


def test_killed_between_two_of_an_empty_folder_s_files_it_is_no_project(tmp_path: Path) -> None:
    script = KILLED.format(owner="Path", name="rename", after=4)
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "inventories").exists()
    with pytest.raises(ConfigurationError, match="not empty"):
        make_project(tmp_path, Answers())


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("encaja.project._put", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        make_project(tmp_path / "portal", Answers())
    assert list(tmp_path.iterdir()) == []
