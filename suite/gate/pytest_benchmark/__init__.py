"""Any project's pytest-benchmark suite, two revisions of it side by side, each run by the project's own Python."""
