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

from suite.records import numbers
from suite.report.blocks import Kind, Table, Text
from suite.report.model.formats import share_with_range
from suite.report.quality.design import QualityArm, QualityRun, last
from suite.report.quality.families import Family
from suite.report.quality.layout import NAME, arm_table
from suite.report.table import column, columns_of

ATTRIBUTE = re.compile(r"attribute [1-9]\d?")
ABLATED = re.compile(r"layer \d{1,3} head \d{1,3}/")
LEAST_FALL = 0.05
"""The falls of an attribute must come to as much together to say who carries it."""
MOST_OF_IT = 0.5
"""A head with more of an attribute's fall carries it more than all the others do together."""
MOST_HEADS = 1024


@dataclass(frozen=True, kw_only=True)
class Falls:
    """How much less one run answers of each attribute, as a share of the questions, without each of its heads."""

    heads: Sequence[str]
    by_attribute: Sequence[Sequence[float]]
    """For each attribute the fall without each head."""

    @property
    def carriers(self) -> list[tuple[int, float]]:
        """For each attribute that falls at all, the head with the largest fall and its share of all falls."""
        positive = [[max(0.0, fall) for fall in falls] for falls in self.by_attribute]
        return [(falls.index(max(falls)), max(falls) / sum(falls)) for falls in positive if sum(falls) >= LEAST_FALL]

    @property
    def share(self) -> float:
        """The largest share that one head has, the mean over attributes."""
        return fmean(share for _, share in self.carriers)

    @property
    def first_heads(self) -> int:
        """How many heads some attribute needs most."""
        return len({head for head, _ in self.carriers})


def falls_of(run: QualityRun) -> Falls | None:
    """The falls of a run; None where no head was ablated, or there is a single one."""
    heads = sorted({span.partition("/")[0] for span in run.without_heads if ABLATED.match(span)})[:MOST_HEADS]
    by_attribute = []
    for kind in filter(ATTRIBUTE.fullmatch, run.answered):
        without = [last(run.without_heads, f"{head}/{kind}") for head in heads]
        if None not in without:
            by_attribute.append([(run.final(kind) or 0.0) - (share or 0.0) for share in without])
    return Falls(heads=heads, by_attribute=by_attribute) if len(heads) > 1 and by_attribute else None


def carried(arm: QualityArm) -> list[Falls]:
    """The falls of the runs that have as many heads as the first, where some attribute falls: a head carries it."""
    found = [falls for run in arm.runs if (falls := falls_of(run)) is not None]
    return [falls for falls in found if len(falls.heads) == len(found[0].heads) and falls.carriers]


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


def largest_share(every: Sequence[Falls]) -> Text | None:
    """The share that the most needed head takes, the mean of the seeds."""
    return share_with_range([falls.share for falls in every])


def first_heads(every: Sequence[Falls]) -> str:
    """How many heads come first, the mean of the seeds."""
    return f"{fmean(falls.first_heads for falls in every):.1f}"
