"""Kernels that compute attention, a file each; every one refuses a problem that it does not compute."""
