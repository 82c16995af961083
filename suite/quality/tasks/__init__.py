"""Tasks of workload=quality, a file each: a class, and a YAML in conf/task that names it."""
