"""Hydra's settings of one case, or of every point of a sweep, composed, checked and named."""
