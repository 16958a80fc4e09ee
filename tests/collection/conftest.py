"""What is built once for all of these tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from collection.installing import ROOT, UV, done


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The collection's tarball, and the wheel as it comes out of the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    galaxy = Path(sys.executable).with_name("ansible-galaxy")
    done(galaxy, "collection", "build", "--output-path", folder, ROOT, folder=folder)
    done(UV, "--system-certs", "build", "--no-build-isolation", "--python", sys.executable, "-o", folder, ROOT,
         folder=ROOT)  # fmt: skip
    (collection,), (wheel,) = folder.glob("encaja-portal-*.tar.gz"), folder.glob("*.whl")
    return {"collection": collection, "wheel": wheel}
