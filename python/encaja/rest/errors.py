"""Errors of the portal's REST interface.

Source: apidocs.bitrix24.com, error-codes (system errors) and limits.
"""

from __future__ import annotations

from typing import Any

from encaja.errors import EncajaError

TOKEN_ERRORS = frozenset({"expired_token", "invalid_token", "NO_AUTH_FOUND"})
BUSY_ERRORS = frozenset({"QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT", "OVERLOAD_LIMIT"})
# What the portal has against the caller, not against the one call.
CALLER_ERRORS = frozenset(
    {"WRONG_AUTH_TYPE", "WRONG_CLIENT", "insufficient_scope", "INVALID_CREDENTIALS"}
    | {"PORTAL_DELETED", "PAYMENT_REQUIRED"}
)
# What it has against the caller's user, perhaps for this call only.
USER_ERRORS = frozenset({"ACCESS_DENIED", "user_access_error", "authorization_error"})


class RefusedError(EncajaError):
    """The portal refuses a command.

    Args:
        code: the portal's code of the error; may be empty.
        description: its text.
        method: of the command.
        hint: how to fix it.
    """

    def __init__(self, code: str, description: str, method: str, hint: str = "") -> None:
        super().__init__(f"{code}: {description}" if code and description else code or description, method, hint)
        self.code = code
        self.description = description
        self.method = method


class AccessError(RefusedError):
    """The portal refuses the caller: its webhook or application is expired, unknown, or lacks a right."""


class UnreachableError(EncajaError):
    """The portal could not be reached."""


class MalformedError(EncajaError):
    """The portal answers in another form than the documented one.

    Args:
        what: how.
        method: of the command.
    """

    def __init__(self, what: str, method: str = "") -> None:
        super().__init__(what, method, "see what answers at the portal's address")


def _text(value: Any, most: int) -> str:
    """A foreign text in one line that no terminal takes for a command."""
    text = value if isinstance(value, str) else type(value).__name__ if isinstance(value, (dict, list)) else str(value)
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text[:most]).split())


def refusal(fault: Any, method: str) -> RefusedError:
    """The error in an answer."""
    if not isinstance(fault, dict):
        return RefusedError("", _text(fault, 500), method)
    code, description = _text(fault.get("error", ""), 100), _text(fault.get("error_description", ""), 500)
    if code not in TOKEN_ERRORS | CALLER_ERRORS | USER_ERRORS:
        return RefusedError(code, description, method)
    if code == "insufficient_scope":
        hint = f"give the webhook the scope {method.partition('.')[0]}, in the portal under Developer resources"
    elif code in {"ACCESS_DENIED", "INVALID_CREDENTIALS"}:
        hint = "the webhook is unknown or withdrawn, or its user lacks the right: make one as an active administrator"
    elif code == "WRONG_AUTH_TYPE":
        hint = "this needs a local application's token, not a webhook"
    else:
        hint = "make a new webhook as an administrator, in the portal under Developer resources"
    return AccessError(code, description, method, hint)
