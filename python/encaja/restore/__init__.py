"""The vendor's backup archive: reading it, proving it, fetching it and restoring it."""
