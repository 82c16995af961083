"""Policy losses, found by the name of their file: a function `token_losses` in each."""
