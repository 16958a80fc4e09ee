"""The kinds of records that are written one by one."""

from __future__ import annotations

from encaja.carryover.context import Context
from encaja.carryover.records.activities import Activities
from encaja.carryover.records.base import RecordKind
from encaja.carryover.records.requisites import BankDetails, Requisites
from encaja.carryover.records.tasks import Tasks


def record_kinds(context: Context) -> tuple[RecordKind, ...]:
    """One of each, in the order in which they refer to each other."""
    return (Requisites(context), BankDetails(context), Activities(context), Tasks(context))
