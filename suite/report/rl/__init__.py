"""The chapter on reinforcement learning: what algorithms and recipes reach and spend, and the memory of a step."""
