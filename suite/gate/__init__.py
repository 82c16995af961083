"""The performance gate: it judges a change by two revisions side by side or by stored records, and refuses what is
slower, larger or other."""
