"""Stages of a recipe, found by the name of their file: a function `begin` in each."""
