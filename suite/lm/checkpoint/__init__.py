"""Published models, from a package or a stranger's folder, checked before anything of them is believed."""
