"""Options that several modules have, documented once."""
