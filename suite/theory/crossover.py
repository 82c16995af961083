"""The crossover: the number of new tokens from which a server should re-expand MLA's latent instead of absorbing.

Absorbing does more work for every query-key pair, re-expanding does its extra work once for every token of the context:
few new tokens favour the first, many the second. Both modes have the same weights and the same outputs.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

from suite.theory.attention_plan import ELEMENT_BYTES
from suite.theory.geometry import Geometry, load_geometry
from suite.theory.hardware import load_hardware
from suite.theory.latent_shapes import absorbed_shape, reexpanded_shape
from suite.theory.roofline import Ceilings
from suite.theory.shapes import LayerShape, Pass, layer_bytes, layer_flops

Cost = Callable[[LayerShape, Pass], float]


def flops_crossover(geometry: Geometry, *, seq_len: int, tp: int = 1, **sizes: int | None) -> int | None:
    """Return the fewest new tokens at which re-expanding takes fewer FLOPs of the whole layer, under the causal mask.

    `sizes`: MLA's, as the variant's YAML sets them. None where it takes no fewer up to `seq_len`.
    """
    return _first_cheaper(geometry, layer_flops, tp=tp, sizes=sizes, batch=1, seq_len=seq_len, element_bytes=1)


def roofline_crossover(
    geometry: Geometry,
    ceilings: Ceilings,
    *,
    seq_len: int,
    element_bytes: int,
    batch: int = 1,
    tp: int = 1,
    **sizes: int | None,
) -> int | None:
    """Return the fewest new tokens at which the least time of the whole layer is shorter when re-expanding, or None."""

    def bound_s(shape: LayerShape, forward: Pass) -> float:
        return ceilings.bound_s(flops=layer_flops(shape, forward), traffic_bytes=layer_bytes(shape, forward))

    return _first_cheaper(
        geometry, bound_s, tp=tp, sizes=sizes, batch=batch, seq_len=seq_len, element_bytes=element_bytes
    )


def _first_cheaper(
    geometry: Geometry,
    cost: Cost,
    *,
    tp: int,
    sizes: dict[str, Any],
    batch: int,
    seq_len: int,
    element_bytes: int,
) -> int | None:
    absorbed, reexpanded = absorbed_shape(geometry, tp=tp, **sizes), reexpanded_shape(geometry, tp=tp, **sizes)

    def is_cheaper(query_len: int) -> bool:
        forward = Pass(batch=batch, query_len=query_len, seq_len=seq_len, element_bytes=element_bytes)
        return cost(reexpanded, forward) < cost(absorbed, forward)

    # Bisection, since once re-expanding is cheaper it stays so: a test tries every number.
    counts = range(1, seq_len + 1)
    at = bisect_left(counts, True, key=is_cheaper)
    return counts[at] if at < len(counts) else None


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """The range in which the ratio of two costs passes 1. An open end: it does not within what was tried."""

    low: int | None
    at: float | None
    high: int | None


def bracket(ratios: Sequence[tuple[int, float]]) -> Bracket | None:
    """Return where re-expanding's time over absorbing's falls below 1, straight on logarithmic axes.

    Noise can make it pass several times: the middle one counts then, and the bracket holds them all. None where it
    rises instead.
    """
    first, last = ratios[0], ratios[-1]
    if last[1] >= 1:
        return None if first[1] < 1 else Bracket(low=last[0], at=None, high=None)
    if first[1] < 1:
        return Bracket(low=None, at=None, high=first[0])
    passing = [both for both in pairwise(ratios) if (both[0][1] < 1) != (both[1][1] < 1)]
    (low, above), (high, below) = passing[len(passing) // 2]
    share = math.log(above) / (math.log(above) - math.log(below))
    return Bracket(low=passing[0][0][0], at=low * (high / low) ** share, high=passing[-1][1][0])


def specified_crossovers(
    geometries: Iterable[str], devices: Iterable[str], contexts: Iterable[int], dtype: str
) -> list[tuple[str, str, int, int | None, int | None]]:
    """Return device, geometry, context, and both crossovers of known models on devices that have the dtype."""
    found = []
    for name, device, tokens in product(geometries, devices, contexts):
        geometry, ceilings = load_geometry(name), load_hardware(device).ceilings(dtype)
        assert ceilings is not None, device
        bound = roofline_crossover(geometry, ceilings, seq_len=tokens, element_bytes=ELEMENT_BYTES[dtype])
        found.append((device, name, tokens, flops_crossover(geometry, seq_len=tokens), bound))
    return found
