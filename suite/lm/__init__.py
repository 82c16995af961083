"""Small language models of the suite's own attention layers: decoder, sampling, scoring, training, LoRA."""
