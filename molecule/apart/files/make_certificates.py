"""A company's own authority, and certificates of it: make_certificates.py FOLDER NAME …; what is there is left."""

import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from encaja.certificates import Authority
from encaja.lab.authority import ensure

folder, names = Path(sys.argv[1]), sys.argv[2:]
folder.mkdir(parents=True, exist_ok=True)
ensure(folder, "Acme Root")
authority = Authority.load(str(folder / "ca.crt"), str(folder / "ca.key"))
for name in names:
    if not (folder / f"{name}.crt").exists():
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.crt").write_text(authority.issue(public, [name], 365))
        print(name)
