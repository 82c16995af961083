"""Runs where they are kept: in folders, in packs of a folder's runs, and in archives."""
