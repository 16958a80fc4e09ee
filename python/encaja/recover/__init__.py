"""The portal as of any second that the backup's repository covers: into a tree and a database of their own, then live.

``plan`` chooses a dump, the logs after it and the files; ``binary_log`` cuts the logs at the moment and proves that
none is missing; ``database`` and ``files`` bring both back; ``commands`` are the host tools. What they read is shipped
by role backup (``nightly_backup``).
"""
