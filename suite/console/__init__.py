"""The terminal's view of cases, while they run and after: progress, tables, comparisons; one file a workload."""
