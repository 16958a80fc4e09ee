"""Stand-in: writes backups in the vendor's archive format, from a live document root and a live MariaDB.

The format is described in the project's facts about the vendor's product (chapter 1) and is checked field by field
against archives that the vendor's own writer made. Runs from plain files on a lab host with Debian packages only
(`python3-pymysql` for the dump, `python3-cryptography` for encryption).
"""
