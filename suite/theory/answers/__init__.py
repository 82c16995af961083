"""Questions that closed forms answer: what fits, what is chosen, who wins where, what was published."""
