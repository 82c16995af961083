"""What a person sees in a terminal while cases run and once they have; one file a workload."""
