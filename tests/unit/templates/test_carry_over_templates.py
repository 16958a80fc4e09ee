"""The carry-over reads what a cloud sends: of root's rights it has only that to read."""

from __future__ import annotations


def test_the_carry_over_keeps_one_of_roots_rights(role) -> None:
    unit = role("carry_over", encaja_environment="test", host_tools_directory="/usr/local/lib/encaja")
    lines = unit.render("encaja-carry-over@.service.j2").splitlines()
    assert [line for line in lines if line.startswith("CapabilityBoundingSet")] == [
        "CapabilityBoundingSet=CAP_DAC_READ_SEARCH"
    ]
    assert {"NoNewPrivileges=yes", "ProtectSystem=strict", "RestrictSUIDSGID=yes", "PrivateDevices=yes"} <= set(lines)
