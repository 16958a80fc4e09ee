"""Addresses and mentions in texts: the cloud's become the box's.

Sources: portal.md (addresses of pages), apidocs.bitrix24.com, chats/messages/formatting (``[USER=1]``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_RECORD = re.compile(r"/crm/(?P<entity>lead|deal|contact|company)/(?P<page>details|show|edit)/(?P<key>\d+)(?=/|\b)")
_TASK = re.compile(r"/tasks/task/(?P<page>view|edit)/(?P<key>\d+)(?=/|\b)")
_PERSON = re.compile(r"/company/personal/user/(?P<key>\d+)(?=/|\b)")
_MENTION = re.compile(r"\[USER=(?P<key>\d+)(?P<rest>[^\]]*)\]", re.IGNORECASE)


class Rewriter:
    """Rewrites texts.

    Args:
        cloud: the cloud's host names.
        box: scheme and host of the box.
    """

    def __init__(self, cloud: Sequence[str], box: str) -> None:
        self._host = re.compile(rf"https?://(?:{'|'.join(map(re.escape, cloud))})(?=[/?#\s\]\"'<]|$)", re.IGNORECASE)
        self._box = box.rstrip("/")

    def rewrite(
        self, text: str, resolve: Callable[[str, str], str | None], user: Callable[[str], str | None]
    ) -> tuple[str, list[tuple[str, str]]]:
        """Rewrite a text.

        Args:
            text: of the cloud.
            resolve: finds the counterpart of a record (entity, identifier).
            user: finds the counterpart of a user.

        Returns:
            The text, and the records in it that have no counterpart; their identifiers are left as they were.
        """
        if "/" not in text and "[" not in text:
            return text, []
        missing: list[tuple[str, str]] = []

        def found(entity: str, key: str) -> str:
            box = resolve(entity, key)
            if box is None:
                missing.append((entity, key))
            return box or key

        text = self._host.sub(self._box, text)
        text = _RECORD.sub(lambda m: f"/crm/{m['entity']}/{m['page']}/{found(m['entity'], m['key'])}", text)
        text = _TASK.sub(lambda m: f"/tasks/task/{m['page']}/{found('task', m['key'])}", text)
        text = _PERSON.sub(lambda m: f"/company/personal/user/{user(m['key']) or m['key']}", text)
        return _MENTION.sub(lambda m: f"[USER={user(m['key']) or m['key']}{m['rest']}]", text), missing
