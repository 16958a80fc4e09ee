"""The vendor's two server tests that need a page: the web server, and PHP behind it.

Thresholds are those of ``bitrix_server_test.php`` and of the site checker (``/bitrix/admin/site_checker.php``).
Source: portal.md chapter 4.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import socket
import ssl
import statistics
import time
from collections.abc import Sequence
from typing import Final

from . import licence
from .tls_faults import connection_fault
from .verify import Check, Finding, Scene, check, found, found_fault, judged, ok, people

PROTECTED: Final = (
    "/bitrix/.settings.php", "/bitrix/php_interface/dbconn.php", "/bitrix/managed_cache/", "/.access.php",
    "/bitrix/modules/main/include.php",
)  # fmt: skip
PUSH_TRICKS: Final = ("/bitrix/rest/..\\pub/", "/bitrix/rest/..\\..\\server-stat/", "/bitrix/pub/../rest/")
"""Paths that nginx reads as one location and the push server as another, if they are passed on as they came."""
STRANGER: Final = "stranger.invalid"
MINIMUM_PAGES: Final = 10.0
UPLOAD_BYTES: Final = 5 << 20
FIELDS: Final = 10_000
"""``max_input_vars`` that the vendor's test requires."""
TOUCHING: Final = frozenset(
    {
        "web-server-variables",
        "web-sessions",
        "web-uploads",
        "php-heavy-page",
        "speed-php",
        "speed-inserts",
        "speed-files",
    }
)
"""Checks that create a page, a table or files; left out in check mode."""
GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


def certificate(scene: Scene) -> Finding:
    """The certificate as a browser sees it: chain, name, days left."""
    if scene.policy.scheme != "https":
        return found("the portal has no HTTPS")
    with socket.create_connection((scene.connect_to or scene.policy.domain, scene.port), 10) as raw:
        try:
            with ssl.create_default_context().wrap_socket(raw, server_hostname=scene.policy.domain) as secure:
                shown = secure.getpeercert() or {}
        except ssl.SSLError as fault:
            return found_fault(connection_fault(fault, scene.policy.domain, "see nginx"))
    days = int((ssl.cert_time_to_seconds(str(shown["notAfter"])) - time.time()) // 86400)
    return judged([f"it ends in {days} days"] if days < 14 else [], f"{scene.policy.domain}, {days} days left")


def protected_paths(scene: Scene) -> Finding:
    """Files that must not be served."""
    wrong = [path for path in PROTECTED if scene.get(path).status not in {401, 403, 404}]
    return judged([f"served: {', '.join(wrong)}"] if wrong else [], f"{len(PROTECTED)} paths refused")


def publishing(scene: Scene) -> Finding:
    """Messages to the portal's users come from the portal alone: the push server's inner paths are closed outside."""
    channel = f"?CHANNEL_ID={secrets.token_hex(16)}"
    asked = {path: scene.send("POST", path + channel, {}, b"{}").status for path in (*PUSH_TRICKS, "/bitrix/pub/")}
    wrong = [f"{path} answers {status}" for path, status in asked.items() if not 400 <= status < 500]
    return judged(wrong, f"{len(asked)} ways to the push server's inner paths are refused")


def headers(scene: Scene) -> Finding:
    """What the web server reveals about itself, and whether it compresses."""
    answer = scene.get("/", {"Accept-Encoding": "gzip"})
    wrong = []
    if re.search(r"/\d", answer.headers.get("server", "")):
        wrong.append(f"Server: {answer.headers['server']} shows the version")
    if "x-powered-by" in answer.headers:
        wrong.append("X-Powered-By is sent")
    if scene.policy.scheme == "https" and not re.search(
        r"max-age=[1-9]", answer.headers.get("strict-transport-security", "")
    ):
        wrong.append("no Strict-Transport-Security")
    if len(answer.body) > 1500 and answer.headers.get("content-encoding") != "gzip":
        wrong.append("pages are not compressed")
    return judged(wrong, f"status {answer.status}, {len(answer.body)} bytes")


def loop_back(scene: Scene) -> Finding:
    """The portal reaches itself by its own name, as its self-tests and agents do."""
    try:
        addresses = {
            item[4][0] for item in socket.getaddrinfo(scene.policy.domain, scene.port, type=socket.SOCK_STREAM)
        }
    except OSError as fault:
        return found(f"{scene.policy.domain} does not resolve on this host: {fault}")
    answer = scene.get("/")
    if answer.status >= 500:
        return found(f"status {answer.status}")
    return ok(f"{scene.policy.domain} is {', '.join(sorted(map(str, addresses)))}, status {answer.status}")


def fast_download(scene: Scene) -> Finding:
    """Files served by the web server instead of PHP."""
    on = scene.portal.option("main", "bx_fast_download", "N") == "Y"
    return ok("on") if on else found("off, although nginx is prepared for it")


def pages(scene: Scene) -> Finding:
    """Pages per second on one connection."""
    connection = scene.connection()
    seconds = []
    try:
        for _ in range(12):
            begun = time.perf_counter()
            connection.request("GET", "/", headers={"Connection": "keep-alive"})
            answer = connection.getresponse()
            answer.read()
            licence.refuse_activation("/", answer.status, {"location": answer.getheader("Location", "")})
            seconds.append(time.perf_counter() - begun)
            if answer.getheader("Connection", "").lower() == "close":
                connection.close()
                connection = scene.connection()
    finally:
        connection.close()
    if answer.status >= 400:
        return found(f"the first page has status {answer.status}")
    rate = 1 / max(statistics.median(seconds[2:]), 1e-6)
    return judged([f"{rate:.0f} pages per second, wanted {MINIMUM_PAGES:.0f}"] if rate < MINIMUM_PAGES else [],
                  f"{rate:.0f} pages per second")  # fmt: skip


def push_processes(scene: Scene) -> Finding:
    """The push server's ports on this host."""
    settings = scene.portal.section("pull")
    publish = str(settings.get("path_to_publish", ""))
    match = re.match(r"https?://([^/:]+)(?::(\d+))?/", publish)
    if not match:
        return found(f"pull.path_to_publish is {publish!r}")
    host, port = match.group(1), int(match.group(2) or 80)
    try:
        socket.create_connection((host, port), 5).close()
    except OSError as fault:
        return found(f"nothing listens on {host}:{port}: {fault}")
    return ok(f"{host}:{port} takes messages")


def server_variables(scene: Scene) -> Finding:
    """What a page learns of the request: name, scheme, port, document root, and the user of an HTTP log-in."""
    word = base64.b64encode(b"encaja:look").decode()
    forged = dict.fromkeys(("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"), STRANGER)
    with scene.page() as page:
        said, _ = page.ask("server", {"Authorization": f"Basic {word}", **forged})
    wrong = [f"{name} is believed of anyone" for name, value in said.items() if STRANGER in value]
    if said["SERVER_NAME"] != scene.policy.domain:
        wrong.append(f"SERVER_NAME is {said['SERVER_NAME'] or 'empty'}")
    port = "" if scene.policy.port in {0, 80, 443} else f":{scene.policy.port}"
    if said["HTTP_HOST"] != scene.policy.domain + port:
        wrong.append(f"HTTP_HOST is {said['HTTP_HOST'] or 'empty'}")
    if (said["HTTPS"].lower() in {"on", "yes", "1"}) != (scene.policy.scheme == "https"):
        wrong.append(f"HTTPS is {said['HTTPS'] or 'empty'}")
    if said["DOCUMENT_ROOT"] != str(scene.portal.root.resolve()):
        wrong.append(f"DOCUMENT_ROOT is {said['DOCUMENT_ROOT'] or 'empty'}")
    if said["PHP_AUTH_USER"] != "encaja":
        wrong.append("log-in by HTTP (calendars, WebDAV) does not reach PHP")
    return judged(wrong, f"{said['SERVER_NAME']}:{said['SERVER_PORT']}, log-in by HTTP passes")


def sessions(scene: Scene) -> Finding:
    """A session that is kept from one page to the next, also for a client without User-Agent."""
    wrong = []
    with scene.page() as page:
        for agent in ("Mozilla/5.0", ""):
            headers = {"User-Agent": agent} if agent else {}
            said, fields = page.ask("session", headers)
            cookie = fields.get("set-cookie", "")
            if not cookie:
                return found("a page that starts a session sets no cookie")
            again, _ = page.ask("session", {**headers, "Cookie": cookie.partition(";")[0]})
            if said["kept"] or again["kept"] != "kept":
                wrong.append(f"a session is lost at the next page{'' if agent else ' of a client without User-Agent'}")
    if scene.policy.scheme == "https" and "secure" not in cookie.lower():
        wrong.append("its cookie is not for HTTPS alone")
    if "httponly" not in cookie.lower():
        wrong.append("its cookie can be read by scripts")
    ini = scene.fpm["ini"]
    if ini.get("session.save_handler") == "files" and str(ini.get("session.save_path") or "/tmp") == "/tmp":  # noqa: S108
        wrong.append("sessions are in /tmp, which the system cleans")
    return judged(wrong, f"kept in {ini.get('session.save_handler')} {ini.get('session.save_path')}")


def uploads(scene: Scene) -> Finding:
    """A large file, a picture and very many fields in one form, and a body that is not a form."""
    data = secrets.token_bytes(UPLOAD_BYTES)
    border = secrets.token_hex(16)
    parts = [
        b'Content-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n' + data,
        b'Content-Disposition: form-data; name="image"; filename="a.gif"\r\nContent-Type: image/gif\r\n\r\n' + GIF,
    ]
    parts += [
        f'Content-Disposition: form-data; name="many[{number}]"\r\n\r\n1'.encode() for number in range(FIELDS - 1)
    ]
    body = b"".join(f"--{border}\r\n".encode() + part + b"\r\n" for part in parts) + f"--{border}--\r\n".encode()
    with scene.page() as page:
        said, _ = page.ask("upload", {"Content-Type": f"multipart/form-data; boundary={border}"}, body)
        raw, _ = page.ask("raw", {"Content-Type": "application/octet-stream"}, data)
    wrong = []
    sent = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if said["error"] or said["md5"] != sent:
        wrong.append(f"a file of {UPLOAD_BYTES >> 20} MiB does not arrive (error {said['error']})")
    if not said["image"]:
        wrong.append("a GIF is not recognised as a picture")
    if said["fields"] != FIELDS - 1:
        wrong.append(f"{said['fields']} of {FIELDS - 1} fields arrive")
    if raw["md5"] != sent:
        wrong.append("a body that is not a form does not arrive complete")
    return judged(wrong, f"{UPLOAD_BYTES >> 20} MiB, a picture and {FIELDS - 1} fields arrive")


def heavy_page(scene: Scene) -> Finding:
    """A page that needs memory and a deep pattern, and may ask for more time."""
    with scene.page() as page:
        said, _ = page.ask("work")
    wrong = []
    if said["memory"] != 128 << 20:
        wrong.append("a page cannot use 128 MiB")
    if said["pattern"] != 1:
        wrong.append("a deep pattern fails (pcre.recursion_limit, pcre.jit)")
    if not said["time"]:
        wrong.append("set_time_limit() is forbidden")
    if not said["exec"]:
        wrong.append("exec() is switched off")
    return judged(wrong, "128 MiB, deep patterns, set_time_limit() and exec()")


def php_speed(scene: Scene) -> Finding:
    """Simple operations per second in a page; the vendor sets no limit; it serves to compare hosts."""
    with scene.page() as page:
        said, _ = page.ask("work")
    return ok(f"{1 / max(float(said['seconds']), 1e-6):.0f} million operations per second")


def outside_services(scene: Scene) -> Finding:
    """The vendor's services that a box uses: push to devices, calls, updates."""
    if scene.copy.is_copy and scene.unreached:
        return ok(f"a neutralised copy: {', '.join(scene.unreached)} are not reachable, as intended")
    if scene.unreached:
        listed = ", ".join(f"{name} ({address})" for name, address in scene.unreached.items())
        return people(f"not reachable from this host: {listed}")
    return ok("push to devices, calls and updates are reachable")


CHECKS: Final[Sequence[Check]] = (
    check("web-certificate", ("Certificate", "Certificado"), certificate, "playbook certificates"),
    check("web-protected", ("Protected paths", "Rutas protegidas"), protected_paths, "role web"),
    check("web-publishing", ("Publishing from outside", "Publicar desde fuera"), publishing, "role web"),
    check("web-headers", ("Web server's headers", "Cabeceras del servidor web"), headers, "role web", "warning"),
    check("web-loop-back", ("The portal reaches itself", "El portal se alcanza a sí mismo"), loop_back,
          "name resolution on the portal's host"),
    check("web-push", ("Push server's port", "Puerto del servidor push"), push_processes, "playbook push_pull",
          part="pull"),
    check("web-fast-download", ("Files by the web server", "Ficheros servidos por el servidor web"), fast_download,
          "playbook settle (settle_fast_download)", "warning"),
    check("speed-pages", ("Pages per second", "Páginas por segundo"), pages, "more workers, memory, cores", "warning"),
    check("web-server-variables", ("Server variables of pages", "Variables de servidor de las páginas"),
          server_variables, "role web"),
    check("web-sessions", ("Sessions are kept", "Las sesiones se conservan"), sessions, "roles php and web"),
    check("web-uploads", ("Uploads and large forms", "Subidas y formularios grandes"), uploads,
          "php_ini_extra (role php), web_upload_max_mb (role web)"),
    check("php-heavy-page", ("PHP: a heavy page", "PHP: una página pesada"), heavy_page, "role php"),
    check("host-outside", ("The vendor's services", "Servicios del proveedor"), outside_services,
          "open these addresses for the host, or accept that they do not work", "note"),
    check("speed-php", ("PHP operations per second", "Operaciones de PHP por segundo"), php_speed, "faster cores",
          "note"),
)  # fmt: skip
