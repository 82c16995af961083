"""One file a section; conf/report.yaml lists them in the page's order."""
