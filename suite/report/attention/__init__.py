"""The chapter on attention: speed, memory and energy of variants, beside their machine's limits. A section a file."""
