"""Stand-in for the people who go on working in the cloud during a move: leads, contacts, deals, one every few seconds.

It runs on the host that plays the outside world and needs nothing but Python. The webhook's address comes from a file,
because it is a secret.

    python3 sales.py WEBHOOK_FILE [--every SECONDS] [--made FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

NAMES = ("Ana", "Luis", "Marta", "Javier", "Carmen", "Pablo", "Elena", "Diego")
WISHES = ("Ático con terraza", "Piso de dos dormitorios", "Chalet adosado", "Plaza de garaje", "Local comercial")


class Sales:
    """A sales department.

    Args:
        webhook: address of the cloud's webhook.
        dice: what chance decides with.
    """

    def __init__(self, webhook: str, dice: random.Random) -> None:
        self._webhook = webhook.rstrip("/")
        self._dice = dice
        self.made: dict[str, int] = {}

    def call(self, method: str, fields: dict[str, Any], **more: Any) -> Any:
        """Call a method of the cloud."""
        body = json.dumps({"fields": fields, **more}).encode()
        request = urllib.request.Request(f"{self._webhook}/{method}.json", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["result"]

    def work(self, number: int) -> None:
        """What the department does next: every lead counts, some become a contact with a deal, some are changed."""
        name, wish = self._dice.choice(NAMES), self._dice.choice(WISHES)
        phone = [{"VALUE": f"+346{self._dice.randrange(10**8):08d}", "VALUE_TYPE": "MOBILE"}]
        lead = self.call("crm.lead.add", {"TITLE": f"{wish} ({number})", "NAME": name, "PHONE": phone})
        self._count("leads")
        if number % 3 == 0:
            contact = self.call("crm.contact.add", {"NAME": name, "LAST_NAME": f"Nueva {number}", "PHONE": phone})
            deal = {"TITLE": wish, "CONTACT_ID": contact, "LEAD_ID": lead, "OPPORTUNITY": 90000 + 100 * number}
            self.call("crm.deal.add", deal)
            self._count("contacts")
            self._count("deals")
        if number % 4 == 0:
            old = self._dice.randrange(1, 200)
            self.call("crm.lead.update", {"STATUS_ID": "IN_PROCESS", "COMMENTS": f"Llamada {number}"}, id=old)
            self._count("changes")
        if number % 5 == 0:
            text = f"Llamar mañana a {name}"
            self.call("crm.timeline.comment.add", {"ENTITY_TYPE": "lead", "ENTITY_ID": lead, "COMMENT": text})
            self._count("comments")

    def _count(self, what: str) -> None:
        self.made[what] = self.made.get(what, 0) + 1


def main() -> None:
    """Work until somebody stops it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("webhook", type=Path)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two leads")
    parser.add_argument("--made", type=Path, help="where to write what was made, as JSON")
    given = parser.parse_args()
    sales = Sales(given.webhook.read_text().strip(), random.Random())
    for number in itertools.count(1):
        try:
            sales.work(number)
        except (urllib.error.URLError, OSError, KeyError, ValueError) as fault:
            print(f"sales: {type(fault).__name__}", flush=True)
        if given.made:
            given.made.write_text(json.dumps(sales.made))
        time.sleep(given.every)


if __name__ == "__main__":
    main()
