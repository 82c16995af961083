"""Runs where they are kept: in folders, in the tables of a closed sweep, and in archives."""
