"""Work that only the portal's own kernel can do, run as its user on the command line.

Reindexing and recovery links go through the kernel's interfaces (``CSearch::ReIndexAll``, ``CUser::SendUserInfo``):
their tables and check words are the kernel's own business and differ between versions. Source: portal.md 3, 5 (6),
behaviour.md 7.3.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ..errors import EncajaError

USER: Final = "www-data"
_MARK: Final = "encaja:"
_BEGUN: Final = "encaja-begun"
_PROLOG: Final = """
error_reporting(E_ERROR | E_PARSE);
$_SERVER['DOCUMENT_ROOT'] = $argv[1]; $DOCUMENT_ROOT = $argv[1];
$_SERVER['SERVER_NAME'] = $argv[2]; $_SERVER['HTTP_HOST'] = $argv[2]; $_SERVER['REQUEST_URI'] = '/';
foreach (['NO_KEEP_STATISTIC', 'NO_AGENT_STATISTIC', 'NOT_CHECK_PERMISSIONS', 'STOP_STATISTICS',
    'BX_NO_ACCELERATOR_RESET', 'NO_AGENT_CHECK', 'DisableEventsCheck'] as $name) {
    if (!defined($name)) { define($name, true); }
}
function emit($value) {
    if (@fwrite(STDOUT, "\\nencaja:" . json_encode($value, JSON_UNESCAPED_UNICODE) . "\\n") === false) { exit(1); }
}
require $argv[1] . '/bitrix/modules/main/include/prolog_before.php';
fwrite(STDOUT, "\\nencaja-begun\\n");
"""


def call(root: Path, host: str, code: str, *arguments: str, user: str = USER) -> Iterator[Any]:
    """Run PHP code with the kernel loaded; yields every value that it emits (``emit($value)``) as it comes.

    Args:
        root: document root.
        host: the portal's host name, for addresses that the kernel builds.
        code: PHP without an opening tag; ``$argv[3]`` and following are the arguments.
        arguments: must hold no secrets, they are visible in the process list.
        user: who runs it; the portal's files belong to them.

    Raises:
        EncajaError: PHP ended with an error; the message is its last line. Or the kernel ended the program in its
            prolog, without an error, as it does where the licence has ended.
    """
    begun = False
    if (php := shutil.which("php")) is None:
        raise EncajaError("no PHP command line", "this host", "install php-cli (role php)")
    command = [php, "-d", "max_execution_time=0", "-d", "display_errors=stderr", "-r", _PROLOG + code, "--"]
    if os.geteuid() == 0:
        command = ["runuser", "--user", user, "--", *command]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*command, str(root.resolve()), host, *arguments], cwd=root, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        try:
            for line in process.stdout or ():  # there is one, as it was asked for
                begun = begun or line.strip() == _BEGUN
                if line.startswith(_MARK):
                    yield json.loads(line.removeprefix(_MARK))
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        errors.seek(0)
        last = [text for text in errors if text.strip()]
    if process.returncode != 0:
        raise EncajaError(
            f"the portal's kernel failed: {last[-1].strip()[:300] if last else f'exit code {process.returncode}'}",
            str(root),
            "see PHP's error log",
        )
    if not begun:
        raise EncajaError(
            "the portal's kernel ended in its prolog", str(root), "see 'encaja verify … --only licence', and a page"
        )


_REINDEX: Final = """
\\CModule::IncludeModule('search');
$state = json_decode($argv[3], true) ?: [];
do {
    $state = \\CSearch::ReIndexAll(true, 10, $state, false);
    emit(['done' => is_array($state) ? (int)($state['CNT'] ?? 0) : (int)$state,
        'state' => is_array($state) ? $state : null]);
} while (is_array($state));
"""


def reindex(
    root: Path, host: str, progress: Callable[[int, dict[str, Any]], None], state: Mapping[str, Any] | None = None
) -> int:
    """Rebuild the whole search index in steps of ten seconds; returns the number of indexed records.

    Args:
        root: document root.
        host: the portal's host name.
        progress: called after each step with the number of indexed records and the state to continue from.
        state: where an earlier rebuild was stopped; None starts over.
    """
    done = 0
    for step in call(root, host, _REINDEX, json.dumps(dict(state or {}))):
        done = int(step["done"])
        if step["state"] is not None:
            progress(done, step["state"])
    return done


_REGISTER: Final = """
if ($argv[3] === 'https') { $_SERVER['HTTPS'] = 'on'; $_SERVER['SERVER_PORT'] = '443'; }
\\CModule::IncludeModule('rest');
try {
    \\Bitrix\\Rest\\OAuthService::register();
    emit('');
} catch (\\Throwable $fault) {
    emit($fault->getMessage());
}
"""


def register(root: Path, host: str, scheme: str, user: str = USER) -> str:
    """Have the kernel register the portal at the vendor, as ``host``; returns what went wrong, as far as it says so."""
    return "".join(map(str, call(root, host, _REGISTER, scheme, user=user)))[:300]


_RECOVER: Final = """
foreach (json_decode(stream_get_contents(fopen($argv[3], 'r')), true) as $row) {
    (new \\CUser())->SendUserInfo($row['id'], $row['site'], $row['text'], false, $argv[4]);
    emit($row['id']);
}
"""


def send_recovery(
    root: Path, host: str, people: list[dict[str, Any]], *, event: str, listing: Path, user: str = USER
) -> Iterator[int]:
    """Have the kernel make a check word for each person and queue a mail with it.

    Args:
        root: document root.
        host: the portal's host name.
        people: the recipients: ``id``, ``site`` (becomes theirs) and ``text`` (a field of the mail).
        event: the mail's event.
        listing: a file below a directory that the portal's user can read; it lives as long as the call.
        user: who runs the kernel.

    Yields:
        An id as soon as the kernel has been asked. It does not say whether it queued anything: look for the row.
    """
    listing.unlink(missing_ok=True)  # of a run that was killed
    listing.touch(mode=0o600)
    listing.write_text(json.dumps(people))
    if os.geteuid() == 0:
        shutil.chown(listing, user, user)
    try:
        for number in call(root, host, _RECOVER, str(listing), event, user=user):
            yield int(number)
    finally:
        listing.unlink(missing_ok=True)
