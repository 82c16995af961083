"""Duties of a command towards the processes around it: its streams, its exit codes and its signals."""
