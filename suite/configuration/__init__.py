"""The YAML below conf/, read without Hydra, and values of settings, read or refused."""
