"""Launchers, which run the cases of a sweep somewhere: one file each, which a YAML of conf/launcher names."""
