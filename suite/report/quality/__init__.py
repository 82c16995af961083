"""What variants keep and lose: decoders trained from nothing, and a real model with a smaller cache."""
