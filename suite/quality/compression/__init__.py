"""A published model's KV cache made smaller without training: the loss, by kinds of words, on held-out plays."""
