"""Features of heads: by how many points each attribute falls with one head ablated.

Two numbers tell "each head a feature of its own" from its two contraries. If every head served every attribute alike,
the head that an attribute needs most would take 1/H of its fall; if one head served all attributes, that share would be
1 too, but only one head would come first for any. So the share of the largest fall is told with the number of heads
that some attribute needs most. Falls do not add up exactly: a decoder is not linear in its heads.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Table, Text, View, say
from suite.report.model.formats import share_with_range
from suite.report.model.labels import BLUE
from suite.report.plot.heatmap import heatmap
from suite.report.plot.marks import faint
from suite.report.quality.design import QualityArm, QualityRun, last
from suite.report.quality.families import Family
from suite.report.quality.layout import NAME, arm_table, runs_behind
from suite.report.table import column, columns_of

ATTRIBUTE = re.compile(r"attribute ([1-9]\d?)")
ABLATED = re.compile(r"layer \d{1,3} head \d{1,3}/")
LEAST_FALL = 0.05
"""The falls of an attribute must come to as much together to say who carries it."""
MOST_OF_IT = 0.5
"""A head with more of an attribute's fall carries it more than all the others do together."""
MOST_HEADS, MOST_MAPS = 1024, 6
OPACITY = 0.75
"""Text in the page's own colour stays readable on it, in light and in dark."""
ROW_PX, FRAME_PX = 46, 120


@dataclass(frozen=True, kw_only=True)
class Falls:
    """Falls in one run: a row for each head, a column for each attribute. Shares of the questions, not points."""

    seed: str
    heads: Sequence[str]
    attributes: Sequence[str]
    fall: Sequence[Sequence[float]]

    @property
    def carriers(self) -> list[tuple[int, float]]:
        """Return, for each attribute that falls at all, the head with the largest fall and its share of all falls."""
        columns = [[max(0.0, row[place]) for row in self.fall] for place in range(len(self.attributes))]
        largest = [(max(range(len(falls)), key=falls.__getitem__), falls) for falls in columns]
        return [(head, falls[head] / sum(falls)) for head, falls in largest if sum(falls) >= LEAST_FALL]

    @property
    def share(self) -> float:
        """Return the mean over attributes of the largest share that one head has."""
        return fmean(share for _, share in self.carriers)

    @property
    def first_heads(self) -> int:
        """Return how many heads some attribute needs most."""
        return len({head for head, _ in self.carriers})


def falls_of(run: QualityRun) -> Falls | None:
    """Return the falls of a run; None where no head was ablated, or there is a single one."""

    def numbered(name: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", name)]

    def fall(head: str, kind: str) -> float:
        return (run.final(kind) or 0.0) - (last(run.without_heads, f"{head}/{kind}") or 0.0)

    ablated = {span.partition("/")[0] for span in run.without_heads if ABLATED.match(span)}
    heads = sorted(ablated, key=numbered)[:MOST_HEADS]
    kinds = [kind for kind in run.answered if ATTRIBUTE.fullmatch(kind)]
    known = (kind for kind in kinds if all(f"{head}/{kind}" in run.without_heads for head in heads))
    attributes = sorted(known, key=numbered)
    if len(heads) < 2 or not attributes:
        return None
    falls = [[fall(head, kind) for kind in attributes] for head in heads]
    return Falls(seed=run.seed, heads=heads, attributes=attributes, fall=falls)


def falls_by_seed(arm: QualityArm) -> list[Falls]:
    """Return those of the runs that have as many heads as the first, the lowest seed first."""
    found = [falls for run in arm.runs if (falls := falls_of(run)) is not None]
    return [falls for falls in found if len(falls.heads) == len(found[0].heads)]


def carried(arm: QualityArm) -> list[Falls]:
    """Return those in which some attribute falls, so that a head carries it."""
    return [falls for falls in falls_by_seed(arm) if falls.carriers]


def heads_figure(family: Family) -> Figure:
    """Draw a map of each arm's lowest seed."""
    shown = [(arm, falls[0]) for arm in family.looked_into if (falls := falls_by_seed(arm))][:MOST_MAPS]
    carriers = [(arm, falls) for arm in family.looked_into if (falls := carried(arm))]
    finding: Text = ""
    if carriers:
        arm, falls = carriers[0]
        fields = {"name": arm.name, "share": largest_share(falls), "heads": first_heads(falls), "count": len(falls)}
        finding = say("quality_tiers.finding_heads", alike=numbers.percent(1 / len(falls[0].heads)), **fields)
    return Figure(
        title=say("quality_tiers.heads"),
        family=say("quality_tiers.heads"),
        finding=finding,
        settings=family.name,
        facets=family.facets,
        caption=say("quality_tiers.heads_caption", seed=next((falls.seed for _, falls in shown), "")),
        views=[View(title=arm.name, figure=_map(falls, runs_behind(arm))) for arm, falls in shown],
        height_px=FRAME_PX + ROW_PX * max((len(falls.heads) for _, falls in shown), default=0),
    )


def heads_table(family: Family) -> Table:
    """Say of each arm how much the most needed head carries, and how many heads come first."""
    return arm_table(
        "quality_tiers.heads_table",
        [(arm, falls) for arm in family.main.arms if (falls := carried(arm))],
        [
            *columns_of(lambda row: row[0], [NAME]),
            column("rl.seeds", lambda row: len(row[1]), numbers.count),
            column("quality_tiers.head_count", lambda row: len(row[1][0].heads), numbers.count),
            column("quality_tiers.largest_share", lambda row: largest_share(row[1]), kind=Kind.NUMBER),
            column("quality_tiers.if_alike", lambda row: 1 / len(row[1][0].heads), numbers.percent),
            column("quality_tiers.first_heads", lambda row: first_heads(row[1]), kind=Kind.NUMBER),
        ],
        lambda row: row[0],
        settings=family.name,
        facets=family.facets,
    )


def largest_share(found: Sequence[Falls]) -> Text | None:
    """Write the share that the most needed head takes, the mean of the seeds."""
    return share_with_range([falls.share for falls in found])


def first_heads(found: Sequence[Falls]) -> str:
    """Write how many heads come first, the mean of the seeds."""
    return f"{fmean(falls.first_heads for falls in found):.1f}"


def _map(falls: Falls, runs: Sequence[str]) -> dict[str, Any]:
    attributes = [name.rpartition(" ")[2] for name in falls.attributes]
    heads = _head_names(falls.heads)
    written = [[f"{100 * value:.0f}".replace("-0", "0") for value in row] for row in falls.fall]
    hovers = []
    for head, row in zip(heads, written, strict=True):
        cells = zip(attributes, row, strict=True)
        hovers.append([say("quality_tiers.fall_hover", head=head, attribute=of, points=points) for of, points in cells])
    scale = [[0, "rgba(128, 128, 128, 0.06)"], [1, faint(BLUE, OPACITY)]]
    return heatmap(
        attributes,
        heads,
        values=[[round(100 * value, 1) for value in row] for row in falls.fall],
        written=written,
        hovers=hovers,
        colours={"colorscale": scale, "zmin": 0, "zmax": 100, "showscale": False},
        title=say("quality_tiers.attributes"),
        text_px=12,
        behind=runs,
    )


def _head_names(heads: Sequence[str]) -> list[Text]:
    """Names of heads, with the layer where there are several."""
    places = [(int(layer) + 1, int(head) + 1) for _, layer, _, head in map(str.split, heads)]
    if len({layer for layer, _ in places}) > 1:
        return [say("quality_tiers.head_of", layer=layer, head=head) for layer, head in places]
    return [say("quality_tiers.head", head=head) for _, head in places]
