"""A company's own authority, and certificates of it: make_certificates.py FOLDER NAME …; what is there is left."""

import sys
from pathlib import Path

from encaja.lab.authority import ensure, ensure_host

folder, names = Path(sys.argv[1]), sys.argv[2:]
authority = ensure(folder, "Acme Root")
for name in names:
    if ensure_host(folder, authority, name):
        print(name)
