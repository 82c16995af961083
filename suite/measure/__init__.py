"""Measuring one case: devices and their clocks, workers, repeats, telemetry, energy; it knows no workload."""
