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
COPIED = "the candidate equals a stored run to the last digit, so nothing new was timed"
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
    """The change from the geometric mean of stored times to the median of the candidate's, all above 0, to be tested.
    The candidate's runs count as one draw however many they are: they were made together and share their hour."""
    logs = np.log(np.asarray(stored_s, dtype=float))
    before_s, after_s = float(np.exp(logs.mean())), float(np.median(candidate_s))
    residuals = logs - logs.mean()
    # Residuals studentised without their own run: each run stands as far from the others as a new one would.
    squares_without = np.maximum(float((residuals**2).sum()) * (1 - 1 / len(logs)) - residuals**2, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = residuals * np.sqrt((len(logs) - 2) / squares_without)
    deviations = np.nan_to_num(deviations, nan=0.0, posinf=np.inf, neginf=-np.inf)  # runs without any spread
    return TestedChange(
        case=case,
        span=span,
        metric=LATENCY,
        before=before_s,
        after=after_s,
        shift=math.log(after_s / before_s),
        # The error of a prediction: of one further run, about the mean of the stored ones.
        error=float(logs.std(ddof=1)) * math.sqrt(1 + 1 / len(logs)),
        freedom=HEAVIEST_TAILS,  # `judge_together` raises it where all timings show lighter tails
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
    accepted: Path | None = None,
    today: datetime.date | None = None,
    inconclusive_fails: bool = False,
) -> Judgement:
    """The judgement of stored runs: the given verdicts, and one for each change, tested together. `accepted`: the file
    of acceptances, which are applied as of `today`."""
    judged = [*verdicts, *judge_together(changes, tolerances)]
    judged, more_warnings = apply_file(judged, accepted, today or datetime.date.today())
    return Judgement(
        form="stored",
        before=before,
        after=after,
        verdicts=judged,
        differences=differences,
        warnings=[*warnings, *more_warnings],
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
    """Judge the newest run of a case by its stored ones, `old`: exact quantities at once, times to be tested later.
    Both sides are oldest first, and one may be empty. If a run failed, that alone is judged."""
    new = newest_repeats(new)
    # What failed or cannot be read is reported before anything is compared, since the rest could look the same.
    if broken := [*unsound(case, BASELINE, old), *unsound(case, CANDIDATE, new)]:
        return CaseJudgement(verdicts=broken)
    if not is_newest_ok(old) or not is_newest_ok(new):
        return CaseJudgement(verdicts=[presence(case, old, new)])
    stored, candidates = ok_records(old), ok_records(new)
    after = candidates[-1]
    usable = [record for record in stored if not obstacles(record, after)]
    before = [*stored, *usable][-1]  # the newest whose times can be compared, or the newest
    try:
        exact = judge_exact(case, exact_of_record(before), exact_of_record(after), tolerances)
    except ValueError as error:
        return CaseJudgement(verdicts=[broken_verdict(case, str(error))])
    times = list(_judge_times(case, usable, before, candidates))
    tested = [time for time in times if isinstance(time, TestedChange)]
    verdicts = [replace(verdict, notes=[*verdict.notes, *obstacles(before, after)]) for verdict in exact]
    verdicts += [time for time in times if isinstance(time, Verdict)]
    if not verdicts and not tested:
        verdicts = [broken_verdict(case, "neither run has a quantity that can be judged")]
    return CaseJudgement(
        verdicts=verdicts,
        tested=tested,
        pairs=[(before, after)] if exact or tested else [],
        differences=differences(surroundings(before), surroundings(after))[1],
    )


def _judge_times(
    case: str, usable: Sequence[Record], before: Record, candidates: Sequence[Record]
) -> Iterator[Verdict | TestedChange]:
    """Yield a verdict for each span that only one side timed, and for the others a change to be tested. If the times
    cannot be compared, one incomparable verdict stands in place of all changes; with fewer than FEWEST_RUNS stored runs
    a span is inconclusive."""
    old_s, new_s = medians_s(before), medians_s(candidates[-1])

    def verdict(outcome: Outcome, reason: str, span: str = "") -> Verdict:
        """A verdict on the time of a span, with the newest values of both sides."""
        was_s, now_s = old_s.get(span), new_s.get(span)
        return Verdict(case=case, span=span, metric=LATENCY, outcome=outcome, reason=reason, before=was_s, after=now_s)

    yield from (verdict(Outcome.MISSING, "is no longer timed", span) for span in old_s if span not in new_s)
    yield from (verdict(Outcome.NEW, "was not timed before", span) for span in new_s if span not in old_s)
    spans = [span for span in new_s if span in old_s]
    if not spans:
        return
    stored = {timings(record): record for record in usable if timings(record)}  # a run that was copied counts once
    if reasons := obstacles(before, candidates[-1]):
        yield verdict(Outcome.INCOMPARABLE, f"times are not comparable: {'; '.join(reasons)}")
    elif any(timings(record) in stored for record in candidates):
        yield verdict(Outcome.INCOMPARABLE, COPIED)
    else:
        clock = str(candidates[-1].provenance.get("clock") or "")
        sides = [[medians_s(record) for record in records] for records in (stored.values(), candidates)]
        for span in spans:
            stored_s, candidate_s = ([medians[span] for medians in side if span in medians] for side in sides)
            if len(stored_s) < FEWEST_RUNS:
                reason = (
                    f"a time needs {FEWEST_RUNS} stored runs of this case on this machine; there are {len(stored_s)}"
                )
                yield verdict(Outcome.INCONCLUSIVE, reason, span)
            else:
                yield compare_times(case, span, stored_s, candidate_s, clock)


def medians_s(record: Record) -> dict[str, float]:
    """The median seconds of each span of a record. They count as one draw: the steps of a run share its conditions."""
    return {
        span: float(np.median([reading.value for reading in readings]))
        for (span, metric), readings in record.by_span.items()
        if metric == LATENCY
    }


def timings(record: Record) -> tuple[float, ...]:
    """Every time in a record. Two records with equal ones are copies: real runs differ."""
    return tuple(reading.value for reading in record.series(LATENCY))


def obstacles(before: Record, after: Record) -> list[str]:
    """Reasons why times of two records cannot be compared, a sentence each; empty if they can."""
    return [*changed_conditions(before, after), *differences(surroundings(before), surroundings(after))[0]]


def changed_conditions(before: Record, after: Record) -> list[str]:
    """Changes of settings or evidence, as reasons why no noisy quantity of two records can be compared."""
    reasons = []
    if changed := changed_settings(before.settings, after.settings):
        reasons.append(f"settings changed: {', '.join(changed)}")
    if before.evidence is not after.evidence:
        reasons.append(f"evidence: {before.evidence} before, {after.evidence} now")
    return reasons


def newest_repeats(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """The newest run and its repeats, by the same code on the same machine. Older ones of a candidate do not count."""
    return [run for run in runs if run.record.run_key == runs[-1].record.run_key]


def ok_records(runs: Sequence[StoredRun]) -> list[Record]:
    """The records of the runs that succeeded."""
    return [run.record for run in runs if run.record.status is Status.OK]


def is_newest_ok(runs: Sequence[StoredRun]) -> bool:
    """Whether there is a run and the newest succeeded."""
    return bool(runs) and runs[-1].record.status is Status.OK


def bad_record(runs: Sequence[StoredRun]) -> StoredRun | None:
    """The newest run that failed; None if none did. An interrupted run counts only if it is the newest of all."""
    if runs and runs[-1].record.status is Status.INTERRUPTED:
        return runs[-1]
    return next((run for run in reversed(runs) if run.record.status in ALWAYS_BAD), None)


def unsound(case: str, role: str, runs: Sequence[StoredRun]) -> Iterator[Verdict]:
    """Yield broken verdicts: on the newest failed run, and on one impossible reading of each other run."""
    bad = bad_record(runs)
    if bad is not None:
        reason = (
            f"{role} run {bad.name} has the status {bad.record.status}: {bad.record.reason or 'no reason is given'}"
        )
        yield broken_verdict(case, reason)
    for run in runs:
        for reading in run.record.readings if run.record.status is Status.OK else ():
            is_impossible = reading.metric == LATENCY and reading.value <= 0
            if reading.metric in METRICS and (is_impossible or not math.isfinite(reading.value)):
                reason = f"{role} run {run.name} holds {reading.value!r}, which cannot be compared"
                yield broken_verdict(case, reason, span=reading.span, metric=reading.metric)
                break  # one reading of a run says enough


def broken_verdict(case: str, reason: str, **fields: Any) -> Verdict:
    """A broken verdict. `fields`: others of a Verdict."""
    return Verdict(case=case, outcome=Outcome.BROKEN, reason=reason, **fields)


def side(label: str, commits: Iterable[str | None], dirty: Iterable[bool]) -> Side:
    """A side of a judgement, with a commit only if all of its runs have the same; dirty if any run was."""
    unique = set(commits)
    return Side(label=label, commit=(unique.pop() or None) if len(unique) == 1 else None, dirty=any(dirty))


def presence(case: str, old: Sequence[StoredRun], new: Sequence[StoredRun]) -> Verdict:
    """The verdict on a case that a side did not run, or refused as unsupported: same, new or missing."""
    if old and new and not is_newest_ok(old) and not is_newest_ok(new):
        reason = f"unsupported on both sides, so nothing was compared: {new[-1].record.reason or 'no reason is given'}"
        return Verdict(case=case, outcome=Outcome.SAME, reason=reason)
    if new and not is_newest_ok(old):
        reason = f"{'unsupported' if old else 'not'} in the baseline, so there is nothing to compare with"
        return Verdict(case=case, outcome=Outcome.NEW, reason=reason)
    lack = f"unsupported now: {new[-1].record.reason}" if new else "the candidate has no run of it"
    return Verdict(case=case, outcome=Outcome.MISSING, reason=f"it is in the baseline, but {lack}")
