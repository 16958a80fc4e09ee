"""Running a pass: the conductor, its attempts, the commands that it starts, and the gates where it waits."""
