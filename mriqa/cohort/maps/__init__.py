"""Brain masks and tissue maps that the user already has: which files are whose."""
