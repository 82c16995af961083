"""The performance gate: it judges a change by two revisions side by side, and refuses what is slower or worse."""
