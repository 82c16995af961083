"""One attention layer in its variants (MHA, GQA, MQA, MLA's modes), its references, and its check."""
