"""The chapter on attention: speed, memory and energy of variants, beside the limits of their machine. A section a file."""
