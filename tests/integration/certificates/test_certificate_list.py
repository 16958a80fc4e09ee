from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from encaja.cli.playbook_run import play
from unit.test_certificates import Signed

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).parents[3]


def test_the_playbook_hands_over_what_hosts_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{PROJECT}/.venv/bin:{os.environ['PATH']}")
    authority = Signed("Acme CA")
    certificates = {
        "crm.acme.es": Signed("crm.acme.es", authority, ("crm.acme.es",)),
        "sip.acme.es": Signed("sip.acme.es", authority, ("other.acme.es",), last_day=-1),
    }
    (tmp_path / "tls").mkdir()
    for name, signed in certificates.items():
        (tmp_path / "tls" / f"{name}.crt").write_bytes(signed.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "ca.crt").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        f"""
production: {{hosts: {{crm.acme.es: {{ansible_connection: local, ansible_python_interpreter: /usr/bin/python3}}}}}}
portal: {{hosts: {{crm.acme.es: {{}}}}}}
all:
  vars:
    encaja_domain: crm.acme.es
    certificates_folder: {tmp_path}/tls
    tls_ca_certificate: {tmp_path}/ca.crt
    tls_more: [{{name: sip.acme.es, names: [sip.acme.es]}}]
"""
    )
    documents = play(
        PROJECT, [inventory], "certificate_list.yml", {"certificates_environment": "production"}, where="production"
    )
    body = documents[0].body
    assert (body["kind"], body["differences"]) == ("certificates", 1)
    good, bad = body["certificates"]
    assert (good["host"], good["name"], good["faults"]) == ("crm.acme.es", "crm.acme.es", [])
    assert good["days_left"] in {99, 100}
    assert any("does not cover sip.acme.es" in fault for fault in bad["faults"])
    assert any("expired" in fault for fault in bad["faults"])
