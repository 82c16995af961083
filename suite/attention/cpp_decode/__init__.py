"""The suite's own decode kernel for CPUs, in C++: `kernel.py` builds and calls it, and says how it works."""
