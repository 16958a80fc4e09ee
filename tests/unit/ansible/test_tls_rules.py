"""Role ``tls``: faults of a host's certificates are reported with everything else, before anything changes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from unit.test_certificate_bundle import LOCK, pfx, request_of
from unit.test_certificates import MIDDLE, ROOT, Signed

HERE = Path(__file__).parents[3]
LOOK = "[{hosts: all, gather_facts: false, tasks: [{encaja.portal.role_arguments: {roles: [tls]}}]}]"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is said of each host; empty where nothing is wrong."""
    folder = tmp_path_factory.mktemp("tls")
    good = Signed("good", MIDDLE, names=("portal.test", "www.portal.test"))
    soon = Signed("soon", MIDDLE, names=("portal.test",), last_day=3)
    files = {"good": good.pem, "soon": soon.pem, "chain": MIDDLE.pem, "root": ROOT.pem}
    files |= {"good.key": good.key_pem, "soon.key": soon.key_pem, "root.key": ROOT.key_pem}
    files |= {"good.pfx": pfx(good, LOCK, MIDDLE), "folder/leaf.cer": good.certificate.public_bytes(Encoding.DER)}
    files |= {"folder/chain.p7b": pkcs7.serialize_certificates([MIDDLE.certificate], Encoding.DER)}
    files |= {"bought/mine.p7b": files["folder/chain.p7b"], "bought/leaf.der": files["folder/leaf.cer"]}
    files |= {"foreign/a.pem": soon.pem + MIDDLE.pem, "waiting.csr": request_of(good), "foreign.csr": request_of(good)}
    # A request that was made since for the next year waits for its own certificate.
    files |= {"bought.csr": request_of(soon), "bought.csr.7.2026-11-30@10:00:00~": request_of(good)}
    for name in ("folder", "bought", "foreign", "waiting"):
        (folder / name).mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    given = {"tls_trusted": ["root"], "tls_certificate": "good", "tls_key": "good.key", "tls_chain": "chain"}
    hosts: dict[str, dict[str, Any]] = {
        "good": {**given, "web_aliases": ["www.portal.test"]},
        "alias": {**given, "web_aliases": ["shop.portal.test"]},
        "plain": {**given, "web_aliases": ["shop.portal.test"], "web_tls": False},
        "chainless": {**given, "tls_chain": "", "tls_key": "soon.key"},
        "pfx": {"tls_trusted": ["root"], "tls_certificate": "good.pfx", "tls_passphrase": "secreto"},
        "locked": {"tls_trusted": ["root"], "tls_certificate": "good.pfx"},
        "folder": {"tls_trusted": ["root"], "tls_certificate": "folder", "tls_key": "good.key"},
        "keyless": {"tls_trusted": ["root"], "tls_certificate": "folder"},
        "bought": {"tls_trusted": ["root"], "tls_source": "bought", "tls_name": "bought", "tls_names": ["portal.test"]},
        "foreign": {
            "tls_trusted": ["root"],
            "tls_source": "bought",
            "tls_name": "foreign",
            "tls_names": ["portal.test"],
        },
        "waiting": {"tls_source": "bought", "tls_name": "waiting"},
        "late": {"tls_source": "bought", "tls_name": "waiting", "tls_may_wait": False},
        "unasked": {"tls_source": "bought", "tls_name": "unasked", "tls_may_wait": False},
        "acme": {"tls_source": "acme", "tls_acme_email": "a@portal.test"},
        "nobody": {"tls_source": "acme", "tls_acme_dns": "gandi"},
        "star": {"tls_source": "acme", "tls_acme_email": "a@portal.test", "tls_names": ["*.portal.test"]},
        "lost": {**given, "tls_certificate": "nowhere.crt"},
        "soon": {**given, "tls_certificate": "soon", "tls_key": "soon.key"},
        "distrusted": {**given, "tls_trusted": ["root", "good", "nowhere.pem"]},
        "none": {},
        "signed": {"tls_ca_certificate": "root", "tls_ca_key": "root.key"},
        "unsigned": {"tls_ca_certificate": "root", "tls_ca_key": "good.key"},
    }
    shared = {"ansible_connection": "local", "encaja_domain": "portal.test", "tls_requests": str(folder)}
    (folder / "hosts.json").write_text(
        json.dumps({"all": {"vars": shared, "hosts": hosts, "children": {"portal": {"hosts": dict.fromkeys(hosts)}}}})
    )
    (folder / "look.yml").write_text(LOOK)
    environment = {**os.environ, "ANSIBLE_CONFIG": str(HERE / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "999"}
    done = subprocess.run(
        ["ansible-playbook", "-i", str(folder / "hosts.json"), str(folder / "look.yml")],
        cwd=HERE, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    marks = {host: (f"fatal: [{host}]", f"[WARNING]: {host}: ") for host in hosts}
    return {host: "".join(line for line in lines if line.startswith(mark)) for host, mark in marks.items()}


@pytest.mark.parametrize(
    ("host", "fault"),
    [
        ("alias", "portal.test: does not cover shop.portal.test (it covers portal.test, www.portal.test)"),
        ("chainless", "portal.test: the key belongs to another certificate"),
        ("chainless", "the chain is broken: the certificate of 'Middle' is missing"),
        ("locked", "portal.test: good.pfx has a passphrase: put it into tls_passphrase (vault)"),
        ("keyless", "portal.test: the private key is missing"),
        ("foreign", "foreign: was not made for the host's request: its key is another one"),
        ("late", "the certificate waiting is requested, but nothing came back yet: put what the authority sent into"),
        (
            "unasked",
            "the certificate unasked is to be bought, but was not requested yet: run 'encaja certificate request'",
        ),
        ("nobody", "tls_acme_email is empty"),
        ("nobody", "tls_acme_environment has no credentials of the DNS provider 'gandi'"),
        ("star", "a name with a star is only issued by a challenge in DNS"),
        ("lost", "portal.test: nowhere.crt does not exist on this machine"),
        ("distrusted", "tls_trusted[1]: 'good' is no authority's certificate"),
        ("distrusted", "nowhere.pem does not exist on this machine"),
        ("none", "there is no certificate for portal.test: set tls_certificate and tls_key"),
        ("unsigned", "the authority's key does not fit its certificate"),
    ],
)
def test_what_the_role_would_refuse_is_reported(told: dict[str, str], host: str, fault: str) -> None:
    assert told[host].startswith(f"fatal: [{host}]")
    assert fault in told[host]


@pytest.mark.parametrize("host", ["good", "plain", "signed", "pfx", "folder", "bought", "acme"])
def test_valid_certificates_pass(told: dict[str, str], host: str) -> None:
    assert told[host] == ""


def test_a_near_expiry_is_a_warning(told: dict[str, str]) -> None:
    assert told["soon"].startswith("[WARNING]: soon: the certificate portal.test expires in ")


def test_a_certificate_that_is_still_to_come_is_a_warning(told: dict[str, str]) -> None:
    assert told["waiting"].startswith("[WARNING]: waiting: the certificate waiting is requested, but nothing came back")
