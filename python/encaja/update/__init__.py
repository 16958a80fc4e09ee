"""The vendor's updater, run on a portal that stays one switch away as it was before.

::

    trees/NAME, database ──(copied, proven)──► trees/NAME.before-STAMP, database_before_STAMP
          │                                              │ noted as the tree before, forced to the disk
          │ bitrix.php update:modules                    │
          ▼                                              ▼
    trees/NAME, updated ──(rollback: one rename of www)──► the portal as it was

The updater works in place, as the vendor means it: name, database, and what refers to them stay. The journal names the
phase, ``snapshot``, ``update`` or ``done``; a run that was stopped continues there, and never copies a portal that an
updater has begun to change.
"""
