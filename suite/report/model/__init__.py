"""Records as experiments: runs, the arms that they repeat, and how both are called. Nothing here draws or speaks."""
