"""The chapter on quality: decoders trained from nothing, and a real model with a smaller cache."""
