"""One case's stored runs and its new ones: verdicts that stand at once, and times that are left to be tested.

A time that was measured at another hour has lost its pairing: on one busy machine, CPU time without interleaving failed
identical code in 6 of 8 runs. So each stored run counts as one draw, whatever the number of its steps, and the
candidate as one more: it is slower only where it lies outside what a further run of the old code would give.

Hours differ as few normal numbers do: most are alike, and now and then one is far off. A few stored runs seldom hold
such an hour, so that it takes all timings of a judgement to tell how far the next may lie: rules/multiple_testing.py.
"""

import datetime
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from suite.gate.rules.acceptances import apply_file
from suite.gate.rules.exact import exact_of_record, judge_exact
from suite.gate.rules.fingerprint import changed_settings, differences, surroundings
from suite.gate.rules.multiple_testing import ALPHA, HEAVIEST_TAILS, TestedChange, judge_together
from suite.gate.rules.tolerances import Tolerances
from suite.gate.verdict import LATENCY, Judgement, Outcome, Side, Verdict
from suite.records.metrics import METRICS
from suite.records.numbers import seconds
from suite.records.record import Record, Status

BASELINE, CANDIDATE = "baseline", "candidate"
ALWAYS_BAD = (Status.FAILED, Status.INCORRECT, Status.OUT_OF_MEMORY)
"""They stay bad when the same code succeeds in another run: what comes and goes is not sound."""
OVERLAPPING = "baseline and candidate overlap, so runs would be compared with themselves"
COPIED = "the candidate is a stored run, to the last digit: nothing new was timed"
FEWEST_RUNS = 5
"""With fewer, their standard deviation is often by chance a small part of what hours differ by."""


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A stored record and its place."""

    record: Record
    name: str
    """Its folder, below the one that was given: never an absolute path."""


@dataclass(frozen=True, kw_only=True)
class CaseJudgement:
    """Verdicts that stand, and quantities that are tested together with those of all other cases."""

    verdicts: Sequence[Verdict] = ()
    tested: Sequence[TestedChange] = ()
    pairs: Sequence[tuple[Record, Record]] = ()
    """The stored and the new records whose quantities were really compared."""
    differences: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Facts of their surroundings that differ."""


def compare_times(
    case: str, span: str, stored_s: Sequence[float], candidate_s: Sequence[float], clock: str
) -> TestedChange:
    """Compare the median of the candidate's runs with the geometric mean of the stored ones, all above zero.

    The candidate's runs count as one draw however many they are: they were made together, and share their hour.
    """
    logs = np.log(np.asarray(stored_s, dtype=float))
    before_s, after_s = float(np.exp(logs.mean())), float(np.median(candidate_s))
    residuals, squares = logs - logs.mean(), float(((logs - logs.mean()) ** 2).sum())
    # Residuals studentised without their own run: each run stands as far from the others as a new one would.
    others = np.maximum(squares * (1 - 1 / len(logs)) - residuals**2, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = np.nan_to_num(
            residuals * np.sqrt((len(logs) - 2) / others), nan=0.0, posinf=np.inf, neginf=-np.inf
        )
    return TestedChange(
        case=case,
        span=span,
        metric=LATENCY,
        before=before_s,
        after=after_s,
        shift=math.log(after_s / before_s),
        # Of a prediction: of one further run, about the mean of the stored ones.
        error=float(logs.std(ddof=1)) * math.sqrt(1 + 1 / len(logs)),
        freedom=HEAVIEST_TAILS,
        deviations=deviations.tolist(),
        values=f"{seconds(before_s)} in {len(logs)} stored runs, {seconds(after_s)} now",
        runs="stored runs",
        signed_margin=False,
        launches=len(logs),
        clock=clock,
    )


def stored_judgement(
    before: Side,
    after: Side,
    verdicts: Sequence[Verdict],
    changes: Sequence[TestedChange],
    *,
    differences: Mapping[str, Sequence[Any]],
    warnings: Sequence[str],
    facts: Mapping[str, Any],
    tolerances: Tolerances,
    accepted: Path | None,
    today: datetime.date | None,
    inconclusive_fails: bool,
) -> Judgement:
    """Test all changes together and let pass what a file of acceptances says."""
    judged = [*verdicts, *judge_together(changes, tolerances)]
    judged, more = apply_file(judged, accepted, today or datetime.date.today())
    return Judgement(
        form="stored",
        before=before,
        after=after,
        verdicts=judged,
        differences=differences,
        warnings=[*warnings, *more],
        facts={
            "floor": tolerances.default_minimum_effect,
            "target": tolerances.default_equivalence_margin,
            "alpha": ALPHA,
            "fewest_stored_runs": FEWEST_RUNS,
            **facts,
        },
        inconclusive_fails=inconclusive_fails,
    )


def judge_case(case: str, old: Sequence[StoredRun], new: Sequence[StoredRun], tolerances: Tolerances) -> CaseJudgement:
    """Judge a case. Both sides are oldest first; one of them may be empty."""
    new = counting(new)
    if broken := [*unsound(case, BASELINE, old), *unsound(case, CANDIDATE, new)]:
        return CaseJudgement(verdicts=broken)
    if not ran(old) or not ran(new):
        return CaseJudgement(verdicts=[presence(case, old, new)])
    return _judge_pair(case, ok_records(old), ok_records(new), tolerances)


def _judge_pair(case: str, old: Sequence[Record], new: Sequence[Record], tolerances: Tolerances) -> CaseJudgement:
    """Judge the newest record by the newest stored one, if possible one that times may be compared with."""
    after = new[-1]
    usable = [record for record in old if not obstacles(record, after)]
    before = usable[-1] if usable else old[-1]
    in_the_way = obstacles(before, after)
    try:
        exact = judge_exact(case, exact_of_record(before), exact_of_record(after), tolerances)
    except ValueError as error:
        return CaseJudgement(verdicts=[Verdict(case=case, outcome=Outcome.BROKEN, reason=str(error))])
    exact = [replace(verdict, notes=[*verdict.notes, *in_the_way]) for verdict in exact]
    times = list(_judge_times(case, usable, before, new, in_the_way))
    comparisons = [time for time in times if isinstance(time, TestedChange)]
    verdicts = [*exact, *(time for time in times if isinstance(time, Verdict))]
    if not verdicts and not comparisons:
        verdicts = [Verdict(case=case, outcome=Outcome.BROKEN, reason="neither run holds anything that can be judged")]
    return CaseJudgement(
        verdicts=verdicts,
        tested=comparisons,
        pairs=[(before, after)] if exact or comparisons else [],
        differences=differences(surroundings(before), surroundings(after))[1],
    )


def _judge_times(
    case: str, usable: Sequence[Record], before: Record, new: Sequence[Record], in_the_way: Sequence[str]
) -> Iterator[Verdict | TestedChange]:
    """Yield verdicts on spans that only one side has timed, then comparisons of the others, or why there is none."""
    old_s, new_s = medians_s(before), medians_s(new[-1])

    def verdict(outcome: Outcome, reason: str, span: str = "") -> Verdict:
        was, now = old_s.get(span), new_s.get(span)
        return Verdict(case=case, span=span, metric=LATENCY, outcome=outcome, reason=reason, before=was, after=now)

    for span in [span for span in old_s if span not in new_s]:
        yield verdict(Outcome.MISSING, "is no longer timed", span)
    for span in [span for span in new_s if span not in old_s]:
        yield verdict(Outcome.NEW, "was not timed before", span)
    shared = [span for span in new_s if span in old_s]
    stored = {timings(record): record for record in usable if timings(record)}  # a run that was copied counts once
    if not shared:
        return
    if in_the_way:
        yield verdict(Outcome.INCOMPARABLE, f"times are not comparable: {'; '.join(in_the_way)}")
    elif any(timings(record) in stored for record in new):
        yield verdict(Outcome.INCOMPARABLE, COPIED)
    else:
        clock = str(new[-1].provenance.get("clock") or "")
        stored_medians, new_medians = ([medians_s(record) for record in side] for side in (stored.values(), new))
        for span in shared:
            drawn_s, now_s = (
                [medians[span] for medians in side if span in medians] for side in (stored_medians, new_medians)
            )
            if len(drawn_s) < FEWEST_RUNS:
                reason = f"time needs {FEWEST_RUNS} stored runs of this case on this machine; there are {len(drawn_s)}"
                yield verdict(Outcome.INCONCLUSIVE, reason, span)
            else:
                yield compare_times(case, span, drawn_s, now_s, clock)


def medians_s(record: Record) -> dict[str, float]:
    """A record's median time of each span: one draw, since the steps of one run share its conditions."""
    by_span: dict[str, list[float]] = {}
    for reading in record.series(LATENCY):
        by_span.setdefault(reading.span, []).append(reading.value)
    return {span: float(np.median(values)) for span, values in by_span.items()}


def timings(record: Record) -> tuple[float, ...]:
    """Every time in a record, which no two real runs share."""
    return tuple(reading.value for reading in record.series(LATENCY))


def obstacles(before: Record, after: Record) -> list[str]:
    """Why times of these two cannot be compared, a sentence each."""
    return [*changed_conditions(before, after), *differences(surroundings(before), surroundings(after))[0]]


def changed_conditions(before: Record, after: Record) -> list[str]:
    """Why nothing noisy of these two can be compared, wherever they ran."""
    changed = changed_settings(before.settings, after.settings)
    kinds = [] if before.evidence is after.evidence else [f"evidence: {before.evidence} before, {after.evidence} now"]
    return [*([f"settings changed: {', '.join(changed)}"] if changed else []), *kinds]


def counting(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """The runs of a candidate that count: the newest and its repeats, by the same code on the same machine."""
    return [run for run in runs if run.record.run_key == runs[-1].record.run_key]


def ok_records(runs: Sequence[StoredRun]) -> list[Record]:
    return [run.record for run in runs if run.record.status is Status.OK]


def ran(runs: Sequence[StoredRun]) -> bool:
    return bool(runs) and runs[-1].record.status is Status.OK


def bad_run(runs: Sequence[StoredRun]) -> StoredRun | None:
    """A run that is not sound, the newest first.

    An interrupted one counts only where no later run took its place.
    """
    if runs and runs[-1].record.status is Status.INTERRUPTED:
        return runs[-1]
    return next((run for run in reversed(runs) if run.record.status in ALWAYS_BAD), None)


def unsound(case: str, role: str, runs: Sequence[StoredRun]) -> Iterator[Verdict]:
    """Yield a verdict on a run that failed, and on readings that no comparison can use."""
    bad = bad_run(runs)
    if bad is not None:
        reason = f"{role} run {bad.name} is {bad.record.status}: {bad.record.reason or 'no reason is given'}"
        yield Verdict(case=case, outcome=Outcome.BROKEN, reason=reason)
    for run in runs:
        for reading in run.record.readings if run.record.status is Status.OK else ():
            is_impossible = reading.metric == LATENCY and reading.value <= 0
            if reading.metric in METRICS and (is_impossible or not math.isfinite(reading.value)):
                reason = f"{role} run {run.name} holds {reading.value!r}, which cannot be compared"
                yield Verdict(
                    case=case, span=reading.span, metric=reading.metric, outcome=Outcome.BROKEN, reason=reason
                )
                break


def broken_verdict(case: str, reason: str) -> Verdict:
    return Verdict(case=case, outcome=Outcome.BROKEN, reason=reason)


def side(label: str, commits: Iterable[str | None], dirty: Iterable[bool]) -> Side:
    """A side, with its commit where all of its runs are of one."""
    every = set(commits)
    return Side(label=label, commit=(every.pop() or None) if len(every) == 1 else None, dirty=any(dirty))


def presence(case: str, old: Sequence[StoredRun], new: Sequence[StoredRun]) -> Verdict:
    """The verdict on a case of which a side has no run, or only one that was refused as unsupported."""
    if not ran(old) and not ran(new) and old and new:
        reason = f"unsupported on both sides, so nothing was compared: {new[-1].record.reason or 'no reason is given'}"
        return Verdict(case=case, outcome=Outcome.SAME, reason=reason)
    if new and not ran(old):
        reason = f"{'unsupported' if old else 'not'} in the baseline, so there is nothing to compare with"
        return Verdict(case=case, outcome=Outcome.NEW, reason=reason)
    gone = f"now unsupported: {new[-1].record.reason}" if new else "there is no run of it in the candidate"
    return Verdict(case=case, outcome=Outcome.MISSING, reason=f"it is in the baseline, and {gone}")
