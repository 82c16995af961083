"""Whether heads have features of their own: how many points each attribute falls with one head knocked out.

Two numbers tell "each head a feature of its own" from its two contraries. If every head served every attribute alike,
the head that an attribute needs most would take 1/H of its fall; if one head served all attributes, that share would be
1 too, but only one head would be anybody's first. So the share of the largest fall is told with the number of heads
that some attribute needs most. Falls do not add up exactly: a decoder is not linear in its heads.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from suite.report.quality_run import QualityRun

ATTRIBUTE = re.compile(r"attribute ([1-9]\d?)")
HEAD = re.compile(r"layer (\d{1,3}) head (\d{1,3})")
LEAST_FALL = 0.05
"""The falls of an attribute must come to as much together to say who carries it."""
MOST_OF_IT = 0.5
"""A head with more of an attribute's fall carries it more than all the others do together."""


@dataclass(frozen=True, kw_only=True)
class Falls:
    """Of one run: a row for each head, a column for each attribute. Shares of the questions, not points."""

    seed: str
    heads: Sequence[str]
    attributes: Sequence[str]
    fall: Sequence[Sequence[float]]

    @property
    def carriers(self) -> list[tuple[int, float]]:
        """For each attribute that falls at all, the head with the largest fall and its share of all falls."""
        found = []
        for place in range(len(self.attributes)):
            falls = [max(0.0, row[place]) for row in self.fall]
            if sum(falls) >= LEAST_FALL:
                largest = max(range(len(falls)), key=falls.__getitem__)
                found.append((largest, falls[largest] / sum(falls)))
        return found

    @property
    def share(self) -> float | None:
        """Mean over attributes of the largest share that one head has; None where nothing falls."""
        return fmean(share for _, share in self.carriers) if self.carriers else None

    @property
    def first_heads(self) -> int:
        """Heads that some attribute needs most."""
        return len({head for head, _ in self.carriers})


def falls_of(run: QualityRun) -> Falls | None:
    """None where no head was knocked out, or there is a single one."""
    heads = sorted(filter(HEAD.fullmatch, run.knocked_out), key=_numbers)
    kinds = [kind for kind in run.answered if ATTRIBUTE.fullmatch(kind)]
    attributes = sorted((kind for kind in kinds if all(kind in run.knocked_out[head] for head in heads)), key=_numbers)
    if len(heads) < 2 or not attributes:
        return None
    return Falls(
        seed=run.seed,
        heads=heads,
        attributes=attributes,
        fall=[[_fall(run, run.knocked_out[head], kind) for kind in attributes] for head in heads],
    )


def falls_by_seed(runs: Sequence[QualityRun]) -> list[Falls]:
    """Of the runs that have as many heads as the first, the lowest seed first."""
    found = [falls for run in runs if (falls := falls_of(run)) is not None]
    return [falls for falls in found if len(falls.heads) == len(found[0].heads)]


def _fall(run: QualityRun, without: Mapping[str, float], kind: str) -> float:
    return (run.final(kind) or 0.0) - without[kind]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]
