"""What a decoder is asked, a file each: a class, and a YAML in conf/task that names it."""
