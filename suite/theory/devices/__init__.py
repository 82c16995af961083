"""What a device can do: its specification, and the times that good kernels were seen to take on it."""
