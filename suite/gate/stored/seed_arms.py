"""Arms of a workload that is judged by seed: runs that differ in the seed alone are one arm, and are paired by it.

One run says little of an algorithm or of a variant, and its steps are no repeats of one thing. So an arm is judged as a
whole: runs that are bit-equal at every seed are the same without a statistic, and others by the differences of their
pairs. Runs of one seed share the base model, the prompts or questions and the order of both, and the variance between
base models is as large as the gaps between algorithms: so each pair gives a difference, and they are compared as
suite.statistics.paired says. The page asks whether arms differ at all, at 5% a table; a gate asks on one side only, at
1% a judgement, and beyond a minimum effect.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from suite.gate.output.sentences import counted
from suite.gate.rules.exact import Exact, exact_of_record, judge_exact
from suite.gate.rules.fingerprint import differences, is_judged_by_seed, surroundings
from suite.gate.rules.multiple_testing import TestedChange
from suite.gate.rules.tolerances import Tolerances
from suite.gate.stored.case import (
    ALWAYS_BAD,
    BASELINE,
    CANDIDATE,
    COPIED,
    CaseJudgement,
    StoredRun,
    bad_record,
    changed_conditions,
    is_newest_ok,
    newest_repeats,
    obstacles,
    ok_records,
    presence,
    timings,
    unsound,
)
from suite.gate.stored.seed_pairs import Quantity, TakenValue, compare_pairs, judging_of
from suite.gate.verdict import Outcome, Verdict
from suite.records.case import Case, without
from suite.records.metrics import METRICS
from suite.records.record import Record
from suite.statistics.paired import FEWEST_PAIRS

SEED = "seed"
OK_RUNS = "ok_runs"
"""Stand-in for a metric in the verdict on runs that failed: how many seeds ran, before and now."""
BySeed = Mapping[str, Sequence[StoredRun]]
SpanMetric = tuple[str, str]
StepValues = Mapping[SpanMetric, Sequence[tuple[int, float]]]


@dataclass(frozen=True, kw_only=True)
class SeedPair:
    """The newest run of one seed on either side; of the stored ones the newest that most can be compared with."""

    seed: str
    before: Record
    after: Record
    is_copy: bool
    """True if the run now is a stored one to the last digit, so that nothing new was timed."""

    @property
    def changed(self) -> list[str]:
        """Changed settings or evidence, as reasons why no noisy quantity of the two can be compared."""
        return changed_conditions(self.before, self.after)

    @property
    def obstacles(self) -> list[str]:
        """Reasons why the costs of the two cannot be compared, a sentence each."""
        return obstacles(self.before, self.after)


class SeedRemarks:
    """Collects remarks on single seeds of an arm; equal remarks become one verdict that names its seeds."""

    def __init__(self, case: str) -> None:
        self._case = case
        self._seeds: dict[Verdict, list[str]] = defaultdict(list)

    def add(self, seed: str, outcome: Outcome, reason: str, quantity: Quantity | None = None) -> None:
        """Add a remark on a seed. `quantity`: what it is about; None for the whole arm."""
        span, metric = (quantity.span, quantity.metric) if quantity else ("", "")
        self._seeds[Verdict(case=self._case, span=span, metric=metric, outcome=outcome, reason=reason)].append(seed)

    def verdicts(self) -> list[Verdict]:
        """A verdict for each different remark, whose reason begins with its seeds."""
        return [
            replace(verdict, reason=f"{list_seeds(seeds)}: {verdict.reason}") for verdict, seeds in self._seeds.items()
        ]


def list_seeds(seeds: Sequence[str]) -> str:
    """Write `seeds 0, 1 and 2`."""
    *first, last = seeds
    return f"seeds {', '.join(first)} and {last}" if first else f"seed {last}"


def without_seed(case: Case) -> Case:
    """The arm of a case: what runs of all seeds have in common."""
    return replace(case, axes=without(case.axes, [SEED]))


def by_arm(by_case: BySeed) -> tuple[dict[str, Sequence[StoredRun]], dict[str, dict[str, Sequence[StoredRun]]]]:
    """Split cases in two: those judged one by one, and those judged by seed as `{arm: {seed: runs}}`. An arm is the id
    of a case without its seed."""
    cases: dict[str, Sequence[StoredRun]] = {}
    arms: dict[str, dict[str, Sequence[StoredRun]]] = defaultdict(dict)
    for id, runs in by_case.items():
        case = runs[0].record.case
        if is_judged_by_seed(case.workload):
            arms[without_seed(case).id][str(case.axes.get(SEED))] = runs
        else:
            cases[id] = runs
    return cases, arms


def judge_arm(case: str, old: BySeed, new: BySeed, tolerances: Tolerances) -> CaseJudgement:
    """Judge the arm named `case` by pairs of runs of one seed: exact quantities, what was learnt, and the cost. `old`,
    `new`: runs by seed, oldest first; either may lack a seed. A seed that ran before and fails now is worse by itself,
    and seeds that cannot be paired get verdicts."""
    remarks, failures, pairs = SeedRemarks(case), list[str](), list[SeedPair]()
    for seed in sorted({*old, *new}, key=lambda seed: (len(seed), seed)):
        stored, now = old.get(seed, ()), newest_repeats(new.get(seed, ()))
        # A seed whose stored run is itself unsound is no failure of the candidate: it is broken, below.
        is_sound_before = is_newest_ok(stored) and not [*unsound(case, BASELINE, stored)]
        bad = bad_record(now)
        if bad is not None and bad.record.status in ALWAYS_BAD and is_sound_before:
            failures.append(f"seed {seed} is {bad.record.status} ({bad.record.reason or 'no reason is given'})")
            continue
        broken = [*unsound(case, BASELINE, stored), *unsound(case, CANDIDATE, now)]
        if not broken and is_newest_ok(stored) and is_newest_ok(now):
            pairs.append(_pair(seed, ok_records(stored), now[-1].record))
            continue
        for verdict in broken or [presence(case, stored, now)]:
            # The remark is on the whole arm, so the reading that it is about is named in words.
            place = f"{verdict.metric} of {verdict.span}: " if verdict.metric else ""
            remarks.add(seed, verdict.outcome, f"{place}{verdict.reason}")
    exact, noisy = (
        _exact(case, pairs, tolerances),
        [*_compare_learning(case, pairs, remarks), *_compare_costs(case, pairs, remarks)],
    )
    tested = [change for change in noisy if isinstance(change, TestedChange)]
    verdicts = [*exact, *(verdict for verdict in noisy if isinstance(verdict, Verdict))]
    is_compared = bool(exact or tested or any(verdict.outcome is Outcome.SAME for verdict in verdicts))
    if failures:  # worse by themselves: an average over the runs that are left would hide them
        verdicts.append(
            Verdict(
                case=case,
                metric=OK_RUNS,
                outcome=Outcome.SLOWER,
                reason=f"fails now, but ran before: {'; '.join(failures)}",
                before=float(len(pairs) + len(failures)),
                after=float(len(pairs)),
            )
        )
    return CaseJudgement(
        verdicts=[*verdicts, *remarks.verdicts()],
        tested=tested,
        pairs=[(pair.before, pair.after) for pair in pairs] if is_compared else [],
        differences={
            name: values
            for pair in reversed(pairs)
            for name, values in differences(surroundings(pair.before), surroundings(pair.after))[1].items()
        },
    )


def _pair(seed: str, stored: Sequence[Record], after: Record) -> SeedPair:
    """Pair a run with the stored run of its seed that is most comparable, and of several with the newest."""

    def unlikeness(before: Record) -> tuple[bool, bool]:
        """The sort key: a run with changed settings comes last, before it one whose cost cannot be compared."""
        return bool(changed_conditions(before, after)), bool(obstacles(before, after))

    is_copy = bool(timings(after)) and timings(after) in map(timings, stored)
    return SeedPair(seed=seed, before=min(reversed(stored), key=unlikeness), after=after, is_copy=is_copy)


def _compare_learning(case: str, pairs: Sequence[SeedPair], remarks: SeedRemarks) -> Iterator[Verdict | TestedChange]:
    """Yield one `same` verdict if every metric that the seed determines is equal to the last bit in every pair. Else
    yield a change for each quantity that the workload is judged by. Nothing is yielded if no pair is comparable; the
    reasons are added to `remarks`."""
    seeded = {name for name, metric in METRICS.items() if metric.seeded}
    comparable, metrics = list[SeedPair](), set[str]()
    differing = list[tuple[SpanMetric, int]]()
    for pair in pairs:
        for reason in pair.changed:
            remarks.add(pair.seed, Outcome.INCOMPARABLE, f"{reason}, so the runs cannot be compared")
        old, new = _step_values(pair.before, seeded), _step_values(pair.after, seeded)
        if not pair.changed and not old and not new:
            remarks.add(pair.seed, Outcome.BROKEN, "neither run recorded what it learnt")
        elif not pair.changed:
            comparable.append(pair)
            metrics |= {metric for _, metric in (*old, *new)}
            differing += _differing(old, new)
    if not comparable:
        return
    notes = list(dict.fromkeys(reason for pair in comparable for reason in pair.obstacles))
    if not differing:
        is_or_are = "is" if len(metrics) == 1 else "are"
        reason = f"{counted(len(metrics), 'metric')} {is_or_are} bit-equal over {counted(len(comparable), 'seed')}"
        yield Verdict(case=case, outcome=Outcome.SAME, reason=reason, notes=notes)
        return
    num_differing, first = len({metric for (_, metric), _ in differing}), min(step for _, step in differing)
    note = f"{num_differing} of {counted(len(metrics), 'metric')} set by the seed differ, from step {first} on"
    for place, quantity in enumerate(judging_of(pairs[0].after.case.workload).learnt):
        yield from _compare_quantity(case, quantity, comparable, remarks, notes if place else [note, *notes])


def _compare_costs(case: str, pairs: Sequence[SeedPair], remarks: SeedRemarks) -> Iterator[Verdict | TestedChange]:
    """Compare the costs of pairs whose environments match; the other pairs get remarks. A workload may have none."""
    pairs = [pair for pair in pairs if not pair.changed]
    spent = judging_of(pairs[0].after.case.workload).spent if pairs else None
    if spent is None:
        return
    timed = []
    for pair in pairs:  # each remark names its seed, since the others are compared all the same
        if pair.obstacles:
            reason = f"times are not comparable: {'; '.join(pair.obstacles)}"
            remarks.add(pair.seed, Outcome.INCOMPARABLE, reason, spent)
        elif pair.is_copy:
            remarks.add(pair.seed, Outcome.INCOMPARABLE, COPIED, spent)
        else:
            timed.append(pair)
    yield from _compare_quantity(case, spent, timed, remarks)


def _compare_quantity(
    case: str, quantity: Quantity, pairs: Sequence[SeedPair], remarks: SeedRemarks, notes: Sequence[str] = ()
) -> Iterator[Verdict | TestedChange]:
    """Yield the change of a quantity over pairs that have comparable values, and add a remark on every other pair. With
    fewer pairs than FEWEST_PAIRS it is an inconclusive verdict; without any, nothing."""
    before, after = list[TakenValue](), list[TakenValue]()
    for pair in pairs:
        old, new = quantity.take(pair.before), quantity.take(pair.after)
        if old is None and new is None:
            remarks.add(pair.seed, Outcome.BROKEN, "neither side recorded it", quantity)
        elif old is None:
            remarks.add(pair.seed, Outcome.NEW, "was not recorded before", quantity)
        elif new is None:
            remarks.add(pair.seed, Outcome.MISSING, "is no longer recorded", quantity)
        elif old.readings != new.readings:
            counts = f"{counted(len(old.readings), 'reading')} before, {counted(len(new.readings), 'reading')} now"
            remarks.add(pair.seed, Outcome.INCOMPARABLE, f"was recorded at other steps: {counts}", quantity)
        elif not quantity.is_accuracy and not all(0 < run.value < math.inf for run in (old, new)):
            reason = f"{old.value!r} before, {new.value!r} now, which cannot be compared"
            remarks.add(pair.seed, Outcome.BROKEN, reason, quantity)
        else:
            before.append(old)
            after.append(new)
    if len(before) >= FEWEST_PAIRS:
        yield compare_pairs(case, quantity, before, after, notes)
    elif before:
        averages = [quantity.average([run.value for run in side]) for side in (before, after)]
        yield Verdict(
            case=case,
            span=quantity.span,
            metric=quantity.metric,
            outcome=Outcome.INCONCLUSIVE,
            reason=f"needs {FEWEST_PAIRS} paired seeds; there are {len(before)}: {quantity.in_words(*averages)}",
            before=averages[0],
            after=averages[1],
            notes=notes,
        )


def _exact(case: str, pairs: Sequence[SeedPair], tolerances: Tolerances) -> list[Verdict]:
    """The verdicts on the exact quantities of each seed. One that varies within a run is only noted."""
    exact = {name for name, metric in METRICS.items() if metric.exact}
    varying = {
        name
        for pair in pairs
        for record in (pair.before, pair.after)
        for name, values in _step_values(record, exact).items()
        if len({value for _, value in values}) > 1
    }
    before = _exact_by_seed({pair.seed: pair.before for pair in pairs}, varying)
    after = _exact_by_seed({pair.seed: pair.after for pair in pairs}, varying)
    names = ", ".join(f"{metric} of {span}" for span, metric in sorted(varying))
    notes = [f"not judged, because it changes from step to step: {names}"] if varying else []
    verdicts = judge_exact(case, before, after, tolerances)
    return [replace(verdict, notes=[*verdict.notes, *notes]) for verdict in verdicts]


def _exact_by_seed(records: Mapping[str, Record], varying: set[SpanMetric]) -> Exact:
    """The exact quantities of all seeds together, in spans named `seed 3 layer`. `varying` ones are left out."""
    readings: dict[str, Mapping[str, float]] = {}
    operators: dict[str, Sequence[str]] = {}
    for seed, record in records.items():
        steady = [reading for reading in record.readings if (reading.span, reading.metric) not in varying]
        exact = exact_of_record(replace(record, readings=steady))
        readings |= {f"seed {seed} {span}": values for span, values in exact.readings.items()}
        operators |= {f"seed {seed} {span}": names for span, names in exact.operators.items()}
    return Exact(readings=readings, operators=operators)


def _step_values(record: Record, metrics: set[str]) -> StepValues:
    """The (step, value) pairs of each series of these metrics, in order."""
    return {
        (span, metric): sorted((reading.step, reading.value) for reading in readings)
        for (span, metric), readings in record.by_span.items()
        if metric in metrics
    }


def _differing(old: StepValues, new: StepValues) -> Iterator[tuple[SpanMetric, int]]:
    """Yield the span and metric of each series that differs in any bit, and the first step that differs."""
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name, ()), new.get(name, ())
        if before != after:
            yield name, min((step for step, _ in {*before} ^ {*after}), default=0)
