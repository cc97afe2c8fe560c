"""`mriqa run`: one run on a results folder, from the index to the last words."""
