"""The run-book: which step, whose, in which order, how long, and what came of it.

It starts playbooks and commands and never does a host's work itself. `load` reads the steps, `conductor` runs them,
`journal` remembers them, `forecast` and `report` read the journal.
"""
