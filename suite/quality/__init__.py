"""Does a variant lose detail? Small decoders that are asked about what stands before, and a real model compressed."""
