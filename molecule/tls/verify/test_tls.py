"""What a client sees of the installed certificates, and who can read the keys."""

import re
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from lab.copying import play

FOLDER = "/etc/encaja/tls"


@pytest.fixture
def name(host: Host) -> str:
    return host.backend.get_hostname()


def test_signed_certificate_is_trusted_on_the_host_and_covers_its_name(host: Host, name: str) -> None:
    path = f"{FOLDER}/{name}.crt"
    checked = host.check_output(f"openssl verify -purpose sslserver -verify_hostname {name} {path}")
    assert checked == f"{path}: OK"


def test_provided_certificate_has_its_full_chain_without_the_root(host: Host) -> None:
    subjects = host.check_output(
        f"openssl crl2pkcs7 -nocrl -certfile {FOLDER}/portal.example.org.crt | openssl pkcs7 -print_certs -noout"
    )
    order = [line.split("CN")[1].strip(" =") for line in subjects.splitlines() if line.startswith("subject")]
    assert order == ["portal.example.org", "Example Intermediate"]


def test_every_key_matches_its_certificate_and_is_private(host: Host, name: str) -> None:
    for one in (name, "portal.example.org"):
        public = host.check_output(f"openssl x509 -in {FOLDER}/{one}.crt -noout -pubkey")
        assert host.check_output(f"openssl pkey -in {FOLDER}/{one}.key -pubout") == public
        key = host.file(f"{FOLDER}/{one}.key")
        assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)
        assert host.run(f"su -s /bin/sh nobody -c 'cat {FOLDER}/{one}.key'").rc != 0


NAME = "portal.example.org"
STORE = "/etc/ssl/certs/ca-certificates.crt"
SERVE = "openssl s_server -accept 8443 -www -cert {0}.crt -cert_chain {0}.crt -key {0}.key".format(f"{FOLDER}/{NAME}")
PYTHON = (
    "import socket, ssl; to = socket.create_connection(('127.0.0.1', 8443));"
    f" ssl.create_default_context().wrap_socket(to, server_hostname='{NAME}')"
)
NODE = (
    f"require('tls').connect({{host: '127.0.0.1', port: 8443, servername: '{NAME}'}}, () => process.exit(0))"
    ".on('error', fault => { console.error(fault.code); process.exit(1) })"
)
CLIENTS = {
    "curl": f"curl -sS -o /dev/null --resolve {NAME}:8443:127.0.0.1 https://{NAME}:8443/",
    "python": f'python3 -c "{PYTHON}"',
    "openssl": f"openssl s_client -connect 127.0.0.1:8443 -verify_hostname {NAME} -verify_return_error < /dev/null",
    "node": f'node -e "{NODE}"',
    # Without a password the certificate is all that the client can know the server by.
    "mariadb": f"mariadb -h {NAME} -u encrypted --ssl-ca={STORE} --ssl-verify-server-cert -e 'SELECT 1'",
}
SHOWN_BY_DATABASE = f"[mariadbd]\nssl_cert={FOLDER}/{NAME}.crt\nssl_key={FOLDER}/{NAME}.key\n"


@pytest.fixture(scope="module")
def served(host: Host) -> Iterator[None]:
    host.check_output(f"systemd-run --collect --unit=served {SERVE}")
    host.check_output("timeout 20 sh -c 'until ss -ltn | grep -q :8443; do sleep 0.1; done'")
    host.check_output(f"grep -q {NAME} /etc/hosts || echo 127.0.0.1 {NAME} >> /etc/hosts")
    host.check_output("printf %s > /etc/mysql/mariadb.conf.d/90-tls.cnf", SHOWN_BY_DATABASE)
    host.check_output("usermod -a -G ssl-cert mysql && systemctl restart mariadb")
    host.check_output("mariadb -e 'CREATE OR REPLACE USER encrypted REQUIRE SSL'")
    yield
    host.run("systemctl stop served.service")


@pytest.mark.usefixtures("served")
class TestTrust:
    @pytest.mark.parametrize("client", CLIENTS)
    def test_a_company_s_own_authority_is_trusted(self, host: Host, client: str) -> None:
        done = host.run(CLIENTS[client])
        assert done.rc == 0, done.stderr

    def test_a_removed_authority_is_no_longer_trusted(self, host: Host) -> None:
        done = play("molecule/tls/trust.yml")
        assert done.returncode == 0, done.stdout[-2000:]
        assert [host.run(command).rc == 0 for command in CLIENTS.values()] == [False] * len(CLIENTS)
        assert not host.file("/usr/local/share/ca-certificates/encaja").listdir()
        again = play("molecule/tls/trust.yml")
        assert re.search(r"changed=0 ", again.stdout)
        back = play("molecule/tls/converge.yml")
        assert back.returncode == 0, back.stdout[-2000:]
        assert host.run(CLIENTS["curl"]).rc == 0


def test_no_faulty_certificate_was_installed(host: Host) -> None:
    names = host.file(FOLDER).listdir()
    assert not {entry for entry in names if entry.startswith(("wrong-key", "no-chain", "expired", "."))}


def test_authoritys_key_is_not_on_the_host(host: Host) -> None:
    assert host.check_output("find / -xdev -name 'ca.key' -not -path '/proc/*' | wc -l") == "0"
