"""Records in, one page out: sections, tables and figures. Needs neither torch nor Hydra."""
