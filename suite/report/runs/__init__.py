"""The chapter on the runs themselves: coverage, power, disturbances, the gate's judgements, origin of the numbers."""
