"""The report: records in, one page out. A folder is a chapter, a file a section. Needs neither torch nor Hydra."""
