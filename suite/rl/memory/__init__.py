"""Memory that a step of RL holds at a real geometry, projected with tensors that hold no values."""
