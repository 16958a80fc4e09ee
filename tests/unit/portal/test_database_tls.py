"""The connection of a portal whose database is on another host."""

from __future__ import annotations

from typing import Any

import pymysql
import pytest

from encaja.portal.database import Database


@pytest.mark.parametrize(("more", "verified"), [({"ssl_ca": "/etc/ca.crt"}, True), ({}, False)])
def test_a_database_elsewhere_is_reached_with_tls_and_its_name_is_proven(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], verified: bool
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(pymysql, "connect", lambda **given: asked.update(given))
    default = {"host": "database.example", "login": "portal", "password": "p", "database": "portal", **more}
    Database.connect({"connections": {"value": {"default": default}}}, ".settings.php")
    assert asked["host"] == "database.example"
    assert asked.get("ssl_ca") == more.get("ssl_ca")
    assert asked.get("ssl_verify_cert", False) is verified
    assert asked.get("ssl_verify_identity", False) is verified
