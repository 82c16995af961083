"""Pairs of arms that keep as much of a token: a latent against grouped heads at equal, or nearest, cache bytes.

Whether a narrow cache loses detail is one question, whether MLA's loses more than another of its size is the other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from suite.report.quality_runs import Arm, Study

LARGEST_RATIO = 1.5
"""Caches that differ by more are no pair."""
EQUAL_RATIO = 1.05
"""Up to here two caches count as equal: sizes are whole numbers."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    latent: Arm
    grouped: Arm

    @property
    def ratio(self) -> float:
        """The grouped heads' bytes over the latent's."""
        return (self.grouped.cache_bytes or math.nan) / (self.latent.cache_bytes or math.nan)

    @property
    def is_equal(self) -> bool:
        return _distance(self.latent, self.grouped) <= math.log(EQUAL_RATIO)


def pairs_of(study: Study) -> list[Pair]:
    """For each latent the grouped heads with the nearest cache; several where they are as near."""
    known = [arm for arm in study.arms if arm.cache_bytes]
    grouped = [arm for arm in known if not arm.is_latent]
    return [
        Pair(latent=latent, grouped=arm)
        for latent in known
        if latent.is_latent and latent.is_plain
        for arm in _nearest(latent, grouped)
    ]


def _nearest(latent: Arm, grouped: Sequence[Arm]) -> list[Arm]:
    least = min((_distance(latent, arm) for arm in grouped), default=math.inf)
    if least > math.log(LARGEST_RATIO):
        return []
    return [arm for arm in grouped if _distance(latent, arm) <= least + 1e-9]


def _distance(one: Arm, other: Arm) -> float:
    return abs(math.log((one.cache_bytes or math.nan) / (other.cache_bytes or math.nan)))
