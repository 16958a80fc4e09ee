"""The vendor's backup archive: fetching, verifying and reading it, and restoring a portal from it.

A restore fetches, unpacks and loads at the same time, and touches nothing live before its last step.

::

    link, vendor's storage                                                     phase (module)
       or folder
          │  fetch/     several connections; a volume is verified on arrival,
          ▼             a bad one is fetched again                             prepare
    volume 0, 1, 2 …                                                           stream
          │  archive/   decrypt → gunzip → untar, one volume after the other     │
          ▼                                                                      │
    pipeline ── member_router ──┬── files ──────────► trees/STAMP/               │
          │                     │                                                │
          │ checkpoint at each  └── dump ── spool ──► N loaders ──► portal_STAMP │
          ▼ volume's end            (load/)  one file     one table each         ▼
    journal.json                             a table                           finish
                                                                                 │
    configure the tree, adjust the database, force both to the disk              │
                                                                                 ▼
    www ──(one rename)──► trees/STAMP, whose settings name portal_STAMP        switch

The journal names the phase. Whatever stops a run, the next one continues from the journal:

* **stream**: tree, spool and tar reader go back to the last checkpoint, the end of a volume. If the machine was
  restarted since, they go back to the last checkpoint that was forced to the disk. A volume that turns out bad while
  it is read takes them back in the same way.
* Rows are never taken back. The database keeps, in the same transaction as the rows, how many statements of a table
  are applied, and loaders only see statements of verified volumes.
* **finish** can be repeated as a whole. **switch** is one rename, noted in the history before it happens.
* A restore that is done only checks that link, tree, record and tables are still there.

``run`` holds what the phases share, ``coordinator`` calls them. ``archive`` knows nothing of the other packages;
``fetch`` and ``load`` use ``archive``, and not each other.
"""
