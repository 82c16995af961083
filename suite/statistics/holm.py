"""Many tests at once: without a correction a gate of twenty benchmarks cries wolf twenty times as often as one."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order. Rejecting those below alpha keeps the chance of any false rejection
    at alpha or below.

    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979). It
    holds for dependent tests, and is never weaker than Bonferroni's.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
