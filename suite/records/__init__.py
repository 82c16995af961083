"""Runs on the disk: what a case is called, what its record and readings hold, and how they are written and read.

What is read may be a stranger's: it is bounded and checked, never run, and damage is named. New runs are folders; a
`runs.zip` stands for many of them. `aliases` holds the old names under which records are still read.
"""
