"""One file a command: it reads what was typed, asks the package that does the work, and returns an exit code."""
