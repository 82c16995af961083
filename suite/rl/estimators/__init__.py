"""Advantage estimators, found by the name of their file: a function `advantages` in each."""
