"""Writing the carried records into the box, one module for each kind of record."""
