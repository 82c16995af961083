"""Shares with intervals that hold for few trials and at 0 and 1, where "none seen" is not "never"."""

import math
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """A share of trials, in [0, 1], and the interval around it."""

    share: float
    low: float
    high: float
    successes: int
    trials: int


def wilson(successes: int, trials: int, level: float = 0.95) -> Proportion:
    """Wilson's score interval without continuity correction (Wilson 1927, JASA 22, 209–212). Raises ValueError unless 0
    <= successes <= trials, trials >= 1 and 0 < level < 1."""
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"successes must lie between 0 and trials, at least 1; got {successes} of {trials}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    # The bounds are 0 and 1 exactly there, which rounding would miss by 1e-17.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == trials else (centre + half) / scale
    return Proportion(share=share, low=low, high=high, successes=successes, trials=trials)
