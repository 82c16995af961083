"""A published model's KV cache made smaller without training: what is lost, by kinds of words, on held-out plays."""
