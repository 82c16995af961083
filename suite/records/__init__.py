"""Runs on the disk: what a case is called, what its record and readings hold, and how they are written and read.

`stores/` keeps a run, `verify/` doubts it; beside them lie the nouns that all use.

What is read may be a stranger's: it is checked, never run, and damage is named. New runs are folders; the
tables of a closed sweep stand for many of them. `aliases` holds the old names under which records are still read.
"""
