"""The kinds of records that are written one by one."""

from __future__ import annotations

from encaja.carryover.context import Work
from encaja.carryover.records.activities import Activities
from encaja.carryover.records.base import Part
from encaja.carryover.records.requisites import BankDetails, Requisites
from encaja.carryover.records.tasks import Tasks


def parts_of(work: Work) -> tuple[Part, ...]:
    """One of each, in the order in which they refer to each other."""
    return (Requisites(work), BankDetails(work), Activities(work), Tasks(work))
