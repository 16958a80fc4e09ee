"""Check nginx's answers on this host; prints the wrong ones to standard error. Arguments: name, then "tls" or "plain"."""

import http.client
import socket
import ssl
import sys
import time

NAME, KIND = sys.argv[1:3]
PATIENCE = 15.0


class Local(http.client.HTTPSConnection):
    """TLS to this host under the portal's name; the certificate is validated by role tls."""

    def connect(self) -> None:
        """Connect to the loopback address, whatever the name resolves to."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 10), server_hostname=NAME)


def status(path: str, tls: bool, name: str = NAME) -> int:
    """HTTP status of a path; 0 if the connection is closed without an answer."""
    connection = Local(NAME) if tls else http.client.HTTPConnection("127.0.0.1", 80, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": name, "User-Agent": "encaja"})
        return connection.getresponse().status
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return 0
    finally:
        connection.close()


def wrong_answers(tls: bool) -> list[str]:
    """The wrong answers, one line each."""
    faults = []
    for path in (
        "/bitrix/.settings.php",
        "/bitrix/modules/main/include.php",
        "/bitrix/backup/x.tar.gz",
        "/bitrix/cache/x.php",
        "/bitrix/rest/..\\pub/",
        "/bitrix/sub/..\\..\\server-stat/",
        "/upload/x.php",
        "/x.sql",
    ):
        if (got := status(path, tls)) != 403:
            faults.append(f"{path} must be refused (403), nginx answers {got}")
    for path in ("/bx_tmp_download/x", "/upload/x.jpg"):
        if (got := status(path, tls)) != 404:
            faults.append(f"{path} must not be found from outside (404), nginx answers {got}")
    if tls and (got := status("/", tls=False)) != 301:
        faults.append(f"http://{NAME}/ must redirect to https (301), nginx answers {got}")
    for secure in {False, tls}:
        # 421 is nginx's own answer to another name in a connection that was made for this one.
        if (got := status("/", secure, name="unknown.invalid")) not in {0, 421}:
            faults.append(f"a request for another name must be dropped, nginx answers {got}")
    return faults


# A reload returns before the new workers serve, so wrong answers count only if they persist.
until = time.monotonic() + PATIENCE
while (faults := wrong_answers(KIND == "tls")) and time.monotonic() < until:
    time.sleep(0.2)
print("\n".join(faults), file=sys.stderr)
sys.exit(bool(faults))
