"""Apache Otava as another detector of changes in stored values, where somebody has it: the extra `history`.

Its own defaults hold (Fleming et al., Hunter, https://doi.org/10.1145/3578244.3583719), so each series is judged by
itself: among many flat ones some show a change (`python tests/benchmarks/history.py`).
"""

import math
from collections.abc import Sequence

from suite.statistics.change_points import Change, steps_at


def otava_changes(series: Sequence[Sequence[float]]) -> list[list[Change]]:
    """Return the changes of each series of logarithms of values. Raises ValueError where otava is not installed."""
    try:
        from otava.analysis import compute_change_points
    except ImportError as error:
        raise ValueError(
            "--otava needs the package apache-otava, about 300 MB with what it brings: "
            "pip install 'mla-grpo-suite[history]'"
        ) from error
    return [
        steps_at(values, [point.index for point in compute_change_points([math.exp(value) for value in values])[0]])
        for values in series
    ]
