"""Published models, from a package or a folder. Nothing in a folder is run."""
