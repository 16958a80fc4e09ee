"""Stand-in for a telephone provider and for the agents' telephones: one call through the estate's telephone exchange.

It runs on the host that plays the outside world, with Debian's ``sip-tester`` and nothing else. Each telephone
registers with its password (as a real one does), rings and is answered or ignored; then the provider hands over the
customer's call with audible sound in both directions. Or, with ``dials``, the first telephone calls a customer, and the
provider takes the call. Everything that goes wrong ends in one line and exit code 1.

    python3 call.py call.json        (see ``Call`` for the fields; the file holds passwords: mode 0600)
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TONE_SECONDS = 2
SAMPLES_PER_SECOND = 8000


class CallError(Exception):
    """A call that did not go as it should, in one line."""


@dataclass(frozen=True)
class Telephone:
    """One agent's telephone.

    Args:
        extension: its user name at the exchange.
        password: its SIP password.
        answers: whether it is answered; else it rings until the exchange takes the call back.
        ring_seconds: how long it rings before it is answered.
        hands_over_to: extension to which it hands the caller over after ``talk_seconds``; empty for none.
        talk_seconds: how long it talks before handing over.
    """

    extension: str
    password: str
    answers: bool = True
    ring_seconds: float = 1.0
    hands_over_to: str = ""
    talk_seconds: float = 1.0

    @property
    def scenario(self) -> str:
        """The scenario that it plays when it is called."""
        if not self.answers:
            return "ignore"
        return "hand_over" if self.hands_over_to else "answer"


@dataclass(frozen=True)
class Call:
    """One call between the outside and the exchange.

    Args:
        exchange: name or address of the telephone exchange.
        line: the number that the customer dials.
        caller: the customer's number.
        dials: whether the first telephone calls the customer instead.
        telephones: the agents' telephones that are switched on.
        talk_seconds: how long the customer talks, or lets it ring when he gives up.
        gives_up: whether the customer hangs up while it still rings.
        address: own address towards the exchange; found out when empty.
        port: SIP port of the exchange.
        provider_port: own SIP port as provider; the telephones take the ones above it.
        patience_seconds: after which a call that nobody answered is a failure.
    """

    exchange: str
    line: str
    caller: str
    telephones: tuple[Telephone, ...] = ()
    talk_seconds: float = 4.0
    dials: bool = False
    gives_up: bool = False
    address: str = ""
    port: int = 5060
    provider_port: int = 5060
    patience_seconds: float = 30.0

    @property
    def scenario(self) -> str:
        """The scenario that the provider plays."""
        if self.gives_up:
            return "give_up"
        return "call" if any(telephone.answers for telephone in self.telephones) else "unanswered"


def read_call(path: Path) -> Call:
    """Read a call from a JSON file whose keys are the fields of :class:`Call`."""
    data = json.loads(path.read_text())
    data["telephones"] = tuple(Telephone(**telephone) for telephone in data.get("telephones", ()))
    return Call(**data)


def a_law(sample: int) -> int:
    """Return the G.711 A-law byte of a 16-bit sample (ITU-T G.711)."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = min(abs(sample), 32767) >> 3
    exponent = max(magnitude.bit_length() - 5, 0)
    mantissa = (magnitude >> max(exponent, 1)) & 0x0F
    return (sign | exponent << 4 | mantissa) ^ 0x55


def tone(hertz: int) -> bytes:
    """Return :data:`TONE_SECONDS` of a tone as A-law at 8 kHz."""
    return bytes(
        a_law(round(8000 * math.sin(2 * math.pi * hertz * number / SAMPLES_PER_SECOND)))
        for number in range(TONE_SECONDS * SAMPLES_PER_SECOND)
    )


def milliseconds(seconds: float) -> str:
    """Return a time as SIPp takes it."""
    return f"{seconds * 1000:.0f}"


class Sipp:
    """Starts SIPp with scenarios whose ``@NAME@`` places are filled in."""

    def __init__(self, call: Call, folder: Path) -> None:
        self.call = call
        self.folder = folder

    def start(self, scenario: str, port: int, places: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start one scenario, once, on an own SIP port and with media ports of its own."""
        media_port = 20000 + 20 * (port - self.call.provider_port)
        text = (HERE / f"{scenario}.xml").read_text()
        for name, value in places.items():
            text = text.replace(f"@{name}@", value)
        if left := re.findall(r"@[A-Z]+@", text):
            raise CallError(f"{scenario}.xml: nothing to put in for {', '.join(sorted(set(left)))}")
        filled = self.folder / f"{scenario}-{port}.xml"
        filled.touch(mode=0o600)
        filled.write_text(text)
        command = ["sipp", f"{self.call.exchange}:{self.call.port}", "-sf", str(filled), "-m", "1", "-aa", "-nostdin"]
        command += ["-p", str(port), "-min_rtp_port", str(media_port), "-max_rtp_port", str(media_port + 9)]
        limit = math.ceil(self.call.patience_seconds + self.call.talk_seconds + 10)
        command += ["-timeout", f"{limit}s", "-timeout_error"]
        command += ["-trace_err", "-error_file", str(self.folder / f"{scenario}-{port}.errors")]
        if self.call.address:
            command += ["-i", self.call.address, "-mi", self.call.address]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, cwd=self.folder)

    def finish(self, process: subprocess.Popen[bytes], scenario: str, port: int) -> None:
        """Wait for a scenario and raise what it complained about."""
        if process.wait() == 0:
            return
        errors = self.folder / f"{scenario}-{port}.errors"
        lines = errors.read_text(errors="replace").strip().splitlines() if errors.exists() else []
        said = next((line for line in lines if "Aborting" in line), (lines or ["no message"])[0])
        raise CallError(f"sipp {scenario} ended with {process.returncode}: {said[:300]}")


def place(call: Call) -> dict[str, Any]:
    """Place the call and return when it started and how long it lasted, ringing included."""
    with tempfile.TemporaryDirectory(prefix="encaja-call-") as name:
        folder = Path(name)
        (folder / "customer.al").write_bytes(tone(440))
        (folder / "agent.al").write_bytes(tone(660))
        sipp = Sipp(call, folder)
        running: list[tuple[subprocess.Popen[bytes], str, int]] = []
        try:
            for number, telephone in enumerate(call.telephones, start=1):
                port = call.provider_port + number
                places = {"EXTENSION": telephone.extension, "PASSWORD": telephone.password}
                sipp.finish(sipp.start("register", port, places), "register", port)
                if call.dials and number == 1:
                    continue
                places |= {"RING": milliseconds(telephone.ring_seconds), "TALK": milliseconds(telephone.talk_seconds)}
                places |= {"AUDIO": str(folder / "agent.al"), "TARGET": telephone.hands_over_to}
                running.append((sipp.start(telephone.scenario, port, places), telephone.scenario, port))
            started = time.time()
            port, scenario = call.provider_port, call.scenario
            places = {"LINE": call.line, "CALLER": call.caller, "AUDIO": str(folder / "customer.al")}
            if call.dials:
                places |= {"EXTENSION": call.caller, "RING": milliseconds(1.0)}
                running.append((sipp.start("answer", port, places), "answer", port))
                port, scenario = port + 1, "dial"
                places |= {"EXTENSION": call.telephones[0].extension, "PASSWORD": call.telephones[0].password}
                places |= {"NUMBER": call.caller}
            places |= {"TALK": milliseconds(call.talk_seconds), "PATIENCE": milliseconds(call.patience_seconds)}
            sipp.finish(sipp.start(scenario, port, places), scenario, port)
            seconds = time.time() - started
            for process, scenario, port in running:
                sipp.finish(process, scenario, port)
        finally:
            for process, _, _ in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    return {
        "caller": call.caller,
        "line": call.line,
        "started": round(started, 3),
        "seconds": round(seconds, 1),
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Place one call from outside to the telephone exchange.")
    parser.add_argument("call", type=Path, help="JSON file with the call")
    try:
        print(json.dumps(place(read_call(parser.parse_args().call))))
    except (CallError, OSError, ValueError, TypeError) as fault:
        print(f"call.py: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
