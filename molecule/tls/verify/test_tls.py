"""What a client sees of the installed certificates, and who can read the keys."""

import pytest
from testinfra.host import Host

FOLDER = "/etc/encaja/tls"


@pytest.fixture
def name(host: Host) -> str:
    return host.backend.get_hostname()


def test_signed_certificate_is_trusted_on_the_host_and_covers_its_name(host: Host, name: str) -> None:
    path = f"{FOLDER}/{name}.crt"
    checked = host.check_output(f"openssl verify -purpose sslserver -verify_hostname {name} {path}")
    assert checked == f"{path}: OK"


def test_given_certificate_has_its_whole_chain_without_the_root(host: Host) -> None:
    subjects = host.check_output(
        f"openssl crl2pkcs7 -nocrl -certfile {FOLDER}/portal.example.org.crt | openssl pkcs7 -print_certs -noout"
    )
    order = [line.split("CN")[1].strip(" =") for line in subjects.splitlines() if line.startswith("subject")]
    assert order == ["portal.example.org", "Example Intermediate"]


def test_every_key_fits_its_certificate_and_is_hidden(host: Host, name: str) -> None:
    for one in (name, "portal.example.org"):
        public = host.check_output(f"openssl x509 -in {FOLDER}/{one}.crt -noout -pubkey")
        assert host.check_output(f"openssl pkey -in {FOLDER}/{one}.key -pubout") == public
        key = host.file(f"{FOLDER}/{one}.key")
        assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)
        assert host.run(f"su -s /bin/sh nobody -c 'cat {FOLDER}/{one}.key'").rc != 0


def test_nothing_of_what_had_faults_is_there(host: Host) -> None:
    names = host.file(FOLDER).listdir()
    assert not {entry for entry in names if entry.startswith(("wrong-key", "no-chain", "expired", "."))}


def test_authoritys_key_never_came_to_the_host(host: Host) -> None:
    assert host.check_output("find / -xdev -name 'ca.key' -not -path '/proc/*' | wc -l") == "0"
