"""Command line: ``python3 -m company --docroot DIR --config FILE.json [--leads N ...]``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from .build import Sizes, build


def main() -> int:
    """Fill the portal whose tree is at ``--docroot``; the configuration is the one its installer was given."""
    parser = argparse.ArgumentParser(prog="company", description="Fill a stand-in portal with a company.")
    parser.add_argument("--docroot", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True, help="the JSON that install.php was given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--links", choices=("cloud", "none"), default="cloud", help="server names hold the cloud's host, or nothing"
    )
    parser.add_argument(
        "--bucket", type=Path, help="put some files into this directory instead of the tree, as in the vendor's bucket"
    )
    defaults = Sizes()
    for name, value in vars(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    options = parser.parse_args()
    sizes = Sizes(**{name: getattr(options, name) for name in vars(defaults)})
    started = time.monotonic()
    counts = build(
        json.loads(options.config.read_text(encoding="utf-8")),
        options.docroot,
        sizes,
        seed=options.seed,
        links=options.links,
        bucket=options.bucket,
    )
    json.dump({"seconds": round(time.monotonic() - started, 1), "counts": counts}, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
