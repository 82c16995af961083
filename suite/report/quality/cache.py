"""Arms by the bytes that they cache: a latent beside grouped heads of its size, and lines through a variant's sizes.

Whether a narrow cache loses detail is one question, whether MLA's loses more than another of its size is the other.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from suite.records import numbers
from suite.report.blocks import Kind, Table, Text, say
from suite.report.model.experiment import grouped, judged
from suite.report.model.labels import Style, rank, variant_label
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import Axis
from suite.report.plot.scales import byte_axis
from suite.report.quality import design
from suite.report.quality.design import QualityArm, QualityContrast, QualityExperiment
from suite.report.quality.layout import bytes_text, share_columns, variant_facet
from suite.report.table import Column, column, table

LARGEST_RATIO = 1.5
"""Caches that differ by more are not compared."""
EQUAL_RATIO = 1.05
"""Up to here two caches count as equal: sizes are whole numbers."""


def at_nearest_cache(
    experiment: QualityExperiment, kinds: Sequence[str] = (design.ALL,), *, by_loss: bool = False
) -> list[QualityContrast]:
    """Compare every latent with the grouped heads of the nearest cache, or several as near; all of them together."""
    sized = [arm for arm in experiment.arms if design.cache_bytes(arm)]
    heads = [arm for arm in sized if not design.is_latent(arm)]
    pairs = []
    for latent in filter(design.is_plain_mla, sized):
        distances = {arm: abs(math.log(cache_ratio(latent, arm))) for arm in heads}
        least = min(distances.values(), default=math.inf)
        if least <= math.log(LARGEST_RATIO):
            pairs += [(latent, arm) for arm, distance in distances.items() if distance <= least + 1e-9]
    return judged(design.compared(*pair, kind, by_loss=by_loss) for pair in pairs for kind in kinds)


def cache_ratio(arm: QualityArm, other: QualityArm) -> float:
    """The bytes that the other arm caches over this one's."""
    return (design.cache_bytes(other) or math.nan) / (design.cache_bytes(arm) or math.nan)


def is_same_cache(pair: QualityContrast) -> bool:
    """Whether both arms cache as much."""
    return abs(math.log(cache_ratio(pair.arm, pair.other))) <= math.log(EQUAL_RATIO)


def nearest_table(
    key: str, pairs: Iterable[QualityContrast], about: Sequence[Column[QualityContrast]], **more: Any
) -> Table:
    """Lay out comparisons at the nearest cache. `about`: the columns that say which tasks or tiers they are of."""
    names: list[Column[QualityContrast]] = [
        column("quality.latent", lambda pair: pair.arm.name),
        column("quality.against", lambda pair: pair.other.name),
    ]
    caches: list[Column[QualityContrast]] = [
        column("quality.bytes", lambda pair: design.cache_bytes(pair.arm), bytes_text),
        column("quality.bytes_over", _times_as_wide, kind=Kind.NUMBER),
    ]
    columns = [*names, *about, *share_columns("quality.answered", "quality.other_answered"), *caches]
    return table(say(key), pairs, columns, family=say(key), note=say(f"{key}_note"), **more)


def _times_as_wide(pair: QualityContrast) -> str:
    return "=" if is_same_cache(pair) else numbers.times(cache_ratio(pair.arm, pair.other))


@dataclass(frozen=True, kw_only=True)
class SizeLine:
    """Sizes of one variant that a figure joins."""

    arms: Sequence[QualityArm]
    """From the narrowest cache to the widest."""
    ordinal: int
    """Which line of its variant it is."""

    @property
    def name(self) -> Text:
        first = self.arms[0]
        if len(self.arms) == 1:
            return first.name
        name = design.without_parts(variant_label(first.first.attention), first)
        size = "rank" if design.is_latent(first) else "groups" if self._has_groups else "width"
        return say(f"quality.line.{size}", name=name) if size != "width" or self._has_widths else name

    @property
    def _has_groups(self) -> bool:
        return any(arm.value(design.KV_HEADS) for arm in self.arms)

    @property
    def _has_widths(self) -> bool:
        return any(not arm.first.is_wide for arm in self.arms)

    def size_of(self, arm: QualityArm) -> str:
        """What tells an arm from the others of the line, if there are any."""
        if len(self.arms) == 1:
            return ""
        if design.is_latent(arm):
            return str(design.latent_rank(arm) or "")
        width = arm.value(design.HEAD_DIM) or arm.first.setting(design.HEAD_DIM)
        sizes = [arm.value(design.KV_HEADS) if self._has_groups else "", width if self._has_widths else ""]
        return "×".join(filter(None, sizes))

    def series(self, points: Mapping[QualityArm, Point], mode: str, **more: Any) -> Series:
        """Its series of the arms that have a point, each with its size beside it."""
        first = self.arms[0]
        return size_series(
            self.name,
            [replace(points[arm], text=self.size_of(arm)) for arm in self.arms if arm in points],
            first.style,
            # Marks of a latent and of grouped heads often lie on each other.
            names_at="top center" if design.is_latent(first) else "bottom center",
            ordinal=self.ordinal,
            mode=mode,
            facets=variant_facet(first),
            more=more,
        )


def size_series(
    name: Text, points: Sequence[Point], style: Style, *, names_at: str, more: Mapping[str, Any], **looks: Any
) -> Series:
    """A line over cache bytes whose points have their sizes beside them. `looks`: anything else of a Series."""
    names = {"textposition": names_at, "textfont": {"size": 10, "color": style.colour}, "cliponaxis": False}
    return Series(name=name, points=points, style=style, more={**names, **more}, **looks)


def lines_of(arms: Iterable[QualityArm]) -> list[SizeLine]:
    """Group arms of one variant that lack the same parts, in the order of variants."""
    by_size = sorted(arms, key=lambda arm: design.cache_bytes(arm) or 0.0)
    alike = grouped(by_size, lambda arm: (arm.first.attention, *map(arm.value, (design.ROPE_DIM, design.LATENT_NORM))))
    keys = sorted(alike, key=lambda key: (rank(key[0]), key))
    variants = [key[0] for key in keys]
    ordinals = [variants[:place].count(variant) for place, variant in enumerate(variants)]
    return [SizeLine(arms=alike[key], ordinal=ordinal) for key, ordinal in zip(keys, ordinals, strict=True)]


def bytes_axis(arms: Iterable[QualityArm]) -> Axis:
    """An axis of cache bytes of arms that say theirs."""
    return byte_axis(say("quality.axis.bytes"), [design.cache_bytes(arm) or 1.0 for arm in arms])
