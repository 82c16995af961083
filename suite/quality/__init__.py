"""Does a variant lose detail? Small decoders that answer questions about their context, and a real model compressed."""
