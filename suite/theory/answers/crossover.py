"""The crossover: the number of new tokens from which a server should re-expand MLA's latent instead of absorbing.

Absorbing does more work for every query-key pair, re-expanding does its extra work once for every token of the context:
few new tokens favour the first, many the second. Both modes have the same weights and the same outputs.

By the bound both compute at the peak. Good kernels do not, and not equally: what is expected of them stands beside it.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise, product
from typing import Any

from suite.theory.devices.calibration import (
    DTYPE,
    EXPANDED,
    GQA,
    MLA,
    Calibration,
    Expected,
    decode_kernel,
    interpolated,
)
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.devices.hardware import load_hardware
from suite.theory.layers.algebra import Pass
from suite.theory.layers.attention_plan import ELEMENT_BYTES
from suite.theory.layers.geometry import Geometry, load_geometry
from suite.theory.layers.latent_shapes import AbsorbedShape, absorbed_shape, reexpanded_shape
from suite.theory.layers.roofline import Ceilings
from suite.theory.layers.shapes import LayerShape, grouped_shape, kernel_work, layer_work

Cost = Callable[[LayerShape, Pass], float]


def flops_crossover(geometry: Geometry, *, seq_len: int, tp: int = 1, **sizes: int | None) -> int | None:
    """The fewest new tokens at which re-expanding takes fewer FLOPs of the whole layer, under the causal mask.

    `sizes`: MLA's, as the variant's YAML sets them. None where it takes no fewer up to `seq_len`.
    """
    step = Pass(batch=1, query_len=1, seq_len=seq_len, element_bytes=1)
    return _first_cheaper(geometry, lambda shape, forward: layer_work(shape, forward).flops, step, tp, sizes)


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
    """The fewest new tokens at which the least time of the whole layer is shorter when re-expanding, or None."""

    def bound_s(shape: LayerShape, forward: Pass) -> float:
        return ceilings.bound_s(**asdict(layer_work(shape, forward)))

    step = Pass(batch=batch, query_len=1, seq_len=seq_len, element_bytes=element_bytes)
    return _first_cheaper(geometry, bound_s, step, tp, sizes)


def expected_crossover(geometry: Geometry, calibration: Calibration, *, seq_len: int) -> int | None:
    """The fewest new tokens at which re-expanding the whole layer is expected to take less time, or None.

    None too where nothing is known of either mode at this context. Re-expanding's kernel is taken to read as MHA's of
    as many heads, to compute at the share of the peak that a prefill of as long a prompt reaches, and to have
    absorbing's floor: simplifications, since nobody measured it with so few new tokens.
    """
    shares = calibration.prefill.get(EXPANDED, {})
    step = Pass(batch=1, query_len=1, seq_len=seq_len, element_bytes=ELEMENT_BYTES[DTYPE])
    # One new token of one sequence may take less than anything that was fitted; where the modes cross, none does.
    is_known = calibration.expected_layer(absorbed_shape(geometry), replace(step, batch=1024), DTYPE) is not None
    if not is_known or not calibration.has(GQA) or not shares or seq_len < min(shares):
        return None
    latent, mha = map(decode_kernel, (absorbed_shape(geometry), grouped_shape(geometry, kv_heads="all")))
    assert latent is not None
    assert mha is not None
    rates = Ceilings(
        flops_per_s=calibration.ceilings.flops_per_s * interpolated(shares, seq_len),
        bytes_per_s=calibration.ceilings.bytes_per_s * calibration.nearest(mha).share,
    )
    floor_s = calibration.nearest(latent).floor_s

    def expected_s(shape: LayerShape, forward: Pass) -> float:
        work = kernel_work(shape, forward)
        if isinstance(shape, AbsorbedShape):
            around, kernel = MLA, calibration.decoded_shape(shape, forward)
        else:
            kernel_s = floor_s + rates.bound_s(**asdict(work))
            around, kernel = EXPANDED, Expected(seconds=kernel_s, low=None, high=None, family=EXPANDED)
        rest = asdict(layer_work(shape, forward) - work)
        layer = calibration.with_rest(kernel, around=around, rows=forward.tokens, **rest)
        assert layer is not None
        return layer.seconds

    return _first_cheaper(geometry, expected_s, step, 1, {})


def _first_cheaper(geometry: Geometry, cost: Cost, step: Pass, tp: int, sizes: Mapping[str, Any]) -> int | None:
    """The fewest new tokens at which re-expanding costs less than absorbing; None up to the whole context. `step`: the
    pass with one new token."""
    absorbed, reexpanded = absorbed_shape(geometry, tp=tp, **sizes), reexpanded_shape(geometry, tp=tp, **sizes)

    def is_cheaper(query_len: int) -> bool:
        forward = replace(step, query_len=query_len)
        return cost(reexpanded, forward) < cost(absorbed, forward)

    # Bisection, since once re-expanding is cheaper it stays so: a test tries every number.
    counts = range(1, step.seq_len + 1)
    at = bisect_left(counts, True, key=is_cheaper)
    return counts[at] if at < len(counts) else None


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """The range in which the ratio of two costs passes 1. An open end: it does not within what was tried."""

    low: int | None
    at: float | None
    high: int | None


def bracket(ratios: Sequence[tuple[int, float]]) -> Bracket | None:
    """Where re-expanding's time over absorbing's falls below 1, straight on logarithmic axes.

    Noise can make it pass several times: the middle one counts then, and the bracket holds them all. None where it
    rises instead.
    """
    first, last = ratios[0], ratios[-1]
    if last[1] >= 1:
        return None if first[1] < 1 else Bracket(low=last[0], at=None, high=None)
    if first[1] < 1:
        return Bracket(low=None, at=None, high=first[0])
    passing = [pair for pair in pairwise(ratios) if (pair[0][1] < 1) != (pair[1][1] < 1)]
    (low, above), (high, below) = passing[len(passing) // 2]
    share = math.log(above) / (math.log(above) - math.log(below))
    return Bracket(low=passing[0][0][0], at=low * (high / low) ** share, high=passing[-1][1][0])


@dataclass(frozen=True, kw_only=True)
class SpecifiedCrossover:
    """The crossover of a known model on a known device: the fewest new tokens, or None."""

    device: str
    geometry: str
    tokens: int
    by_flops: int | None
    by_roofline: int | None
    expected: int | None
    """None also where the device has no calibration."""


def specified_crossovers(
    geometries: Iterable[str], devices: Iterable[str], contexts: Iterable[int]
) -> list[SpecifiedCrossover]:
    """The crossovers of known models on devices that have a bfloat16 peak."""
    crossovers = []
    for name, device, tokens in product(geometries, devices, contexts):
        geometry, ceilings = load_geometry(name), load_hardware(device).ceilings(DTYPE)
        assert ceilings is not None, device
        calibration = load_calibration(device)
        crossovers.append(
            SpecifiedCrossover(
                device=device,
                geometry=name,
                tokens=tokens,
                by_flops=flops_crossover(geometry, seq_len=tokens),
                by_roofline=roofline_crossover(geometry, ceilings, seq_len=tokens, element_bytes=ELEMENT_BYTES[DTYPE]),
                expected=None if calibration is None else expected_crossover(geometry, calibration, seq_len=tokens),
            )
        )
    return crossovers
