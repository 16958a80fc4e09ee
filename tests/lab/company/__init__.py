"""Stand-in: fills a cloud portal with a plausible company, the same one for the same seed.

Rows go straight into MariaDB in large inserts and small real files go under ``upload/``, so that thousands of records
take seconds. It runs where the portal's tree and database are, with nothing but Python 3.11 and PyMySQL.
"""
