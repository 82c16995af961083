"""Reinforcement learning of language models with exact rewards: one engine for PPO, GRPO and their kin.

Folders hold what is found by name: advantage estimators, policy losses, stages of a recipe, tasks; `memory` projects
what a step holds.
"""
