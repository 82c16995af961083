"""Judgements of many commits: losses that every pairwise comparison let pass, and the commits that they came with."""
