"""Loading the archive's dump into the target database, each table exactly once."""
