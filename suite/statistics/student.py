"""Student's t and the chi-square distribution with a whole number of degrees of freedom, without scipy.

For whole degrees each is a finite sum of positive terms (Abramowitz and Stegun, Handbook of Mathematical Functions,
26.7.3 and 26.7.4, 26.4.4 and 26.4.5), so nothing is approximated: what is left is rounding, about 1e-15 of the
probability.
"""

import math
from functools import lru_cache


def t_within(t: float, freedom: int) -> float:
    """P(|T| <= |t|). Raises ValueError for degrees of freedom below 1 or a t that is no number."""
    if freedom < 1 or math.isnan(t):
        raise ValueError(f"freedom must be at least 1 and t a number; got {freedom} and {t}")
    angle = math.atan2(abs(t), math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    # The terms' ratios are 1/2, 3/4, 5/6 … of cos² for even degrees and 2/3, 4/5, 6/7 … for odd ones.
    is_odd = freedom % 2
    term = cosine if is_odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + is_odd, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    within = 2 / math.pi * (angle + sine * total) if is_odd else sine * total
    return min(within, 1.0)


def t_above(t: float, freedom: int) -> float:
    """P(T > t), the one-sided p of an observed t."""
    half = (1 - t_within(t, freedom)) / 2
    return half if t >= 0 else 1 - half


@lru_cache  # a judgement asks the same few of each of its benchmarks
def t_quantile(probability: float, freedom: int) -> float:
    """The t with P(T <= t) = probability. Raises ValueError unless the probability is above 0 and below 1."""
    if not 0 < probability < 1:
        raise ValueError(f"probability must be between 0 and 1; got {probability!r}")
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    within = 2 * probability - 1  # by bisection: a few dozen halvings reach the last bit
    low, high = 0.0, 1.0
    while t_within(high, freedom) < within and high < 1e300:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if t_within(middle, freedom) < within else (low, middle)
    return high


def chi_square_above(value: float, freedom: int) -> float:
    """P(chi-square > value). Raises ValueError for degrees of freedom below 1 or a value below 0."""
    if freedom < 1 or not value >= 0:
        raise ValueError(f"freedom must be at least 1 and value at least 0; got {freedom} and {value}")
    half, is_odd = value / 2, freedom % 2
    total = math.erfc(math.sqrt(half)) if is_odd else 0.0
    term = math.exp(-half) * (2 * math.sqrt(half / math.pi) if is_odd else 1.0)
    for k in range(freedom // 2):
        total += term
        term *= half / (k + 1.5 if is_odd else k + 1)
    return min(total, 1.0)
