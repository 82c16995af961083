"""Rotary frequencies, plain and scaled for long contexts.

Su et al. (arXiv 2104.09864) for the plain ones; YaRN (Peng et al., arXiv 2309.00071) as DeepSeek-V2 and V3 apply it;
Llama 3.1's own rule. Scaling changes frequencies at every position, so a model that ships with it always uses it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.configuration.values import one_of, positive_number


@dataclass(frozen=True, kw_only=True)
class Yarn:
    factor: float
    original_max_position: float
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float = 1.0
    mscale_all_dim: float = 0.0
    truncate: bool = True
    """The ramp's ends are whole pairs."""

    def frequencies(self, plain: list[float], theta: float) -> list[float]:
        """Keep fast pairs, slow down slow ones by the factor, and blend with a ramp over the pairs between."""
        width = 2 * len(plain)
        # The pairs, as fractions, that turn so often over the original length.
        low, high = (
            width * math.log(self.original_max_position / (turns * 2 * math.pi)) / (2 * math.log(theta))
            for turns in (self.beta_fast, self.beta_slow)
        )
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, width - 1)
        # Equal bounds would divide by zero; the published implementations widen them by the same small step.
        span = high - low or 0.001
        slowed = [min(max((pair - low) / span, 0.0), 1.0) for pair in range(len(plain))]
        return [f / self.factor * share + f * (1 - share) for f, share in zip(plain, slowed, strict=True)]

    @property
    def rotation_factor(self) -> float:
        """Factor on cosines and sines."""
        return self._temperature(self.mscale) / self._temperature(self.mscale_all_dim)

    @property
    def score_factor(self) -> float:
        """Factor on the softmax scale."""
        return self._temperature(self.mscale_all_dim) ** 2

    def _temperature(self, mscale: float) -> float:
        return 1.0 if self.factor <= 1 else 0.1 * mscale * math.log(self.factor) + 1.0


@dataclass(frozen=True, kw_only=True)
class Llama3:
    factor: float
    original_max_position: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    rotation_factor: float = 1.0
    score_factor: float = 1.0

    def frequencies(self, plain: list[float], theta: float) -> list[float]:
        """Keep waves that turn often within the original length, slow down long ones, and blend between."""
        scaled, span = [], self.high_freq_factor - self.low_freq_factor
        for frequency in plain:
            turns = self.original_max_position * frequency / (2 * math.pi)
            # Equal factors leave nothing between, as Llama 4 Scout's do.
            share = (turns - self.low_freq_factor) / span if span else float(turns > self.low_freq_factor)
            share = min(max(share, 0.0), 1.0)
            scaled.append((1 - share) * frequency / self.factor + share * frequency)
        return scaled


@dataclass(frozen=True, kw_only=True)
class Rope:
    theta: float
    scaling: Yarn | Llama3 | None = None

    def frequencies(self, width: int) -> list[float]:
        """Radians a position for each of the `width / 2` pairs."""
        plain = [self.theta ** (-2 * pair / width) for pair in range(width // 2)]
        return plain if self.scaling is None else self.scaling.frequencies(plain, self.theta)

    @property
    def rotation_factor(self) -> float:
        """Factor on cosines and sines."""
        return 1.0 if self.scaling is None else self.scaling.rotation_factor

    @property
    def score_factor(self) -> float:
        """Factor on the softmax scale."""
        return 1.0 if self.scaling is None else self.scaling.score_factor


SCALINGS: Mapping[str, Any] = {"yarn": Yarn, "llama3": Llama3}


def rope_from(settings: Mapping[str, Any], where: str) -> Rope:
    """The rotary embedding of a geometry's `rope_theta` and `rope_scaling`. Raises ValueError for wrong ones."""
    theta = positive_number(settings, "rope_theta", where=where)
    scaling = settings.get("rope_scaling")
    if scaling is None:
        return Rope(theta=theta)
    inside = f"{where}rope_scaling."
    kind = SCALINGS[one_of({"type": None, **scaling}, "type", SCALINGS, where=inside)]
    sizes = {name: positive_number(scaling, name, where=inside) for name in scaling if name not in ("type", "truncate")}
    if "truncate" in scaling:
        sizes["truncate"] = one_of(scaling, "truncate", (True, False), where=inside)
    try:
        return Rope(theta=theta, scaling=kind(**sizes))
    except TypeError as error:
        raise ValueError(f"{inside.rstrip('.')} does not fit its type ({error})") from error
