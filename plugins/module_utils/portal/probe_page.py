"""A temporary page in the portal's tree, asked over HTTP, to check what pages see.

Sessions, uploads and server variables cannot be checked from a command line; the vendor's server test is a page for the
same reason. The file has a random name and answers only to a secret made for this check.
Source of what is asked: portal.md chapter 4 (official tests).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import EncajaError
from . import files
from .site import Portal

_NAME: Final = "encaja-look-"
_PAGE: Final = """<?php
// Made by 'encaja verify' for one check, and deleted after it.
ini_set('display_errors', '0');
if (!hash_equals('{word}', (string)($_SERVER['HTTP_X_ENCAJA'] ?? ''))) {{ http_response_code(404); exit; }}
$answer = [];
switch ($_GET['ask'] ?? '') {{
    case 'server':
        foreach (['SERVER_NAME', 'SERVER_PORT', 'HTTPS', 'DOCUMENT_ROOT', 'REMOTE_ADDR', 'PHP_AUTH_USER', 'HTTP_HOST',
            'HTTP_X_FORWARDED_FOR', 'HTTP_X_FORWARDED_HOST', 'HTTP_X_REAL_IP'] as $name) {{
            $answer[$name] = (string)($_SERVER[$name] ?? '');
        }}
        break;
    case 'session':
        session_start();
        $answer = ['kept' => (string)($_SESSION['encaja'] ?? '')];
        $_SESSION['encaja'] = 'kept';
        if ($answer['kept'] !== '') {{ session_destroy(); }}
        break;
    case 'upload':
        $file = $_FILES['file'] ?? ['error' => -1];
        $answer = ['error' => $file['error'], 'md5' => $file['error'] ? '' : md5_file($file['tmp_name']),
            'image' => @getimagesize($_FILES['image']['tmp_name'] ?? '') ?: [],
            'fields' => count($_POST['many'] ?? [])];
        break;
    case 'raw':
        $answer = ['md5' => md5(file_get_contents('php://input'))];
        break;
    case 'work':
        $begun = microtime(true);
        for ($number = 0, $sum = 0.0; $number < 1000000; $number++) {{ $sum += $number % 7 ? 1.5 : -1.5; }}
        $seconds = microtime(true) - $begun;
        $memory = str_repeat('x', 128 << 20);
        $answer = ['seconds' => $seconds, 'memory' => strlen($memory), 'time' => @set_time_limit(300),
            'pattern' => preg_match('/^(.|x)+$/', str_repeat('x', 5000)), 'exec' => function_exists('exec')];
        break;
}}
header('Content-Type: application/json');
echo json_encode($answer);
"""


@dataclass(frozen=True)
class Answer:
    """An answer of the portal over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


class ProbePage:
    """The page while it is there; use it as a context.

    Args:
        portal: the page is put into its tree.
        send: asks the portal: method, path, headers, body.
    """

    def __init__(self, portal: Portal, send: Callable[[str, str, Mapping[str, str], bytes], Answer]) -> None:
        self._portal, self._send = portal, send
        self._word = secrets.token_hex(24)
        self._path = portal.root / f"{_NAME}{secrets.token_hex(12)}.php"

    def __enter__(self) -> ProbePage:
        """Create the page, and remove those that a killed check left behind."""
        for old in self._portal.root.glob(f"{_NAME}*.php"):
            old.unlink(missing_ok=True)
        files.write(self._path, _PAGE.format(word=self._word).encode(), files.Attributes(mode=0o644))
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the page."""
        self._path.unlink(missing_ok=True)

    def ask(
        self, what: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        """The page's answer, and its headers.

        Raises:
            EncajaError: the page gave another answer.
        """
        sent = {"X-Encaja": self._word, **(headers or {})}
        answer = self._send("POST" if body else "GET", f"/{self._path.name}?ask={what}", sent, body)
        try:
            said = json.loads(answer.body)
        except ValueError:
            said = None
        if answer.status != 200 or not isinstance(said, dict):
            raise EncajaError(f"a page answered {answer.status}", self._path.name, "see the log of PHP-FPM")
        return said, answer.headers
