"""MLA's absorbed mode against its re-expanding one in the records, and where one overtakes the other."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from suite.records.derived import ceilings_of
from suite.records.record import Evidence
from suite.report.model.results import Results
from suite.report.timings import MOST_TOKENS, Timing, axis, extras, groups
from suite.theory.attention_plan import ELEMENT_BYTES
from suite.theory.crossover import flops_crossover, roofline_crossover
from suite.theory.geometry import geometry_from
from suite.theory.latent_shapes import LATENT_SIZES
from suite.theory.roofline import Ceilings

ABSORBED, REEXPANDED = "mla", "mla_latent"
FEWEST_TRIED = 2
"""Numbers of new tokens at one context, from which on it can be said where the two cross, or that they do not."""


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """Where the ratio of two costs passes 1. An open end: it does not within what was tried."""

    low: int | None
    at: float | None
    high: int | None


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Both modes' layer timings at one context, by their number of new tokens."""

    absorbed: Mapping[int, Timing]
    reexpanded: Mapping[int, Timing]

    @property
    def query_lens(self) -> list[int]:
        return sorted(set(self.absorbed) & set(self.reexpanded))

    @property
    def one(self) -> Timing:
        """Any of them, for what they share."""
        return self.absorbed[self.query_lens[0]]

    @property
    def seq_len(self) -> int:
        assert self.one.seq_len is not None
        return self.one.seq_len

    @property
    def measured(self) -> Bracket | None:
        ratios = [self.reexpanded[n].interval.median / self.absorbed[n].interval.median for n in self.query_lens]
        return bracket(list(zip(self.query_lens, ratios, strict=True)))

    @property
    def ceilings(self) -> Ceilings | None:
        """Medians of what the records' own runs measured."""
        timings = [*self.absorbed.values(), *self.reexpanded.values()]
        found = [ceilings for timing in timings if (ceilings := ceilings_of(timing.record, "layer"))]
        if not found:
            return None
        return Ceilings(
            flops_per_s=median(one.flops_per_s for one in found), bytes_per_s=median(one.bytes_per_s for one in found)
        )

    def predicted(self) -> tuple[int | None, int | None]:
        """By FLOPs and by the roofline, from the sizes in the record; a foreign one may lack them.

        Neither where `match` moved the sizes or the cache is quantised: the prediction knows only the plain case.
        """
        record = self.one.record
        if axis(record, "match") != "heads" or axis(record, "cache_dtype"):
            return None, None
        try:
            geometry = geometry_from(record.settings["geometry"])
            attention = record.settings["attention"]
            sizes = {name: attention.get(name) for name in LATENT_SIZES}
            sizes["latent_norm"] = attention.get("latent_norm", True)
            passed = {"seq_len": self.seq_len, "tp": record.case.axes["tp"], **sizes}
            by_flops = flops_crossover(geometry, **passed)
            if self.ceilings is None:
                return by_flops, None
            passed |= {"batch": record.case.axes["batch"], "element_bytes": ELEMENT_BYTES[axis(record, "dtype")]}
            return by_flops, roofline_crossover(geometry, self.ceilings, **passed)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            return None, None


def measured_contests(results: Results) -> list[Contest]:
    """Every measured decode case of both modes, by its axes without the new tokens; short contexts first."""
    found: dict[tuple[str, ...], dict[str, dict[int, Timing]]] = defaultdict(lambda: defaultdict(dict))
    for timing in (timing for timings in groups(results).values() for timing in timings):
        record, count = timing.record, timing.record.case.axes.get("query_len")
        is_fit = timing.seq_len is not None and isinstance(count, int) and 0 < count < MOST_TOKENS
        is_measured = timing.span == "layer" and record.evidence is Evidence.MEASURED
        if is_measured and is_fit and axis(record, "phase") == "decode":
            assert isinstance(count, int)
            found[(*series_of(timing), str(timing.seq_len))][timing.variant][count] = timing
    contests = [Contest(absorbed=modes[ABSORBED], reexpanded=modes[REEXPANDED]) for modes in found.values()]
    tried = [contest for contest in contests if len(contest.query_lens) >= FEWEST_TRIED]
    return sorted(tried, key=lambda contest: (series_of(contest.one), contest.seq_len))


def series_of(timing: Timing) -> tuple[str, ...]:
    axes = timing.record.case.axes
    shared = [f"{name}={axes[name]}" for name in axes if name not in ("attention", "query_len", "seq_len")]
    return (timing.label, *shared, *extras(timing.record))


def bracket(ratios: Sequence[tuple[int, float]]) -> Bracket | None:
    """Where re-expanding's time over absorbing's falls below 1, between neighbours, straight on logarithmic axes.

    Noise can make it pass several times: the middle one counts then, and the bracket holds them all. None where it
    rises instead.
    """
    cheaper = [ratio < 1 for _, ratio in ratios]
    if cheaper[0] != cheaper[-1] and cheaper[0]:
        return None
    if cheaper[0] == cheaper[-1]:
        first, last = ratios[0][0], ratios[-1][0]
        return Bracket(low=None, at=None, high=first) if cheaper[0] else Bracket(low=last, at=None, high=None)
    passing = [both for both in pairwise(ratios) if (both[0][1] < 1) != (both[1][1] < 1)]
    (low, above), (high, below) = passing[len(passing) // 2]
    share = math.log(above) / (math.log(above) - math.log(below))
    return Bracket(low=passing[0][0][0], at=low * (high / low) ** share, high=passing[-1][1][0])
