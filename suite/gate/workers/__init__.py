"""Processes that run the code of one revision: each by path, in that revision's Python, before anything of it."""
