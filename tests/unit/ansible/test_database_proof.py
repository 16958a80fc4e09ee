"""The proof from the portal's host that its database is reached, whatever language server and system speak."""

from __future__ import annotations

import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pymysql
import pytest

from ansible_collections.encaja.portal.plugins.modules import database_proof

GIVEN = {
    "host": "db.acme.es",
    "user": "portal",
    "password": "word-of-the-portal",
    "database": "portal",
    "ca": "/ca.crt",
}


class Connection:
    def __init__(self, cipher: str) -> None:
        self.cipher = cipher

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None: ...

    def cursor(self) -> Connection:
        return self

    def execute(self, _: str) -> None: ...

    def fetchone(self) -> tuple[str, str]:
        return "Ssl_cipher", self.cipher


def unreachable(inner: Exception) -> pymysql.OperationalError:
    fault = pymysql.OperationalError(2003, "No se puede conectar")
    fault.original_exception = inner  # type: ignore[attr-defined]
    return fault


def refused_certificate(code: int) -> pymysql.OperationalError:
    inner = ssl.SSLCertVerificationError(1, "x")
    inner.verify_code = code
    return unreachable(inner)


def prove(monkeypatch: pytest.MonkeyPatch, answer: Any) -> str:
    asked: dict[str, Any] = {}

    def connect(**given: Any) -> Any:
        asked.update(given)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(database_proof, "pymysql", SimpleNamespace(connect=connect, MySQLError=pymysql.MySQLError))
    cipher = database_proof.prove(GIVEN, "portal.acme.es")
    assert (asked["ssl_ca"], asked["ssl_verify_cert"], asked["ssl_verify_identity"]) == ("/ca.crt", True, True)
    return cipher


def test_a_connection_is_accepted_by_its_cipher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert prove(monkeypatch, Connection("TLS_AES_256_GCM_SHA384")) == "TLS_AES_256_GCM_SHA384"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Connection(""), "the connection is not encrypted (set database_tls to true"),
        (refused_certificate(20), "certificate: this host does not trust its authority (name its root in tls_trusted"),
        (refused_certificate(62), "certificate: it does not cover db.acme.es (give one that does"),
        (unreachable(socket.gaierror(-2, "Имя не найдено")), "the name does not resolve on this host (give it"),
        (unreachable(ConnectionRefusedError(111, "x")), "nothing listens there (see mariadb.service"),
        (unreachable(TimeoutError()), "no answer in time (see mariadb.service"),
        (pymysql.OperationalError(1045, "Доступ закрыт"), "the database refuses portal (1045) (add"),
        (FileNotFoundError(2, "x"), "/ca.crt cannot be read"),
    ],
)  # fmt: skip
def test_errors_are_reported_with_a_hint(monkeypatch: pytest.MonkeyPatch, answer: Any, said: str) -> None:
    with pytest.raises(Exception, match="portal") as fault:
        prove(monkeypatch, answer)
    assert said in str(fault.value)
    assert "word-of-the-portal" not in str(fault.value)
