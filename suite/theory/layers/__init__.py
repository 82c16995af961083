"""One attention layer and a model's layers, in closed forms: shapes, FLOPs, bytes, cache and parameters."""
