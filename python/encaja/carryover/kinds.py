"""The kinds of records that are written one by one."""

from __future__ import annotations

from encaja.carryover.activities import Activities
from encaja.carryover.parts import Part
from encaja.carryover.requisites import BankDetails, Requisites
from encaja.carryover.tasks import Tasks
from encaja.carryover.work import Work


def parts_of(work: Work) -> tuple[Part, ...]:
    """One of each, in the order in which they refer to each other."""
    return (Requisites(work), BankDetails(work), Activities(work), Tasks(work))
