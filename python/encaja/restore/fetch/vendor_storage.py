"""The vendor's own cloud storage of backups, opened with a licence key and the backup's password.

A list of files comes from ``backup.php?license=md5(KEY)&action=get_info`` as ``<file name size/>``; for each file
``action=read_file`` with its name and a check word, md5("BITRIXCLOUDSERVICE" + password), answers with ``<host>``,
``<path>`` and ``<header name value/>`` of the request that gives it. Refusals are ``LICENSE_NOT_FOUND`` and
``WRONG_FILE_NAME_OR_CHECKWORD`` (restore.php, 26 November 2023). That requests are valid for a limited time is
inferred: a refused one is asked for again.
"""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from xml.etree import ElementTree

import httpx

from encaja.restore.archive.naming import VolumeName
from encaja.restore.errors import BackupError, BackupUsageError, WrongPassword
from encaja.restore.fetch.links import Target, redact
from encaja.restore.fetch.replies import RetryError, ask_for_text

ADDRESS = "https://util.1c-bitrix.ru/backup.php"
"""The vendor's service; portals bought outside of Russia have theirs at https://util.bitrixsoft.com/backup.php."""
_SALT = "BITRIXCLOUDSERVICE"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class VendorStorage:
    """The service that lists backups and tells where their volumes are.

    Args:
        licence: the licence key.
        address: of the service.
    """

    def __init__(self, licence: str, address: str = ADDRESS) -> None:
        if urlsplit(address).scheme not in ("http", "https"):
            raise BackupUsageError("not an http address", redact(address), "give the vendor's service or none")
        self._licence = _md5(licence)
        self.address = address
        self.scheme = urlsplit(address).scheme

    def files(self) -> dict[VolumeName, int]:
        """The volumes in the storage, and their bytes.

        Raises:
            BackupError: the service does not know the licence, or does not answer.
        """
        try:
            answer = self._ask(action="get_info")
        except (httpx.HTTPError, RetryError) as error:
            raise BackupError(
                f"the vendor's storage does not answer: {error}", self.address, "check the network and try again"
            ) from error
        found: dict[VolumeName, int] = {}
        for file in answer.iter("file"):
            name = VolumeName.parse(file.get("name", ""))
            if name:
                size = file.get("size") or "0"
                found[name] = int(size) if re.fullmatch("[0-9]{1,18}", size) else 0
        return found

    def target(self, name: VolumeName, password: str) -> Target:
        """What to ask for to get a volume.

        Raises:
            WrongPassword: the password is another one than the backup's.
            RetryError: the answer cannot be read.
        """
        answer = self._ask(action="read_file", file_name=str(name), check_word=_md5(_SALT + password))
        host, path = answer.findtext(".//host"), answer.findtext(".//path")
        if not host or not path:
            raise RetryError("the vendor's storage names no address")
        headers = {header.get("name", ""): header.get("value", "") for header in answer.iter("header")}
        return Target(
            f"{self.scheme}://{host.strip()}/{path.strip().lstrip('/')}", {k: v for k, v in headers.items() if k}
        )

    def _ask(self, **query: str) -> ElementTree.Element:
        with httpx.Client(follow_redirects=True, timeout=30.0) as client:
            text = ask_for_text(client, self.address, license=self._licence, **query)
        if "LICENSE_NOT_FOUND" in text:
            raise BackupError(
                "the vendor's storage does not know this licence key", self.address, "check the key of the portal"
            )
        if "WRONG_FILE_NAME_OR_CHECKWORD" in text:
            raise WrongPassword(
                f"the vendor's storage refuses {query.get('file_name', '')}: no such backup, or another password",
                self.address,
                "check the password given to the vendor's backup",
            )
        try:
            return ElementTree.fromstring(text)  # noqa: S314  (the service itself answers, over verified TLS)
        except ElementTree.ParseError as error:
            raise RetryError(f"the vendor's storage answers what cannot be read: {error}") from error


@dataclass
class StoredBackup:
    """One backup in the vendor's storage, as a source for the fetcher."""

    storage: VendorStorage
    name: VolumeName
    count: int | None
    password: str = field(repr=False)
    _targets: dict[int, Target] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def where(self) -> str:
        """The service and the backup's name."""
        return f"{self.storage.address} {self.name}"

    @property
    def folder(self) -> str:
        """There is no page to read; the list is the service's own."""
        return self.storage.address

    def target(self, number: int) -> Target:
        """Ask the service, once a volume."""
        with self._lock:
            known = self._targets.get(number)
        if known is None:
            known = self.storage.target(self.name.volume(number), self.password)
            with self._lock:
                self._targets[number] = known
        return known

    def sha256(self, number: int) -> str | None:
        """The service gives none."""

    def renew(self, number: int, refused: Target) -> None:
        """Ask the service again the next time, unless another connection did so already."""
        with self._lock:
            if self._targets.get(number) is refused:
                del self._targets[number]


def open_stored(storage: VendorStorage, password: str | None, archive: str | None = None) -> StoredBackup:
    """Choose a backup.

    Args:
        storage: the service.
        password: of the backup.
        archive: name of its first volume; None for the newest, whose names begin with their date.

    Raises:
        BackupError: there is none, or some of its volumes are missing.
        WrongPassword: none was given.
    """
    if not password:
        raise WrongPassword("the vendor's storage needs the backup's password", storage.address, "give it")
    files = storage.files()
    archives = sorted({name.archive for name in files})
    if not archives:
        raise BackupError("there is no backup in the vendor's storage", storage.address, "have one made")
    chosen = archive or archives[-1]
    if chosen not in archives:
        raise BackupError(f"there is no backup {chosen}", storage.address, f"there are {', '.join(archives[-5:])}")
    numbers = {name.number for name in files if name.archive == chosen}
    missing = sorted(set(range(max(numbers) + 1)) - numbers)
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (" …" if missing[5:] else "")
        raise BackupError(f"the vendor's storage lacks volumes {shown} of {chosen}", storage.address, "ask the vendor")
    return StoredBackup(storage, VolumeName.require(chosen), len(numbers), password)
