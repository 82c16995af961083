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
from suite.report.model.labels import rank, variant_label
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import Axis
from suite.report.plot.scales import byte_axis
from suite.report.quality import design
from suite.report.quality.design import QualityArm, QualityContrast, QualityExperiment
from suite.report.quality.layout import bytes_text, runs_behind, share_columns, variant_facet
from suite.report.table import Column, column, table

LARGEST_RATIO = 1.5
"""Caches that differ by more are not compared."""
EQUAL_RATIO = 1.05
"""Up to here two caches count as equal: sizes are whole numbers."""
FAINTEST = 0.45


def at_nearest_cache(
    experiment: QualityExperiment, kinds: Sequence[str] = (design.ALL,), *, by_loss: bool = False
) -> list[QualityContrast]:
    """Compare every latent with the grouped heads of the nearest cache, or several as near; all of them together."""
    known = [arm for arm in experiment.arms if design.cache_bytes(arm)]
    heads = [arm for arm in known if not design.is_latent(arm)]
    pairs = []
    for latent in filter(design.is_plain_mla, known):
        distances = {arm: abs(math.log(cache_ratio(latent, arm))) for arm in heads}
        least = min(distances.values(), default=math.inf)
        if least <= math.log(LARGEST_RATIO):
            pairs += [(latent, arm) for arm, distance in distances.items() if distance <= least + 1e-9]
    return judged(design.compared(*pair, kind, by_loss=by_loss) for pair in pairs for kind in kinds)


def cache_ratio(arm: QualityArm, other: QualityArm) -> float:
    """Return the bytes that the other arm caches over this one's."""
    return (design.cache_bytes(other) or math.nan) / (design.cache_bytes(arm) or math.nan)


def is_same_cache(found: QualityContrast) -> bool:
    """Return whether both arms cache as much."""
    return abs(math.log(cache_ratio(found.arm, found.other))) <= math.log(EQUAL_RATIO)


CACHES: list[Column[QualityContrast]] = [
    column("quality.bytes", lambda found: design.cache_bytes(found.arm), bytes_text),
    column(
        "quality.bytes_over",
        lambda found: "=" if is_same_cache(found) else numbers.times(cache_ratio(found.arm, found.other)),
        kind=Kind.NUMBER,
    ),
]


def nearest_table(
    key: str, found: Iterable[QualityContrast], about: Sequence[Column[QualityContrast]], **more: Any
) -> Table:
    """Lay out comparisons at the nearest cache. `about`: the columns that say which tasks or tiers they are of."""
    names: list[Column[QualityContrast]] = [
        column("quality.latent", lambda found: found.arm.name),
        column("quality.against", lambda found: found.other.name),
    ]
    columns = [*names, *about, *share_columns("quality.answered", "quality.other_answered"), *CACHES]
    return replace(table(say(key), found, columns, note=say(f"{key}_note"), **more), family=say(key))


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
        """Return what tells an arm from the others of the line, if there are any."""
        if len(self.arms) == 1:
            return ""
        if design.is_latent(arm):
            return str(design.latent_rank(arm) or "")
        width = arm.value(design.HEAD_DIM) or arm.first.setting(design.HEAD_DIM)
        sizes = [arm.value(design.KV_HEADS) if self._has_groups else "", width if self._has_widths else ""]
        return "×".join(filter(None, sizes))

    def series(self, points: Mapping[QualityArm, Point], mode: str, **more: Any) -> Series:
        """Return its series of the arms that have a point, each with its size beside it."""
        first = self.arms[0]
        return Series(
            name=self.name,
            points=[replace(points[arm], text=self.size_of(arm)) for arm in self.arms if arm in points],
            style=first.style,
            ordinal=self.ordinal,
            mode=mode,
            facets=variant_facet(first),
            more={
                # Marks of a latent and of grouped heads often lie on each other.
                "textposition": "top center" if design.is_latent(first) else "bottom center",
                "textfont": {"size": 10, "color": first.style.colour},
                "cliponaxis": False,
                **more,
            },
        )


def lines_of(arms: Iterable[QualityArm]) -> list[SizeLine]:
    """Group arms of one variant that lack the same parts, in the order of variants."""
    by_size = sorted(arms, key=lambda arm: design.cache_bytes(arm) or 0.0)
    found = grouped(by_size, lambda arm: (arm.first.attention, *map(arm.value, (design.ROPE_DIM, design.LATENT_NORM))))
    keys = sorted(found, key=lambda key: (rank(key[0]), key))
    variants = [key[0] for key in keys]
    ordinals = [variants[:place].count(variant) for place, variant in enumerate(variants)]
    return [SizeLine(arms=found[key], ordinal=ordinal) for key, ordinal in zip(keys, ordinals, strict=True)]


def bytes_axis(arms: Iterable[QualityArm]) -> Axis:
    """Return an axis of cache bytes of arms that say theirs."""
    return byte_axis(say("quality.axis.bytes"), [design.cache_bytes(arm) or 1.0 for arm in arms])


def faded(drawn: Mapping[QualityArm, Sequence[Point]], mode: str) -> list[Series]:
    """Return a series for each arm; those of one variant fade in their order."""
    series = []
    for arm, points in drawn.items():
        alike = [other for other in drawn if other.first.attention == arm.first.attention]
        place = alike.index(arm)
        opacity = round(1 - (1 - FAINTEST) * place / max(1, len(alike) - 1), 2)
        looks: dict[str, Any] = {"style": arm.style, "ordinal": place, "more": {"opacity": opacity}}
        looks |= {"facets": variant_facet(arm), "runs": runs_behind(arm)}
        series.append(Series(name=arm.name, points=points, mode=mode, size=8, **looks))
    return series
