from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.errors import EncajaError
from encaja.portal import (
    checks_case,
    checks_licence,
    checks_server,
    checks_silence,
    checks_web,
    probe_page,
    pull,
    verify,
)
from encaja.portal.copy_state import CopyState
from encaja.portal.verify import Check, found, ok, people

CHECKS = [
    *checks_case.CHECKS,
    *checks_licence.CHECKS,
    *checks_server.CHECKS,
    *checks_silence.CHECKS,
    *checks_web.CHECKS,
]


class Notes:
    """A portal that only remembers."""

    def __init__(self, **notes: Any) -> None:
        self.notes = notes
        self.database = SimpleNamespace(name="portal")

    def state(self) -> dict[str, Any]:
        return dict(self.notes)

    def note(self, **values: Any) -> None:
        self.notes.update(values)


def scene(**notes: Any) -> Any:
    return SimpleNamespace(portal=Notes(**notes), policy=SimpleNamespace(domain="crm.acme.es"))


MODULES = Path(__file__).parents[3] / "plugins/modules"


def check(name: str, probe: Any, severity: Any = "error", part: str = "") -> Check:
    return Check(name, {"en": name, "es": name}, severity, "fix it", probe, part)


def test_every_danger_and_bug_of_the_case_has_a_check() -> None:
    names = [item.id for item in CHECKS]
    assert len(names) == len(set(names))
    assert len([name for name in names if name.startswith("case-")]) == 10
    assert len([name for name in names if name.startswith("bug-")]) == 3
    for item in CHECKS:
        assert item.title["en"]
        assert item.title["es"]
        assert item.cure
        assert not item.part or (MODULES / f"portal_{item.part}.py").is_file(), "settling notes what it cured by module"
    assert set(names) >= checks_web.TOUCHING


def test_only_errors_that_are_found_make_a_difference() -> None:
    checks = [
        check("a-ok", lambda _: ok("fine")),
        check("b-found", lambda _: found("bad")),
        check("c-warned", lambda _: found("slow"), "warning"),
        check("d-people", lambda _: people("buy it")),
    ]
    body = verify.verify(scene(), checks)
    assert body["differences"] == 1
    assert body["counts"] == {"ok": 1, "found": 2, "people": 1}
    assert verify.verify(scene(), checks, ["a", "d"])["differences"] == 0


def test_cured_is_what_was_found_before_and_is_no_more() -> None:
    here = scene(cured={"domain": "2026-01-02"})
    answers = [found("no domain"), ok("a domain")]
    one = check("bug-links", lambda _: answers.pop(0), part="domain")
    other = check("case-other", lambda _: ok("never was"), part="domain")
    assert [item["state"] for item in verify.verify(here, [one, other])["checks"]] == ["found", "ok"]
    second = verify.verify(here, [one, other])["checks"]
    assert [item["state"] for item in second] == ["cured", "ok"]
    assert second[0]["cured"] == "2026-01-02"


def test_a_look_that_leaves_no_trace() -> None:
    here = scene()
    verify.verify(here, [check("a", lambda _: found("bad"))], remember=False)
    assert here.portal.notes == {}


@pytest.mark.parametrize(("severity", "state"), [("error", "found"), ("warning", "unknown")])
def test_a_probe_that_fails_is_a_finding_and_not_a_crash(severity: str, state: str) -> None:
    def probe(_: Any) -> Any:
        raise EncajaError("no answer", "pool")

    result = verify.run_check(check("a", probe, severity), scene())
    assert result["state"] == state
    assert "no answer" in result["evidence"]


@pytest.mark.parametrize(
    ("text", "value"), [("1024M", 2**30), ("4096k", 2**22), ("-1", 2**62), ("10000", 10000), ("1G", 2**30), ("x", 0)]
)
def test_sizes_of_php_ini(text: str, value: int) -> None:
    assert checks_server.size(text) == value


GOOD_INI = {
    "max_input_vars": "10000", "max_file_uploads": "100", "post_max_size": "1024M", "upload_max_filesize": "1024M",
    "memory_limit": "512M", "default_socket_timeout": "60", "pcre.backtrack_limit": "1000000",
    "realpath_cache_size": "4096k", "short_open_tag": "1", "file_uploads": "1", "allow_url_fopen": "1",
    "display_errors": "", "enable_dl": "", "expose_php": "", "mail.add_x_header": "0", "default_charset": "UTF-8",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "group"),
    [
        ("max_input_vars", "4000", "limits"),
        ("memory_limit", "128M", "limits"),
        ("short_open_tag", "", "switches"),
        ("display_errors", "1", "switches"),
        ("default_charset", "windows-1251", "charset"),
        ("mbstring.func_overload", "2", "charset"),
    ],
)
def test_php_settings_that_the_vendor_refuses(name: str, value: str, group: str) -> None:
    good = SimpleNamespace(fpm={"ini": GOOD_INI}, cli={"ini": GOOD_INI})
    assert checks_server.ini_probe(group)(good).state == "ok"
    bad = SimpleNamespace(fpm={"ini": {**GOOD_INI, name: value}}, cli={"ini": GOOD_INI})
    finding = checks_server.ini_probe(group)(bad)
    assert finding.state == "found"
    assert f"pages: {name} is {value or 'empty'}" in finding.evidence


def test_database_variables_that_the_checker_refuses() -> None:
    good = {
        "sql_mode": "", "innodb_strict_mode": "OFF", "innodb_default_row_format": "dynamic", "version": "11.8",
        "default_storage_engine": "InnoDB", "character_set_server": "utf8mb4", "max_allowed_packet": "67108864",
    }  # fmt: skip
    assert checks_server.database_settings(SimpleNamespace(variables=good)).state == "ok"  # type: ignore[arg-type]
    bad = SimpleNamespace(variables={**good, "sql_mode": "STRICT_TRANS_TABLES"})
    assert "sql_mode is STRICT_TRANS_TABLES" in checks_server.database_settings(bad).evidence  # type: ignore[arg-type]


def test_installers_left_behind(tmp_path: Path) -> None:
    here: Any = SimpleNamespace(portal=SimpleNamespace(root=tmp_path))
    assert checks_server.install_scripts(here).state == "ok"
    (tmp_path / "bitrix").mkdir()
    (tmp_path / "bitrix" / "restore.php").write_text("<?php")
    assert checks_server.install_scripts(here).evidence == "left behind: bitrix/restore.php"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("<?php\ndefine('A', 1);\n", ""),
        ("<?php define('A', 1); ?>\n", ""),
        ("\ufeff<?php define('A', 1);", "starts with text"),
        ("<?php define('A', 1); ?>\n\n", "prints something"),
        ("<?php define('A', 1); ?> x", "prints something"),
    ],
)
def test_files_that_must_print_nothing(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "dbconn.php"
    path.write_text(text)
    portal = SimpleNamespace(
        root=tmp_path, dbconn_path=path, text=lambda asked: asked.read_text() if asked.exists() else ""
    )
    here: Any = SimpleNamespace(portal=portal)
    finding = checks_server.no_output(here)
    assert (finding.state == "found") == bool(wrong)
    assert wrong in finding.evidence


class Site:
    """A web server with PHP behind it, as good or as bad as a test wants it."""

    def __init__(self, root: Path, **answers: Any) -> None:
        self.portal = SimpleNamespace(root=root)
        self.policy = SimpleNamespace(domain="crm.acme.es", scheme="https", port=0)
        self.fpm = {"ini": {"session.save_handler": "files", "session.save_path": "/var/lib/php/portal"}}
        self.answers = answers

    def page(self) -> probe_page.ProbePage:
        return probe_page.ProbePage(self.portal, self.send)  # type: ignore[arg-type]

    def send(self, _method: str, path: str, headers: Any, body: bytes) -> verify.Answer:
        page, _, what = path.partition("?ask=")
        assert headers["X-Encaja"] in (self.portal.root / page[1:]).read_text()
        said = self.answers[what]
        said = said(headers, body) if callable(said) else said
        fields = {"set-cookie": "PHPSESSID=abc; path=/; secure; HttpOnly"} if what == "session" else {}
        return verify.Answer(200, fields, json.dumps(said).encode(), 0.1)


def test_a_page_of_our_own_is_gone_after_the_look(tmp_path: Path) -> None:
    left = tmp_path / "encaja-look-0000.php"
    left.write_text("of a look that was killed")
    good = {"seconds": 0.02, "memory": 128 << 20, "time": True, "pattern": 1, "exec": True}
    here: Any = Site(tmp_path, work=good)
    assert checks_web.heavy_page(here).state == "ok"
    assert checks_web.php_speed(here).evidence == "50 million operations per second"
    assert list(tmp_path.iterdir()) == []
    here = Site(tmp_path, work={**good, "memory": 0, "pattern": False})
    assert checks_web.heavy_page(here).evidence.startswith("a page cannot use 128 MiB; a deep pattern fails")


def test_what_pages_are_told(tmp_path: Path) -> None:
    good = {"SERVER_NAME": "crm.acme.es", "SERVER_PORT": "443", "HTTPS": "on", "DOCUMENT_ROOT": str(tmp_path),
            "PHP_AUTH_USER": "encaja", "HTTP_HOST": "crm.acme.es", "HTTP_X_REAL_IP": ""}  # fmt: skip
    fine: Any = Site(tmp_path, server=good)
    assert checks_web.server_variables(fine).state == "ok"
    bad: Any = Site(tmp_path, server={**good, "SERVER_NAME": "_", "HTTPS": "", "PHP_AUTH_USER": ""})
    evidence = checks_web.server_variables(bad).evidence
    assert "SERVER_NAME is _" in evidence
    assert "HTTPS is empty" in evidence
    assert "WebDAV" in evidence


def test_pages_that_believe_what_a_client_says_of_itself(tmp_path: Path) -> None:
    def server(headers: Any, _: bytes) -> Any:
        return {"SERVER_NAME": "crm.acme.es", "SERVER_PORT": "443", "HTTPS": "on", "DOCUMENT_ROOT": str(tmp_path),
                "PHP_AUTH_USER": "encaja", "HTTP_HOST": "crm.acme.es:443",
                "HTTP_X_REAL_IP": headers["X-Real-IP"]}  # fmt: skip

    evidence = checks_web.server_variables(Site(tmp_path, server=server)).evidence  # type: ignore[arg-type]
    assert evidence == "HTTP_X_REAL_IP is believed of anyone; HTTP_HOST is crm.acme.es:443"


@pytest.mark.parametrize(("status", "state"), [(403, "ok"), (404, "ok"), (200, "found"), (502, "found")])
@pytest.mark.parametrize("trick", checks_web.PUSH_TRICKS)
def test_ways_to_the_push_server_that_are_open(trick: str, status: int, state: str) -> None:
    def send(method: str, path: str, _headers: Any, body: bytes) -> Any:
        assert (method, body) == ("POST", b"{}")
        return SimpleNamespace(status=status if path.startswith(f"{trick}?CHANNEL_ID=") else 403)

    finding = checks_web.publishing(SimpleNamespace(send=send))  # type: ignore[arg-type]
    assert finding.state == state
    assert (f"{trick} answers {status}" in finding.evidence) is (state == "found")


@pytest.mark.parametrize(("sent", "state"), [("max-age=31536000", "ok"), ("max-age=0", "found"), ("", "found")])
def test_transport_security_that_is_switched_off_is_none(sent: str, state: str) -> None:
    fields = {"strict-transport-security": sent} if sent else {}
    here: Any = SimpleNamespace(
        get=lambda *_: verify.Answer(200, fields, b"", 0.1), policy=SimpleNamespace(scheme="https")
    )
    assert checks_web.headers(here).state == state


def test_sessions_that_are_lost(tmp_path: Path) -> None:
    kept: Any = Site(tmp_path, session=lambda headers, _: {"kept": "kept" if "Cookie" in headers else ""})
    assert checks_web.sessions(kept).state == "ok"
    lost: Any = Site(tmp_path, session={"kept": ""})
    lost.fpm["ini"]["session.save_path"] = ""
    evidence = checks_web.sessions(lost).evidence
    assert "lost at the next page of a client without User-Agent" in evidence
    assert "/tmp" in evidence


def test_uploads_that_do_not_arrive(tmp_path: Path) -> None:
    def md5(data: bytes) -> str:
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    def upload(headers: Any, body: bytes) -> Any:
        border = headers["Content-Type"].partition("boundary=")[2].encode()
        parts = body.split(b"--" + border)
        file = parts[1].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        return {"error": 0, "md5": md5(file), "image": [1, 1], "fields": len(parts) - 4}

    good: Any = Site(tmp_path, upload=upload, raw=lambda _, body: {"md5": md5(body)})
    assert checks_web.uploads(good).state == "ok"
    bad: Any = Site(tmp_path, upload={"error": 1, "md5": "", "image": [], "fields": 1000}, raw={"md5": ""})
    evidence = checks_web.uploads(bad).evidence
    for words in ("5 MiB does not arrive (error 1)", "GIF", "1000 of 9999", "not a form"):
        assert words in evidence


@pytest.mark.parametrize(
    ("key", "cured", "applications", "state", "cure"),
    [
        ("", {}, [], "found", "set encaja_licence_key and run playbook settle"),
        ("LK-1", {}, [], "found", "playbook settle replaces it with encaja_licence_key"),
        ("LK-1", {"cloud": 1}, [{"name": "Calc", "fate": "buy"}], "people", "ask for their price in the box"),
    ],
)
def test_licence_that_is_set_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    key: str,
    cured: dict[str, Any],
    applications: list[dict[str, str]],
    state: str,
    cure: str,
) -> None:
    monkeypatch.setattr(checks_case.rest_interfaces, "inventory", lambda _: applications)
    notes = Notes(cured=cured)
    portal = SimpleNamespace(
        root=tmp_path, text=lambda _: f"<?php $LICENSE_KEY = '{key}';", state=notes.state, modules={"bitrix24"}
    )
    (case,) = (item for item in checks_case.CHECKS if item.id == "case-02-licences")
    row = verify.run_check(case, SimpleNamespace(portal=portal, copy=CopyState(False, "", "")))  # type: ignore[arg-type]
    assert row["state"] == state
    assert row["cure"].startswith(cure)


LISTENER = {"push": "Y", "path_to_mobile_listener_secure": "https://#DOMAIN#:8894/bitrix/sub/"}


@pytest.mark.parametrize(
    ("push", "silenced", "stale"),
    [("N", False, ["push", "websocket"]), ("N", True, ["websocket"]), ("Y", False, ["websocket"])],
)
def test_what_keeps_telephones_silent_until_the_release_is_no_row_of_the_cloud(
    push: str, silenced: bool, stale: list[str]
) -> None:
    options = {("pull", "push"): push, ("pull", "websocket"): "Y", ("pull", "other"): "1", ("im", "push"): "N"}
    portal: Any = SimpleNamespace(options=options, has=lambda *_: silenced)
    assert pull.stale_rows(portal) == stale


def devices(status: int = 400, rows: dict[str, str] | None = None, **facts: Any) -> Any:
    asked: list[Any] = []

    def get(path: str, *, port: int, secure: bool) -> Any:
        asked.append((path, port, secure))
        if status == 0:
            raise ConnectionRefusedError("refused")
        return SimpleNamespace(status=status)

    silenced = facts.pop("silenced", False)
    portal = SimpleNamespace(
        section=lambda _: LISTENER, options={("pull", name): value for name, value in (rows or {}).items()},
        has=lambda *_: silenced,
    )  # fmt: skip
    policy = SimpleNamespace(domain="crm.acme.es", scheme="https")
    return SimpleNamespace(
        portal=portal,
        policy=policy,
        get=get,
        asked=asked,
        copy=CopyState(False, "", ""),
        **{"is_private": False, "unreached": {}, **facts},
    )


def test_mobile_application_on_an_open_portal() -> None:
    here = devices()
    assert checks_case.mobile(here).state == "ok"
    assert here.asked == [("/bitrix/sub/", 8894, True)]


@pytest.mark.parametrize(
    ("here", "state", "words"),
    [
        (devices(502), "found", "no listener behind https://crm.acme.es:8894/bitrix/sub/ (status 502)"),
        (devices(0), "found", "no listener on port 8894: refused"),
        (devices(rows={"path_to_mobile_listener_secure": "https://acme.bitrix24.es/bitrix/sub/"}), "found", "acme."),
        (devices(rows={"push": "N"}), "found", "push to devices is off"),
        (devices(rows={"push": "N"}, silenced=True), "people", "push to devices is off until the release"),
        (devices(is_private=True), "people", "private network"),
        (devices(unreached={"push to devices": "cloud-messaging.bitrix24.tech:443"}), "people", "get no push"),
    ],
)
def test_mobile_application_on_a_closed_or_broken_portal(here: Any, state: str, words: str) -> None:
    finding = checks_case.mobile(here)
    assert finding.state == state
    assert words in finding.evidence


def test_log_outs_behind_a_proxy_that_nginx_does_not_believe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_case.background_work, "strict_groups", lambda *_: [])
    portal = SimpleNamespace(option=lambda *_: "N")
    here: Any = SimpleNamespace(
        portal=portal, session_minutes=1440, trusted_proxies=("10.0.0.5", "10.0.0.6"),
        nginx="    set_real_ip_from 10.0.0.5;\n", fpm={"ini": {"session.gc_maxlifetime": "604800"}},
        policy=SimpleNamespace(scheme="https"),
    )  # fmt: skip
    finding = checks_case.logouts(here)
    assert finding.evidence == "nginx does not trust the proxy 10.0.0.6: all requests seem to come from its address"
    here.nginx += "set_real_ip_from 10.0.0.6;"
    assert checks_case.logouts(here).state == "ok"


@pytest.mark.parametrize(
    ("absent", "released", "state", "words"),
    [
        (0, False, "ok", "all 8 messages of the dump, 8 compared"),
        (0, True, "ok", "all 8 messages of the dump, 8 compared"),
        (2, False, "found", "2 are not here"),
        (2, True, "ok", "2 are not here"),  # people delete
    ],
)
def test_comments_against_the_dump_before_and_after_the_release(
    monkeypatch: pytest.MonkeyPatch, absent: int, released: bool, state: str, words: str
) -> None:
    counts = {"lost_topics": 0, "missing": 0, "low_counts": 0, "forum": "", "comments": 8, "tasks": 3}
    dump = {"rows": 8, "absent": absent, "samples": 8, "samples_absent": 0, "samples_different": 0}
    monkeypatch.setattr(checks_case.background_work, "comment_counts", lambda _: counts)
    monkeypatch.setattr(checks_case.background_work, "compare_with_dump", lambda _: dump)
    here: Any = SimpleNamespace(portal=SimpleNamespace(option=lambda *_: "", state=lambda: {"released": released}))
    finding = checks_case.comments(here)
    assert finding.state == state
    assert words in finding.evidence
