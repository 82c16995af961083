"""Runs of a workload that is judged by seed: those that differ in the seed alone are one arm, and are paired by it.

One run says little of an algorithm or of a variant, and its steps are no repeats of one thing. So an arm is judged as a
whole: runs that are bit-equal at every seed are the same without a statistic, and others by the differences of their
pairs.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from suite.gate.exact import Exact, exact_of_record, judge_exact
from suite.gate.fingerprint import differences, surroundings
from suite.gate.pairing import is_judged_by_seed
from suite.gate.runs import ALWAYS_BAD, Run, bad_run, counting, ok_runs
from suite.gate.seed_pairs import Judging, Quantity, SeedComparison, Taken, compared, judging_of
from suite.gate.stored_case import (
    BASELINE,
    CANDIDATE,
    Found,
    obstacles,
    of_other_things,
    presence,
    ran,
    timings,
    unsound,
)
from suite.gate.tolerances import Tolerances
from suite.gate.verdict import Outcome, Verdict
from suite.records.case import Case, without
from suite.records.metrics import METRICS
from suite.records.record import Record
from suite.statistics.paired import FEWEST_PAIRS

SEED = "seed"
OK_RUNS = "ok_runs"
"""Stands for a metric in the verdict on runs that failed: how many seeds ran, before and now."""
BySeed = Mapping[str, Sequence[Run]]
Name = tuple[str, str]
"""A span and a metric."""
Series = Mapping[Name, Sequence[tuple[int, float]]]
"""Steps and values."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The newest run of one seed on either side; of the stored ones the newest that most can be compared with."""

    seed: str
    before: Record
    after: Record
    changed: Sequence[str]
    """Why nothing noisy of the two can be compared, a sentence each."""
    obstacles: Sequence[str]
    """Why their cost cannot be."""
    is_copy: bool
    """Whether the run now is a stored one to the last digit, so that nothing new was timed."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """Sentences on single seeds, of which equal ones become one verdict."""

    case: str
    _seeds: dict[Verdict, list[str]] = field(default_factory=dict)

    def add(self, seed: str, outcome: Outcome, reason: str, quantity: Quantity | None = None) -> None:
        span, metric = (quantity.span, quantity.metric) if quantity else ("", "")
        verdict = Verdict(case=self.case, span=span, metric=metric, outcome=outcome, reason=reason)
        self._seeds.setdefault(verdict, []).append(seed)

    def verdicts(self) -> list[Verdict]:
        return [replace(one, reason=f"{named(seeds)}: {one.reason}") for one, seeds in self._seeds.items()]


def arm_of(case: Case) -> Case:
    """What runs of all seeds have in common."""
    return replace(case, axes=without(case.axes, [SEED]))


def by_arm(by_case: BySeed) -> tuple[dict[str, Sequence[Run]], dict[str, dict[str, Sequence[Run]]]]:
    """The runs of other workloads by case, and those that are judged by seed by arm and seed."""
    others: dict[str, Sequence[Run]] = {}
    arms: dict[str, dict[str, Sequence[Run]]] = {}
    for id, runs in by_case.items():
        case = runs[0].record.case
        if is_judged_by_seed(case.workload):
            arms.setdefault(arm_of(case).id, {})[str(case.axes.get(SEED))] = runs
        else:
            others[id] = runs
    return others, arms


def named(seeds: Sequence[str]) -> str:
    """`seeds 0, 1 and 2`."""
    *first, last = seeds
    return f"seeds {', '.join(first)} and {last}" if first else f"seed {last}"


def judge_arm(case: str, old: BySeed, new: BySeed, tolerances: Tolerances) -> Found:
    """`case`: what the arm is called. Runs are oldest first; either side may lack any seed."""
    said, failed, pairs = Said(case=case), dict[str, str](), list[Pair]()
    for seed in sorted({*old, *new}, key=lambda one: (len(one), one)):
        stored, now = old.get(seed, ()), counting(new.get(seed, ()))
        if reason := _failure(stored, now):
            failed[seed] = reason
            continue
        broken = [*unsound(case, BASELINE, stored), *unsound(case, CANDIDATE, now)]
        if not broken and ran(stored) and ran(now):
            pairs.append(_pair(seed, [run.record for run in ok_runs(stored)], now[-1].record))
            continue
        for one in broken or [presence(case, stored, now)]:
            said.add(seed, one.outcome, f"{one.metric} of {one.span}: {one.reason}" if one.metric else one.reason)
    exact = _exact(case, pairs, tolerances)
    learnt, spent = list(_learnt(case, pairs, said)), list(_spent(case, pairs, said))
    tested = [one for one in (*learnt, *spent) if isinstance(one, SeedComparison)]
    standing = [*exact, *(one for one in (*learnt, *spent) if isinstance(one, Verdict))]
    is_compared = bool(exact or tested or any(one.outcome is Outcome.SAME for one in standing))
    standing += [*([_failures(case, failed, len(pairs))] if failed else []), *said.verdicts()]
    return Found(
        verdicts=standing,
        tested=tested,
        pairs=[(pair.before, pair.after) for pair in pairs] if is_compared else [],
        shown={
            name: values
            for pair in reversed(pairs)
            for name, values in differences(surroundings(pair.before), surroundings(pair.after))[1].items()
        },
    )


def _failure(stored: Sequence[Run], now: Sequence[Run]) -> str:
    """What became of a seed that ran before, where it failed; empty where it did not."""
    bad = bad_run(now)
    if bad is None or bad.record.status not in ALWAYS_BAD or not ran(stored) or [*unsound("", BASELINE, stored)]:
        return ""
    return f"{bad.record.status} ({bad.record.reason or 'no reason is given'})"


def _failures(case: str, failed: Mapping[str, str], left: int) -> Verdict:
    """It is for the worse, and an average over the runs that are left would hide it."""
    told = "; ".join(f"{named([seed])} is {reason}" for seed, reason in failed.items())
    return Verdict(
        case=case,
        metric=OK_RUNS,
        outcome=Outcome.SLOWER,
        reason=f"fails now, and ran before: {told}",
        before=float(left + len(failed)),
        after=float(left),
    )


def _pair(seed: str, stored: Sequence[Record], after: Record) -> Pair:
    def lacks(before: Record) -> tuple[bool, bool]:
        return bool(of_other_things(before, after)), bool(obstacles(before, after))

    before = min(reversed(stored), key=lacks)
    return Pair(
        seed=seed,
        before=before,
        after=after,
        changed=of_other_things(before, after),
        obstacles=obstacles(before, after),
        is_copy=bool(timings(after)) and timings(after) in map(timings, stored),
    )


def _learnt(case: str, pairs: Sequence[Pair], said: Said) -> Iterator[Verdict | SeedComparison]:
    """What the runs learnt: the same to the last bit, or by its accuracy."""
    for pair in pairs:
        for reason in pair.changed:
            said.add(pair.seed, Outcome.INCOMPARABLE, f"{reason}, so the runs are of two different things")
    series = {pair.seed: (_seeded(pair.before), _seeded(pair.after)) for pair in pairs if not pair.changed}
    for seed in [seed for seed, (old, new) in series.items() if not old and not new]:
        said.add(seed, Outcome.BROKEN, "neither run holds anything of what was learnt")
        del series[seed]
    alike, both = [pair for pair in pairs if pair.seed in series], list(series.values())
    if not alike:
        return
    metrics = {metric for old, new in both for _, metric in (*old, *new)}
    differing = [found for old, new in both for found in _differing(old, new)]
    notes = list(dict.fromkeys(reason for pair in alike for reason in pair.obstacles))
    if not differing:
        reason = f"{_count(len(metrics), 'metric')} bit-equal over {_count(len(alike), 'seed')}"
        yield Verdict(case=case, outcome=Outcome.SAME, reason=reason, notes=notes)
        return
    others, first = {metric for (_, metric), _ in differing}, min(step for _, step in differing)
    told = f"{len(others)} of {_count(len(metrics), 'metric')} that follow from the seed differ, from step {first} on"
    quantities = _judging(pairs).learnt
    for quantity in quantities:
        yield from _compared(case, quantity, alike, said, [*([told] if quantity is quantities[0] else []), *notes])


def _spent(case: str, pairs: Sequence[Pair], said: Said) -> Iterator[Verdict | SeedComparison]:
    """What the runs cost, where their surroundings match."""
    alike = [pair for pair in pairs if not pair.changed]
    spent = _judging(alike).spent if alike else None
    if spent is None:
        return
    for pair in alike:
        if pair.obstacles:
            said.add(pair.seed, Outcome.INCOMPARABLE, f"times are not comparable: {'; '.join(pair.obstacles)}", spent)
        elif pair.is_copy:
            told = "the candidate is a stored run, to the last digit: nothing new was timed"
            said.add(pair.seed, Outcome.INCOMPARABLE, told, spent)
    usable = [pair for pair in alike if not pair.obstacles and not pair.is_copy]
    if usable:
        yield from _compared(case, spent, usable, said)


def _compared(
    case: str, quantity: Quantity, pairs: Sequence[Pair], said: Said, notes: Sequence[str] = ()
) -> Iterator[Verdict | SeedComparison]:
    """The quantity over those pairs that have it on both sides; what the others lack is said."""
    both: list[tuple[Taken, Taken]] = []
    for pair in pairs:
        old, new = quantity.take(pair.before), quantity.take(pair.after)
        if old is None and new is None:
            said.add(pair.seed, Outcome.BROKEN, "neither side recorded it", quantity)
        elif old is None:
            said.add(pair.seed, Outcome.NEW, "was not recorded before", quantity)
        elif new is None:
            said.add(pair.seed, Outcome.MISSING, "is no longer recorded", quantity)
        elif old.of != new.of:
            told = f"{_count(len(old.of), 'reading')} before, {_count(len(new.of), 'reading')} now"
            said.add(pair.seed, Outcome.INCOMPARABLE, f"is of other steps: {told}", quantity)
        elif not quantity.is_accuracy and not all(0 < one.value < math.inf for one in (old, new)):
            told = f"{old.value!r} before, {new.value!r} now"
            said.add(pair.seed, Outcome.BROKEN, f"{told}, which cannot be compared", quantity)
        else:
            both.append((old, new))
    if not both:
        return
    old_ones, new_ones = zip(*both, strict=True)
    if len(both) >= FEWEST_PAIRS:
        yield compared(case, quantity, old_ones, new_ones, notes)
    else:
        before, after = (quantity.average([one.value for one in side]) for side in (old_ones, new_ones))
        told = f"{quantity.said(before)} before, {quantity.said(after)} now"
        yield Verdict(
            case=case,
            span=quantity.span,
            metric=quantity.metric,
            outcome=Outcome.INCONCLUSIVE,
            reason=f"needs {FEWEST_PAIRS} paired seeds; there are {len(both)}: {told}",
            before=before,
            after=after,
            notes=notes,
        )


def _judging(pairs: Sequence[Pair]) -> Judging:
    """Pairs of one arm are of one workload."""
    return judging_of(pairs[0].after.case.workload)


def _seeded(record: Record) -> Series:
    """All that follows from the seed."""
    return _series(record, {name for name, metric in METRICS.items() if metric.seeded})


def _series(record: Record, metrics: set[str]) -> Series:
    found: dict[Name, list[tuple[int, float]]] = {}
    for one in record.readings:
        if one.metric in metrics:
            found.setdefault((one.span, one.metric), []).append((one.step, one.value))
    return {name: sorted(values) for name, values in found.items()}


def _differing(old: Series, new: Series) -> Iterator[tuple[Name, int]]:
    """What is not equal to the last bit, and the first step at which it is not."""
    for name in dict.fromkeys([*old, *new]):
        these, those = old.get(name, ()), new.get(name, ())
        if these != those:
            yield name, min((step for step, _ in {*these} ^ {*those}), default=0)


def _exact(case: str, pairs: Sequence[Pair], tolerances: Tolerances) -> list[Verdict]:
    """Exact quantities of each seed apart. What changes as a run goes on is none of them, and is named."""
    exact = {name for name, metric in METRICS.items() if metric.exact}
    varying = {
        name
        for pair in pairs
        for record in (pair.before, pair.after)
        for name, values in _series(record, exact).items()
        if len({value for _, value in values}) > 1
    }
    before, after = (
        _merged({pair.seed: exact_of_record(_without(getattr(pair, side), varying)) for pair in pairs})
        for side in ("before", "after")
    )
    told = ", ".join(f"{metric} of {span}" for span, metric in sorted(varying))
    notes = [f"changes from step to step, and is not judged: {told}"] if varying else []
    return [replace(one, notes=[*one.notes, *notes]) for one in judge_exact(case, before, after, tolerances)]


def _without(record: Record, names: set[Name]) -> Record:
    return replace(record, readings=[one for one in record.readings if (one.span, one.metric) not in names])


def _merged(of_seeds: Mapping[str, Exact]) -> Exact:
    """As if each seed had spans of its own."""

    def called(seed: str, span: str) -> str:
        return f"{named([seed])} {span}"

    return Exact(
        readings={called(seed, span): of for seed, one in of_seeds.items() for span, of in one.readings.items()},
        operators={called(seed, span): of for seed, one in of_seeds.items() for span, of in one.operators.items()},
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
