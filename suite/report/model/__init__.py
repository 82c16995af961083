"""Records as experiments: runs, the arms that they repeat, and the names of both. Nothing here draws or speaks."""
