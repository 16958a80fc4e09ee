"""Secrets are masked."""

from __future__ import annotations

from encaja.runbook.redact import MASK, Redactor, secrets_of_inventory


def test_what_opens_a_link_is_a_secret() -> None:
    link = "https://backups.example.com/NAME.enc.gz?sign=a1b2c3d4e5"
    secrets = secrets_of_inventory({"_meta": {"hostvars": {"box": {"encaja_backup_source": link}}}})
    assert (
        Redactor(secrets).clean(f"volume 3 of {link}") == f"volume 3 of https://backups.example.com/NAME.enc.gz?{MASK}"
    )


def test_secrets_are_masked_by_value_and_by_shape() -> None:
    redactor = Redactor({"sesame-open", "abc", "sesame-open-longer"})
    assert redactor.clean("x sesame-open-longer y sesame-open z abc") == f"x {MASK} y {MASK} z abc"
    assert "s3cr3t" not in redactor.clean("https://user:s3cr3t@host/ password=s3cr3t&x=1 token=s3cr3t")
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
    assert "MIIE" not in redactor.clean(f"before {key} after")
    assert redactor.clean_value({"db_password": "x1", "list": ["sesame-open"], "n": 1}) == {
        "db_password": MASK,
        "list": [MASK],
        "n": 1,
    }
