"""Runs on the disk: what a case is called, what its record and readings hold, and how they are written and read.

`machine/` says where a run was, `stores/` keeps it, `verify/` doubts it; beside them lie the nouns that all use.

What is read may be a stranger's: it is checked, never run, and damage is named. New runs are folders; a
`runs.zip` stands for many of them. `aliases` holds the old names under which records are still read.
"""
