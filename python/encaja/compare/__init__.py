"""Two environments side by side: what differs, what has to differ, and nothing of what is secret."""
