"""Reinforcement learning: what algorithms and recipes reach, what they spend, and what a step holds."""
