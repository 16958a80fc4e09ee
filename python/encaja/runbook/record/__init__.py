"""What a pass leaves behind: the journal, the state of every step, and the files of a move."""
