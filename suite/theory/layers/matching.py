"""Matching of variants by a quantity held equal, so that a comparison is fair: heads, parameters or cache.

- heads: the same hidden width and number of heads; nothing is changed.
- params: the number of heads moves, at fixed head width, until the layer has nearly as many parameters as MHA on the
  same geometry (as the TPA paper does, arXiv 2501.06425).
- cache: the one size that sets a variant's cache (`cache_size` in its YAML) moves until a token leaves nearly as many
  elements as the published model's own attention does.

Counts are whole, so a residual remains. It is kept in the record, and a match that misses by more than LARGEST_RESIDUAL
is refused.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from suite.theory.layers.geometry import Geometry
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.shapes import LayerShape, grouped_shape

MATCHES = ("heads", "params", "cache")
LARGEST_RESIDUAL = 0.15
MOST_TIMES_THE_HEADS = 4
"""The most heads that `params` tries: MQA needs twice MHA's."""

BuildShape = Callable[..., LayerShape]


class UnmatchedError(Exception):
    """Right in itself, but no size of this variant comes near enough; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Match:
    shape: LayerShape
    residual: float | None = None
    """Share by which the matched quantity misses its target; None where nothing was moved."""
    described: str | None = None


def match_shape(
    match: str, build: BuildShape, geometry: Geometry, *, tp: int, cache_size: str | None, sizes: Mapping[str, Any]
) -> Match:
    """Lay a variant over a geometry under one of MATCHES. `build` is the variant's shape function.

    Raises ValueError for wrong sizes, UnmatchedError where there is no match.
    """
    if match == "params":
        return _by_parameters(build, geometry, tp, sizes)
    if match == "cache":
        return _by_cache(build, geometry, tp, cache_size, sizes)
    return Match(shape=build(geometry, tp=tp, **sizes))


def _by_parameters(build: BuildShape, geometry: Geometry, tp: int, sizes: Mapping[str, Any]) -> Match:
    """The variant with the number of heads, at fixed width, that brings its parameters nearest to MHA's."""
    target = grouped_shape(geometry, kv_heads="all").parameter_count
    counts: dict[int, int] = {}
    for heads in range(tp, MOST_TIMES_THE_HEADS * geometry.num_heads + 1, tp):
        try:
            counts[heads] = build(replace(geometry, num_heads=heads), **sizes).parameter_count
        except ValueError:  # these heads do not divide into the variant's groups
            continue
    if not counts:  # then it is wrong in itself, and is refused as it stands
        build(geometry, tp=tp, **sizes)
    heads = min(counts, key=lambda heads: abs(counts[heads] - target))
    residual = counts[heads] / target - 1
    described = f"heads {geometry.num_heads} → {heads} at fixed width: {residual:+.1%} of MHA's parameters"
    return _match_if_near(build(replace(geometry, num_heads=heads), tp=tp, **sizes), residual, described)


def _by_cache(
    build: BuildShape, geometry: Geometry, tp: int, cache_size: str | None, sizes: Mapping[str, Any]
) -> Match:
    """The variant with the `cache_size` that brings a token's cached elements nearest to the published model's."""
    if cache_size is None:
        raise UnmatchedError("match=cache needs a size that sets the variant's cache, and this variant has none")
    if sizes.get(cache_size) is not None:
        raise ValueError(f"match=cache sets attention.{cache_size} itself; got {sizes[cache_size]}")
    published = (
        absorbed_shape(geometry) if geometry.is_latent else grouped_shape(geometry, kv_heads=geometry.num_kv_heads)
    )
    target = published.cache_elements_per_token

    def lay(size: int, tp: int = 1) -> LayerShape:
        return build(geometry, tp=tp, **{**sizes, cache_size: size})

    def cached_elements(size: int) -> int:
        return lay(size).cache_elements_per_token

    choices = _candidate_sizes(cache_size, geometry, target, sizes)
    # A cache grows with its size.
    at = bisect_left(choices, target, key=cached_elements)
    size = min(choices[max(0, at - 1) : at + 1], key=lambda size: abs(cached_elements(size) - target))
    residual = cached_elements(size) / target - 1
    described = f"{cache_size} set to {size}: {residual:+.1%} of the {target:,} elements that the model itself keeps"
    return _match_if_near(lay(size, tp), residual, described)


def _candidate_sizes(cache_size: str, geometry: Geometry, target: int, sizes: Mapping[str, Any]) -> Sequence[int]:
    """The values of `cache_size` to choose from, ascending. For `kv_heads` all divisors of the geometry's heads. Other
    sizes are multiples of the number of latents, up to `target`: each unit of such a size is at least one cached
    element."""
    if cache_size == "kv_heads":
        return [groups for groups in range(1, geometry.num_heads + 1) if geometry.num_heads % groups == 0]
    least = sizes.get("latent_heads", 1)  # latents are equally wide
    return range(least, target + 1, least)


def _match_if_near(shape: LayerShape, residual: float, described: str) -> Match:
    """The match. Raises UnmatchedError, quoting `described`, if |residual| is above LARGEST_RESIDUAL."""
    if abs(residual) > LARGEST_RESIDUAL:
        raise UnmatchedError(f"the nearest match misses by more than {LARGEST_RESIDUAL:.0%} ({described})")
    return Match(shape=shape, residual=residual, described=described)
