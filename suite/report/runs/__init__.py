"""The chapter on the runs themselves: coverage, power, disturbances, origin of the numbers."""
