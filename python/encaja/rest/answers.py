"""What a portal's REST interface answers, and what its system errors mean.

Source: apidocs.bitrix24.com, error-codes (system errors) and limits.
"""

from __future__ import annotations

from typing import Any

import httpx

TOKEN_ERRORS = frozenset({"expired_token", "invalid_token", "NO_AUTH_FOUND"})
BUSY_ERRORS = frozenset({"QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT", "OVERLOAD_LIMIT"})
# What the portal has against the caller, not against the one call.
CALLER_ERRORS = frozenset(
    {
        "WRONG_AUTH_TYPE",
        "WRONG_CLIENT",
        "insufficient_scope",
        "INVALID_CREDENTIALS",
        "PORTAL_DELETED",
        "PAYMENT_REQUIRED",
    }
)


def decode(response: httpx.Response) -> dict[str, Any] | None:
    """Return the answer's object, or None for anything else, such as a page of HTML."""
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
