"""What holds after the whole move: the portal, the call, the copy, the journal."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from e2e.conftest import ROOT, Lab


def changed(output: str) -> dict[str, int]:
    """Host to the number of changes, from Ansible's recap."""
    return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)}


def results(output: str) -> list[tuple[str, str, str]]:
    """Task, result and host, in order; hosts of one task are done in any order, so they are sorted within it."""
    found: list[tuple[str, str, str]] = []
    for task in re.split(r"^TASK ", output.split("PLAY RECAP", maxsplit=1)[0], flags=re.MULTILINE)[1:]:
        name = task.split("] ***")[0]
        lines = re.findall(r"^(ok|changed|skipping|failed): \[(\S+?)\]", task, re.MULTILINE)
        found += sorted((name, result, host) for result, host in lines)
    return found


def test_every_step_is_done(moved: Lab) -> None:
    shown = subprocess.run(["encaja", "journal", "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    events = json.loads(shown.stdout)
    assert events, "the journal is empty"
    again = subprocess.run(
        ["encaja", "run", "-i", str(moved.inventory), "--by", "test", "--yes"],
        cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr


def test_the_portal_has_what_the_cloud_had(moved: Lab) -> None:
    count = "mariadb -N -e 'SELECT COUNT(*) FROM {0}.b_crm_lead WHERE ID <= (SELECT MAX(ID) FROM {0}.b_crm_lead)'"
    cloud = int(moved.shell("cloud", count.format("portal")))
    database = moved.shell("production", "mariadb -N -e 'SHOW DATABASES LIKE \"portal\\_%\"'")
    box = int(moved.shell("production", count.format(database)))
    assert cloud >= 2000
    assert box >= cloud


def test_the_dangers_and_bugs_were_there_and_are_gone(moved: Lab) -> None:
    """The two tables that the demo shows, of the restored portal and of the moved one."""
    tables = [json.loads((ROOT / ".encaja" / f"verify-{name}.json").read_text()) for name in ("before", "after")]
    before, after = ({item["id"]: item["state"] for item in table["checks"]} for table in tables)
    assert len(before) == len(after) == 13
    assert set(before.values()) == {"found"}
    assert set(after.values()) <= {"cured", "people"}
    assert (after["case-03-time-lag"], after["case-04-still-in-cloud"]) == ("cured", "cured")
    assert tables[1]["differences"] == 0
    evidence = {item["id"]: item["evidence"] for item in tables[1]["checks"]}
    assert "messages of the dump" in evidence["case-09-comments"]
    assert re.match(r"backup of 20\d\d-\d\d-\d\d ", evidence["case-03-time-lag"])


def test_what_the_cloud_got_during_the_move_is_in_the_box_once(moved: Lab) -> None:
    status = json.loads(moved.shell("production", "cat /var/lib/encaja/carry-over/reconcile.json"))
    made = json.loads(moved.shell("cloud", "cat /opt/lab/sales.json"))
    proof = status["result"]
    assert (proof["missing"], proof["doubled"], proof["differences"]) == (0, 0, 0), proof["records"]
    assert made["leads"] > 10
    [leads] = [row for row in proof["entities"] if row["entity"] == "lead"]
    assert leads["new"] + leads["changed"] >= made["leads"]  # the first ones are in the backup
    database = moved.shell("production", "mariadb -N -e 'SHOW DATABASES LIKE \"portal\\_%\"'")
    doubled = 'SELECT COUNT(*) FROM (SELECT ORIGIN_ID FROM b_crm_lead WHERE ORIGINATOR_ID="encaja" GROUP BY ORIGIN_ID'
    count = moved.shell("production", f"mariadb -N {database} -e '{doubled} HAVING COUNT(*) > 1) d'")
    assert int(count) == 0


def test_a_volume_was_bad_and_fetched_again(moved: Lab) -> None:
    status = json.loads(moved.shell("production", "cat /var/lib/encaja/restore/status.json"))
    assert status["error"] is None
    assert status["volumes_rejected"] == 1
    assert status["volumes_good"] == status["volumes"] >= 12
    # Enough of it for progress, rate and forecast to be seen.
    sizes = moved.shell("production", "stat -c %s /srv/portal/backup/*_full_*").split()
    assert len(sizes) == status["volumes"]
    assert sum(map(int, sizes)) >= 60_000_000


def test_the_call_became_a_lead_with_a_recording(moved: Lab) -> None:
    database = moved.shell("production", "mariadb -N -e 'SHOW DATABASES LIKE \"portal\\_%\"'")
    calls = moved.shell(
        "production",
        f'mariadb -N {database} -e "SELECT COUNT(*) FROM b_voximplant_statistic WHERE CALL_RECORD_ID > 0"',
    )
    assert int(calls) >= 1


def test_the_site_changes_nothing_the_second_time_and_says_the_same_without_the_accelerator(moved: Lab) -> None:
    said = []
    for stock in (False, True):
        done = moved.play("site.yml", "--limit", "production:telephony", stock=stock)
        assert done.returncode == 0, done.stdout[-4000:]
        assert set(changed(done.stdout).values()) == {0}, done.stdout[-4000:]
        said.append(results(done.stdout))
    assert said[0] == said[1]
    assert len(said[1]) > 60
    assert len({task for task, *_ in said[1]}) > 30


def test_what_was_damaged_on_a_host_is_mended_although_the_host_remembers_it_whole(moved: Lab) -> None:
    moved.shell("production", "echo '# by hand' >> /etc/nginx/encaja/push.conf; systemctl stop redis-server.service")
    done = moved.play("site.yml", "--limit", "production", "--tags", "web,cache", stock=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert changed(done.stdout)["production.encaja.test"] == 3, done.stdout[-4000:]  # file, nginx, Redis
    assert "by hand" not in moved.shell("production", "cat /etc/nginx/encaja/push.conf")
    assert moved.shell("production", "systemctl is-active redis-server.service") == "active"


def test_check_mode_on_converged_hosts(moved: Lab) -> None:
    done = moved.play("site.yml", "--limit", "production:telephony", "--check", "--diff")
    assert done.returncode == 0, done.stdout[-4000:]
    assert set(changed(done.stdout).values()) == {0}, done.stdout[-4000:]


@pytest.mark.parametrize("host", ["production", "test", "telephony"])
def test_what_starts_with_the_host_runs_without_a_new_start_of_it(moved: Lab, host: str) -> None:
    """Packages are installed without starting anything; nothing may be left for the next start of the machine."""
    listed = moved.shell(
        host, "systemctl list-unit-files --state=enabled --type=service,socket,timer,path --no-legend --plain"
    )
    units = [name for line in listed.splitlines() if "@." not in (name := line.split()[0])]
    assert len(units) > 8
    shown = moved.shell(host, f"systemctl show -p Id,ActiveState,ConditionTimestampMonotonic {' '.join(units)}")
    states = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n")]
    idle = [
        unit["Id"] for unit in states if unit["ActiveState"] != "active" and unit["ConditionTimestampMonotonic"] == "0"
    ]
    assert idle == [], "enabled, and nobody has started it"


def test_a_backup_can_be_made_now_and_restores(moved: Lab) -> None:
    done = moved.play("playbooks/backup.yml", "--limit", "production", "--tags", "all,restore_test")
    assert done.returncode == 0, done.stdout[-4000:]
    status = json.loads(moved.shell("production", "cat /var/lib/encaja/backup/status.json"))
    made, tested = status["last_success"], status["last_restore_test"]
    assert tested["stamp"] == made["stamp"]
    assert tested["tables"] > 100
    assert tested["files"] >= 50
    assert status["last_check"]["part"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["site.yml", "--tags", "portal"],
        ["site.yml", "--tags", "web,install"],
        ["site.yml", "--skip-tags", "base"],
        ["playbooks/portal.yml", "--tags", "backup"],
        ["playbooks/settle.yml", "--tags", "domain"],
        ["playbooks/restore.yml"],
        ["playbooks/release.yml"],
    ],
)
def test_a_host_of_another_environment_is_refused_whatever_tags_are_given(moved: Lab, arguments: list[str]) -> None:
    marker = "/etc/encaja/environment"
    try:
        moved.shell("preproduction", f"echo production > {marker}")
        done = moved.play(*arguments, "--limit", "preproduction")
    finally:
        moved.shell("preproduction", f"echo preproduction > {marker}")
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert re.search(r"belongs to '+production'+, the inventory says '+preproduction'+", said), done.stdout[-3000:]
    assert set(changed(done.stdout).values()) == {0}


class TestCopy:
    """Pre-production after the copy."""

    def test_nothing_goes_out(self, moved: Lab) -> None:
        for target in ("10.89.80.10 25", "10.89.80.11 443", "10.89.80.10 5060"):
            reached = moved.shell(
                "preproduction",
                f"timeout 5 bash -c 'exec 3<>/dev/tcp/{target.replace(' ', '/')}' && echo reached || true",
            )
            assert reached == ""

    def test_it_serves_its_page_with_the_banner(self, moved: Lab) -> None:
        page = moved.shell(
            "cloud",
            "curl -sk --resolve preproduction.encaja.test:443:10.89.80.12 https://preproduction.encaja.test/auth/",
        )
        assert "copy of production" in page

    def test_it_was_proven_and_refuses_search_engines(self, moved: Lab) -> None:
        status = json.loads(moved.shell("preproduction", "cat /var/lib/encaja/clone/status.json"))
        measured = {part["part"]: part for part in status["measured"]}
        assert measured["prove-database"]["tables"] > 100
        assert measured["prove-files"]["alike"] > 100
        assert "proven inert" in moved.shell("preproduction", "cat /etc/encaja/neutralised")
        at = "--resolve preproduction.encaja.test:443:10.89.80.12 https://preproduction.encaja.test/auth/"
        assert "x-robots-tag: noindex" in moved.shell("cloud", f"curl -ski {at}").lower()

    def test_agents_and_mail_are_off(self, moved: Lab) -> None:
        assert moved.shell("preproduction", "systemctl is-enabled encaja-portal-cron.timer || true") == "masked"
        database = moved.shell("preproduction", "mariadb -N -e 'SHOW DATABASES LIKE \"portal\\_%\"'")
        live = moved.shell(
            "preproduction", f"mariadb -N {database} -e \"SELECT COUNT(*) FROM b_agent WHERE ACTIVE <> 'N'\""
        )
        assert live == "0"

    def test_the_site_changes_nothing_on_it(self, moved: Lab) -> None:
        done = moved.play("site.yml", "--limit", "preproduction")
        assert done.returncode == 0, done.stdout[-3000:]
        assert set(changed(done.stdout).values()) == {0}
        assert "outgoing-mail-is-disabled" in moved.shell("preproduction", "cat /etc/msmtprc")

    def test_the_site_refuses_it_while_it_is_dark(self, moved: Lab) -> None:
        try:
            moved.shell("preproduction", "touch /etc/encaja/dark")
            done = moved.play("site.yml", "--limit", "preproduction")
        finally:
            moved.shell("preproduction", "rm -f /etc/encaja/dark")
        assert done.returncode != 0
        assert "this host is an isolated copy" in done.stdout
        assert "encaja clone production preproduction" in done.stdout
        assert set(changed(done.stdout).values()) == {0}

    def test_the_key_of_the_copy_is_gone(self, moved: Lab) -> None:
        assert moved.shell("production", "grep -c clone-source /root/.ssh/authorized_keys || true") == "0"
        assert moved.shell("preproduction", "ls /var/lib/encaja/clone/key 2>/dev/null || true") == ""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["-e", "clone_source=preproduction", "-e", "clone_target=production", "-e", "clone_confirm=production"],
            ["-e", "clone_source=production", "-e", "clone_target=preproduction"],
        ],
    )
    def test_the_wrong_way_is_refused(self, moved: Lab, arguments: list[str]) -> None:
        done = moved.play("playbooks/clone.yml", *arguments)
        assert done.returncode != 0
        assert "production is never a target" in done.stdout or "clone_confirm=preproduction" in done.stdout
        assert moved.shell("production", "test -e /etc/encaja/dark && echo dark || true") == ""


def test_the_copy_was_compared_and_differs_in_nothing_that_should_be_the_same(moved: Lab) -> None:
    """What the run-book's last step handed over: everything was looked at, and every difference has its reason."""
    report = subprocess.run(["encaja", "report", "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    bodies = [item["body"] for item in json.loads(report.stdout)["documents"]["comparison"]]
    assert bodies
    body = bodies[-1]
    assert (body["a"], body["b"], body["neutralised"], body["differences"]) == (
        "production", "preproduction", "preproduction", 0,
    )  # fmt: skip
    assert len(body["sections"]) == 11
    assert all(section["compared"] > 3 for section in body["sections"])
    assert any("neutralisation" in row["why"]["en"] for row in body["expected"])


def test_no_secret_is_written_down(moved: Lab) -> None:
    """Journal, logs and report hold none of the lab's secrets, nor does the journal of any host."""
    secrets = [value for name, value in moved.workspace.secrets().items() if name != "encaja_licence_key"]
    folder = ROOT / ".encaja"
    for path in folder.rglob("*"):
        if path.is_file() and "lab" not in path.relative_to(folder).parts[:1]:
            text = path.read_bytes()
            for secret in secrets:
                assert secret.encode() not in text, f"a secret is in {path.relative_to(ROOT)}"
    for host in ("production", "preproduction", "telephony"):
        journal = moved.shell(host, "journalctl -q --no-pager -o cat")
        for secret in secrets:
            assert secret not in journal, f"a secret is in the journal of {host}"


def test_the_report_opens_without_a_network(moved: Lab) -> None:
    report = (ROOT / ".encaja" / "report.html").read_text()
    assert "<svg" in report or "data:image/" in report
    assert not re.search(r'(?:src|href)="https?://[^"]+\.(?:js|css|png|svg|woff2?)"', report)
