"""Sources that watch the machine while a case runs, and the thread of the parent that samples them."""
