"""Everything that would stop a move, named at once and before anything is changed."""
