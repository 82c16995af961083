"""Whether a run can be true: what no machine can have given, and what was copied."""
