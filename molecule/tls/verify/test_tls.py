"""What a client sees of the installed certificates, and who can read the keys."""

import re
import subprocess
from collections.abc import Iterator

import pytest
from cryptography import x509
from testinfra.host import Host

from lab.copying import ROOT, play

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
        key = host.file(host.check_output(f"readlink -f {FOLDER}/{one}.key"))
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


SHOP = "shop.example.org"
SHOWN = "openssl s_client -connect 127.0.0.1:443 -servername {} </dev/null 2>/dev/null | openssl x509 -noout -serial"


def installed(*more: str) -> subprocess.CompletedProcess[str]:
    return play("molecule/tls/install.yml", *more)


def sold(name: str) -> x509.Certificate:
    """What the authority sent back last."""
    path = ROOT / ".cache" / "molecule" / "tls" / name / SHOP / "certificate.cer"
    return x509.load_der_x509_certificate(path.read_bytes())


def shown(host: Host, name: str = SHOP) -> int:
    return int(host.check_output(SHOWN.format(name)).partition("=")[2], 16)


class TestBought:
    def test_its_key_never_left_the_host(self, host: Host, name: str) -> None:
        assert shown(host) == sold(name).serial_number
        folder = ROOT / ".cache" / "molecule" / "tls" / name
        assert not [path for path in folder.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
        assert host.file(f"{FOLDER}/requests").mode == 0o700
        assert not host.file(f"{FOLDER}/requests/{SHOP}.key").exists

    def test_a_new_one_is_shown_without_dropping_a_connection(self, host: Host, name: str) -> None:
        slow = f"curl -sk --resolve {SHOP}:443:127.0.0.1 https://{SHOP}/slow -o /run/slow"
        host.check_output(f"systemd-run --unit=slow {slow}")
        done = installed("-e", "sold_again=true")
        assert done.returncode == 0, done.stdout[-2000:]
        assert shown(host) == sold(name).serial_number
        grown = "a=$(stat -c %s /run/slow); until [ $(stat -c %s /run/slow) -gt $a ]; do sleep 0.2; done"
        host.check_output(f"timeout 30 sh -c '{grown}'")
        assert host.check_output("systemctl is-active slow.service") == "active"
        host.check_output("systemctl stop slow.service")

    def test_it_goes_back_by_itself_where_the_service_does_not_come_up(self, host: Host, name: str) -> None:
        before = shown(host)
        host.check_output("echo broken > /etc/nginx/conf.d/broken.conf")
        done = installed("-e", "sold_again=true")
        assert done.returncode != 0
        said = " ".join(done.stdout.split())
        assert f"the certificate {SHOP} (serial {sold(name).serial_number:X}) does not work: nginx.service:" in said
        assert f"the former one (serial {before:X}) is in use again" in said
        assert shown(host) == before
        host.check_output("rm /etc/nginx/conf.d/broken.conf")
        assert installed().returncode == 0
        assert shown(host) == sold(name).serial_number
        assert re.search(r"changed=0 ", installed().stdout)


WEB = "web.example.org"
ISSUE = "encaja-certificate issue --new"


class TestAcme:
    def test_the_authority_s_certificate_is_shown(self, host: Host) -> None:
        issuer = host.check_output(f"openssl x509 -noout -issuer -in {FOLDER}/{WEB}.crt")
        assert "Pebble" in issuer
        names = host.check_output(f"openssl x509 -noout -ext subjectAltName -in {FOLDER}/{WEB}.crt")
        assert "DNS:cdn.example.org" in names
        assert f"DNS:{WEB}" in names
        served = host.check_output(f"openssl x509 -noout -serial -in {FOLDER}/{WEB}.crt").partition("=")[2]
        assert shown(host, WEB) == int(served, 16)
        assert host.check_output("systemctl is-enabled encaja-certificate.timer") == "enabled"

    def test_the_timer_s_unit_renews_what_is_due_and_nothing_else(self, host: Host) -> None:
        before = shown(host, WEB)
        host.check_output("systemctl start encaja-certificate.service")
        assert shown(host, WEB) == before
        settings = "/etc/encaja/certificates.json"
        host.check_output(f'cp {settings} /run/kept && sed -i \'s/"renew_days": 30/"renew_days": 99999/\' {settings}')
        host.check_output("systemctl start encaja-certificate.service")
        host.check_output(f"cp /run/kept {settings}")
        assert shown(host, WEB) != before

    def test_without_a_web_server_the_challenge_is_answered_all_the_same(self, host: Host) -> None:
        host.check_output("systemctl stop nginx.service")
        before = host.check_output(f"sha256sum {FOLDER}/{WEB}.crt")
        host.check_output(ISSUE)
        assert host.check_output(f"sha256sum {FOLDER}/{WEB}.crt") != before
        host.check_output("systemctl start nginx.service")

    def refused(self, host: Host) -> str:
        """What is said of an order that fails; the certificate in use stays."""
        before = shown(host, WEB), host.check_output(f"readlink {FOLDER}/versions/{WEB}/live")
        done = host.run(ISSUE)
        assert done.rc == 1
        assert (shown(host, WEB), host.check_output(f"readlink {FOLDER}/versions/{WEB}/live")) == before
        assert "the present one stays, it ends in " in done.stderr
        return str(done.stderr)

    def test_an_authority_that_is_away_is_named(self, host: Host) -> None:
        settings = "/etc/encaja/certificates.json"
        host.check_output(f"cp {settings} /run/kept && sed -i s/:14000/:14009/ {settings}")
        said = self.refused(host)
        host.check_output(f"cp /run/kept {settings}")
        assert "the authority cannot be reached at https://acme.example.org:14009/dir" in said
        assert "Connection refused" in said

    def test_a_blocked_challenge_is_named(self, host: Host) -> None:
        site = "/etc/nginx/sites-enabled/default"
        host.check_output(f"cp {site} /run/site && echo 'server {{ listen 80; return 403; }}' > {site}")
        host.check_output("systemctl reload nginx.service")
        said = self.refused(host)
        host.check_output(f"cp /run/site {site} && systemctl reload nginx.service")
        assert "the authority got another answer to its challenge" in said
        assert "/.well-known/acme-challenge/ has to reach this host from outside (DNS, port 80)" in said

    def test_a_rate_limit_is_named(self, host: Host) -> None:
        program = (ROOT / "molecule/tls/files/limited_acme.py").read_text()
        host.check_output("printf %s > /run/limited_acme.py", program)
        serve = "python3 /run/limited_acme.py /etc/pebble/acme.crt /etc/pebble/acme.key"
        host.check_output(f"systemd-run --collect --unit=limited {serve}")
        host.check_output("timeout 20 sh -c 'until ss -ltn | grep -q :14001; do sleep 0.1; done'")
        settings = "/etc/encaja/certificates.json"
        host.check_output(f"cp {settings} /run/kept && sed -i s/:14000/:14001/ {settings}")
        said = self.refused(host)
        host.check_output(f"cp /run/kept {settings}; systemctl stop limited.service")
        assert "the authority refuses more for now (its rate limit): wait, the timer tries again" in said


def test_no_faulty_certificate_was_installed(host: Host) -> None:
    names = host.file(FOLDER).listdir()
    assert not {entry for entry in names if entry.startswith(("wrong-key", "no-chain", "expired", "."))}


def test_authoritys_key_is_not_on_the_host(host: Host) -> None:
    assert host.check_output("find / -xdev -name 'ca.key' -not -path '/proc/*' | wc -l") == "0"
