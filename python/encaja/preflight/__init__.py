"""Everything that would stop a move, reported together before anything is changed."""
