"""Statistics of readings: intervals, paired comparisons, learning curves, scores; each with its source."""
