"""Why a connection was not made: the certificate, the name, or the server. Told by codes, never by words.

Words of OpenSSL and of the system come in the language and the phrasing of their version; the numbers of X.509 errors
are OpenSSL's own (x509_vfy.h) and stay.
"""

from __future__ import annotations

import socket
import ssl
from typing import Final

from ..errors import EncajaError

_EXPIRED: Final = frozenset({9, 10})
_SELF_SIGNED: Final = frozenset({18})
_UNKNOWN_AUTHORITY: Final = frozenset({2, 19, 20, 21})
_OTHER_NAME: Final = frozenset({62, 64})


def causes(fault: BaseException) -> list[BaseException]:
    """A fault and everything that it comes from."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [fault]
    while waiting:
        one = waiting.pop(0)
        if one is not None and one not in found:
            found.append(one)
            reason = getattr(one, "original_exception", None) or (one.args[0] if one.args else None)
            waiting += [one.__cause__, one.__context__, reason if isinstance(reason, BaseException) else None]
    return found


def certificate_fault(fault: BaseException, name: str) -> EncajaError | None:
    """What is wrong with a server's certificate, with what fixes it; None where it is something else.

    Args:
        fault: what was raised, whatever is wrapped around it.
        name: the name under which the server was asked.
    """
    found = next((one for one in causes(fault) if isinstance(one, ssl.SSLCertVerificationError)), None)
    if found is None:
        return None
    code = getattr(found, "verify_code", 0)
    if code in _EXPIRED:
        what, hint = "it is not valid today", "renew it (tls_certificate, tls_key), or put the hosts' clocks right"
    elif code in _OTHER_NAME:
        what, hint = f"it does not cover {name}", "give one that does (tls_certificate, tls_key, tls_names)"
    elif code in _SELF_SIGNED:
        what = "it is signed by itself, which no client trusts"
        hint = (
            "give one of an authority (tls_certificate, tls_key), and that one's root in tls_trusted if it is your own"
        )
    elif code in _UNKNOWN_AUTHORITY:
        what = "this host does not trust its authority"
        hint = "name its root in tls_trusted, what stands between in tls_chain, then run playbook certificates"
    else:
        what, hint = (
            str(getattr(found, "verify_message", "")) or f"OpenSSL refuses it ({code})",
            "see docs/certificates.md",
        )
    return EncajaError(f"certificate: {what}", name, hint)


def connection_fault(fault: BaseException, name: str, hint: str) -> EncajaError:
    """What kept a connection from being made; ``hint`` helps where it is neither certificate, nor TLS, nor the name."""
    if found := certificate_fault(fault, name):
        return found
    for one in causes(fault):
        if isinstance(one, ssl.SSLError):
            return EncajaError(
                f"no TLS: {one.reason or one}", name, "see that this port speaks TLS, then the server's log"
            )
        if isinstance(one, socket.gaierror):
            return EncajaError(
                "the name does not resolve on this host", name, "give it an address in DNS, or in base_hosts"
            )
        if isinstance(one, ConnectionRefusedError):
            return EncajaError("nothing listens there", name, hint)
        if isinstance(one, TimeoutError):
            return EncajaError("no answer in time", name, hint)
    return EncajaError(f"no connection: {fault}", name, hint)
