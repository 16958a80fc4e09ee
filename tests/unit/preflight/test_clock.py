"""The clocks of host and controller, however long the look took."""

import pytest

from ansible_collections.encaja.portal.plugins.action.preflight_host import clock_faults


@pytest.mark.parametrize(("clock", "off"), [(89.0, "-11"), (141.0, "+11")])
def test_a_clock_outside_the_look_is_named(clock: float, off: str) -> None:
    (fault,) = clock_faults(100.0, 130.0, clock, 5)
    assert fault["what"] == f"its clock is {off} s off the controller's"


@pytest.mark.parametrize("clock", [95.0, 100.0, 115.0, 130.0, 135.0])
def test_a_slow_look_is_no_difference(clock: float) -> None:
    assert clock_faults(100.0, 130.0, clock, 5) == []
