"""Arms of a workload that is judged by seed: runs that differ in the seed alone are one arm, and are paired by it.

One run says little of an algorithm or of a variant, and its steps are no repeats of one thing. So an arm is judged as a
whole: runs that are bit-equal at every seed are the same without a statistic, and others by the differences of their
pairs.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from suite.gate.rules.exact import Exact, exact_of_record, judge_exact
from suite.gate.rules.fingerprint import differences, is_judged_by_seed, surroundings
from suite.gate.rules.multiple_testing import Change
from suite.gate.rules.tolerances import Tolerances
from suite.gate.stored.case import (
    ALWAYS_BAD,
    BASELINE,
    CANDIDATE,
    Found,
    Run,
    bad_run,
    changed_conditions,
    counting,
    obstacles,
    ok_records,
    presence,
    ran,
    timings,
    unsound,
)
from suite.gate.stored.seed_pairs import Quantity, Taken, compare_pairs, judging_of
from suite.gate.verdict import Outcome, Verdict
from suite.records.case import Case, without
from suite.records.metrics import METRICS
from suite.records.record import Record
from suite.statistics.paired import FEWEST_PAIRS

SEED = "seed"
OK_RUNS = "ok_runs"
"""Stand-in for a metric in the verdict on runs that failed: how many seeds ran, before and now."""
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
    """Reasons why nothing noisy of the two can be compared, a sentence each."""
    obstacles: Sequence[str]
    """Reasons why their cost cannot be."""
    is_copy: bool
    """True if the run now is a stored one to the last digit, so that nothing new was timed."""


@dataclass(frozen=True, kw_only=True)
class Remarks:
    """Sentences on single seeds, of which equal ones become one verdict."""

    case: str
    _seeds: dict[Verdict, list[str]] = field(default_factory=dict)

    def add(self, seed: str, outcome: Outcome, reason: str, quantity: Quantity | None = None) -> None:
        span, metric = (quantity.span, quantity.metric) if quantity else ("", "")
        verdict = Verdict(case=self.case, span=span, metric=metric, outcome=outcome, reason=reason)
        self._seeds.setdefault(verdict, []).append(seed)

    def verdicts(self) -> list[Verdict]:
        return [
            replace(verdict, reason=f"{list_seeds(seeds)}: {verdict.reason}") for verdict, seeds in self._seeds.items()
        ]


def arm_of(case: Case) -> Case:
    """Return the case without its seed, which runs of all seeds have in common."""
    return replace(case, axes=without(case.axes, [SEED]))


def by_arm(by_case: BySeed) -> tuple[dict[str, Sequence[Run]], dict[str, dict[str, Sequence[Run]]]]:
    """Group the runs of other workloads by case, and those that are judged by seed by arm and seed."""
    others: dict[str, Sequence[Run]] = {}
    arms: dict[str, dict[str, Sequence[Run]]] = {}
    for id, runs in by_case.items():
        case = runs[0].record.case
        if is_judged_by_seed(case.workload):
            arms.setdefault(arm_of(case).id, {})[str(case.axes.get(SEED))] = runs
        else:
            others[id] = runs
    return others, arms


def list_seeds(seeds: Sequence[str]) -> str:
    """Return `seeds 0, 1 and 2`."""
    *first, last = seeds
    return f"seeds {', '.join(first)} and {last}" if first else f"seed {last}"


def judge_arm(case: str, old: BySeed, new: BySeed, tolerances: Tolerances) -> Found:
    """Judge an arm. `case`: its name. Runs are oldest first; either side may lack any seed."""
    remarks, failed, pairs = Remarks(case=case), dict[str, str](), list[Pair]()
    for seed in sorted({*old, *new}, key=lambda seed: (len(seed), seed)):
        stored, now = old.get(seed, ()), counting(new.get(seed, ()))
        if reason := _failure(stored, now):
            failed[seed] = reason
            continue
        broken = [*unsound(case, BASELINE, stored), *unsound(case, CANDIDATE, now)]
        if not broken and ran(stored) and ran(now):
            pairs.append(_pair(seed, ok_records(stored), now[-1].record))
            continue
        for verdict in broken or [presence(case, stored, now)]:
            of_reading = f"{verdict.metric} of {verdict.span}: " if verdict.metric else ""
            remarks.add(seed, verdict.outcome, f"{of_reading}{verdict.reason}")
    exact = _exact(case, pairs, tolerances)
    noisy = [*_learnt(case, pairs, remarks), *_spent(case, pairs, remarks)]
    tested = [found for found in noisy if isinstance(found, Change)]
    standing = [*exact, *(found for found in noisy if isinstance(found, Verdict))]
    is_compared = bool(exact or tested or any(verdict.outcome is Outcome.SAME for verdict in standing))
    standing += [*([_failures(case, failed, len(pairs))] if failed else []), *remarks.verdicts()]
    return Found(
        verdicts=standing,
        tested=tested,
        pairs=[(pair.before, pair.after) for pair in pairs] if is_compared else [],
        differences={
            name: values
            for pair in reversed(pairs)
            for name, values in differences(surroundings(pair.before), surroundings(pair.after))[1].items()
        },
    )


def _failure(stored: Sequence[Run], now: Sequence[Run]) -> str:
    """The status of a seed that ran before and fails now; empty where it does not."""
    bad = bad_run(now)
    if bad is None or bad.record.status not in ALWAYS_BAD or not ran(stored) or [*unsound("", BASELINE, stored)]:
        return ""
    return f"{bad.record.status} ({bad.record.reason or 'no reason is given'})"


def _failures(case: str, failed: Mapping[str, str], left: int) -> Verdict:
    """Judge failures as worse: an average over the runs that are left would hide them."""
    seeds = "; ".join(f"{list_seeds([seed])} is {reason}" for seed, reason in failed.items())
    return Verdict(
        case=case,
        metric=OK_RUNS,
        outcome=Outcome.SLOWER,
        reason=f"fails now, and ran before: {seeds}",
        before=float(left + len(failed)),
        after=float(left),
    )


def _pair(seed: str, stored: Sequence[Record], after: Record) -> Pair:
    def lacks(before: Record) -> tuple[bool, bool]:
        return bool(changed_conditions(before, after)), bool(obstacles(before, after))

    before = min(reversed(stored), key=lacks)
    return Pair(
        seed=seed,
        before=before,
        after=after,
        changed=changed_conditions(before, after),
        obstacles=obstacles(before, after),
        is_copy=bool(timings(after)) and timings(after) in map(timings, stored),
    )


def _learnt(case: str, pairs: Sequence[Pair], remarks: Remarks) -> Iterator[Verdict | Change]:
    """Judge what the runs learnt: the same to the last bit, or by its accuracy."""
    for pair in pairs:
        for reason in pair.changed:
            remarks.add(pair.seed, Outcome.INCOMPARABLE, f"{reason}, so the runs are of two different things")
    series = {pair.seed: (_seeded(pair.before), _seeded(pair.after)) for pair in pairs if not pair.changed}
    for seed in [seed for seed, (old, new) in series.items() if not old and not new]:
        remarks.add(seed, Outcome.BROKEN, "neither run holds anything of what was learnt")
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
    note = f"{len(others)} of {_count(len(metrics), 'metric')} that follow from the seed differ, from step {first} on"
    for place, quantity in enumerate(judging_of(pairs[0].after.case.workload).learnt):
        yield from _compared(case, quantity, alike, remarks, notes if place else [note, *notes])


def _spent(case: str, pairs: Sequence[Pair], remarks: Remarks) -> Iterator[Verdict | Change]:
    """Judge what the runs cost, where their surroundings match."""
    alike = [pair for pair in pairs if not pair.changed]
    spent = judging_of(alike[0].after.case.workload).spent if alike else None
    if spent is None:
        return
    usable = []
    for pair in alike:
        if pair.obstacles:
            reason = f"times are not comparable: {'; '.join(pair.obstacles)}"
            remarks.add(pair.seed, Outcome.INCOMPARABLE, reason, spent)
        elif pair.is_copy:
            reason = "the candidate is a stored run, to the last digit: nothing new was timed"
            remarks.add(pair.seed, Outcome.INCOMPARABLE, reason, spent)
        else:
            usable.append(pair)
    yield from _compared(case, spent, usable, remarks)


def _compared(
    case: str, quantity: Quantity, pairs: Sequence[Pair], remarks: Remarks, notes: Sequence[str] = ()
) -> Iterator[Verdict | Change]:
    """Compare the quantity over those pairs that have it on both sides, and remark on the others."""
    both: list[tuple[Taken, Taken]] = []
    for pair in pairs:
        old, new = quantity.take(pair.before), quantity.take(pair.after)
        if old is None and new is None:
            remarks.add(pair.seed, Outcome.BROKEN, "neither side recorded it", quantity)
        elif old is None:
            remarks.add(pair.seed, Outcome.NEW, "was not recorded before", quantity)
        elif new is None:
            remarks.add(pair.seed, Outcome.MISSING, "is no longer recorded", quantity)
        elif old.of != new.of:
            counts = f"{_count(len(old.of), 'reading')} before, {_count(len(new.of), 'reading')} now"
            remarks.add(pair.seed, Outcome.INCOMPARABLE, f"is of other steps: {counts}", quantity)
        elif not quantity.is_accuracy and not all(0 < taken.value < math.inf for taken in (old, new)):
            reason = f"{old.value!r} before, {new.value!r} now, which cannot be compared"
            remarks.add(pair.seed, Outcome.BROKEN, reason, quantity)
        else:
            both.append((old, new))
    if not both:
        return
    before, after = zip(*both, strict=True)
    if len(both) >= FEWEST_PAIRS:
        yield compare_pairs(case, quantity, before, after, notes)
        return
    averages = [quantity.average([taken.value for taken in side]) for side in (before, after)]
    yield Verdict(
        case=case,
        span=quantity.span,
        metric=quantity.metric,
        outcome=Outcome.INCONCLUSIVE,
        reason=f"needs {FEWEST_PAIRS} paired seeds; there are {len(both)}: {quantity.in_words(*averages)}",
        before=averages[0],
        after=averages[1],
        notes=notes,
    )


def _seeded(record: Record) -> Series:
    """All series that follow from the seed."""
    return _series(record, {name for name, metric in METRICS.items() if metric.seeded})


def _series(record: Record, metrics: set[str]) -> Series:
    found: dict[Name, list[tuple[int, float]]] = {}
    for reading in record.readings:
        if reading.metric in metrics:
            found.setdefault((reading.span, reading.metric), []).append((reading.step, reading.value))
    return {name: sorted(values) for name, values in found.items()}


def _differing(old: Series, new: Series) -> Iterator[tuple[Name, int]]:
    """Yield each series that is not equal to the last bit, and the first step at which it is not."""
    for name in dict.fromkeys([*old, *new]):
        these, those = old.get(name, ()), new.get(name, ())
        if these != those:
            yield name, min((step for step, _ in {*these} ^ {*those}), default=0)


def _exact(case: str, pairs: Sequence[Pair], tolerances: Tolerances) -> list[Verdict]:
    """Judge exact quantities of each seed apart. One that changes as a run goes on is not exact, and is named."""
    exact = {name for name, metric in METRICS.items() if metric.exact}
    varying = {
        name
        for pair in pairs
        for record in (pair.before, pair.after)
        for name, values in _series(record, exact).items()
        if len({value for _, value in values}) > 1
    }
    before = _merged({pair.seed: _exact_without(pair.before, varying) for pair in pairs})
    after = _merged({pair.seed: _exact_without(pair.after, varying) for pair in pairs})
    names = ", ".join(f"{metric} of {span}" for span, metric in sorted(varying))
    notes = [f"changes from step to step, and is not judged: {names}"] if varying else []
    verdicts = judge_exact(case, before, after, tolerances)
    return [replace(verdict, notes=[*verdict.notes, *notes]) for verdict in verdicts]


def _exact_without(record: Record, names: set[Name]) -> Exact:
    left = [reading for reading in record.readings if (reading.span, reading.metric) not in names]
    return exact_of_record(replace(record, readings=left))


def _merged(by_seed: Mapping[str, Exact]) -> Exact:
    """Merge exact quantities as if each seed had spans of its own."""
    readings: dict[str, Mapping[str, float]] = {}
    operators: dict[str, Sequence[str]] = {}
    for seed, exact in by_seed.items():
        readings |= {f"{list_seeds([seed])} {span}": values for span, values in exact.readings.items()}
        operators |= {f"{list_seeds([seed])} {span}": names for span, names in exact.operators.items()}
    return Exact(readings=readings, operators=operators)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
