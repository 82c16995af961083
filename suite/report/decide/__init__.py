"""The chooser on the page: the data that its script computes from."""
