"""The chapter on the runs themselves: coverage, power, disturbances, the gate's judgements and the origin of numbers."""
