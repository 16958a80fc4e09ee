"""From the cloud's records to the box's: kinds, identifiers, values, and the form in which both are compared."""
