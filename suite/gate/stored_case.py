"""One case's stored runs against its new ones: what stands at once, and which times are left to judge."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from suite.gate.exact import exact_of_record, judge_exact
from suite.gate.family import Tested
from suite.gate.fingerprint import differences, surroundings
from suite.gate.pairing import changed_settings
from suite.gate.runs import Run, bad_run, counting, ok_runs
from suite.gate.stored_times import FEWEST_RUNS, LATENCY, Comparison, compared
from suite.gate.tolerances import Tolerances
from suite.gate.verdict import Outcome, Verdict
from suite.records.metrics import METRICS
from suite.records.record import Record, Status

BASELINE, CANDIDATE = "baseline", "candidate"


@dataclass(frozen=True, kw_only=True)
class Found:
    """Verdicts that stand, and what is tested together with that of all other cases."""

    verdicts: Sequence[Verdict] = ()
    tested: Sequence[Tested] = ()
    pairs: Sequence[tuple[Record, Record]] = ()
    """The stored and the new records whose quantities were really compared."""
    shown: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """What differs in their surroundings."""


def judge_case(case: str, old: Sequence[Run], new: Sequence[Run], tolerances: Tolerances) -> Found:
    """Both are oldest first; one of them may be empty."""
    new = counting(new)
    broken = [*unsound(case, BASELINE, old), *unsound(case, CANDIDATE, new)]
    if broken:
        return Found(verdicts=broken)
    if not ran(old) or not ran(new):
        return Found(verdicts=[presence(case, old, new)])
    return _judge_pair(case, ok_runs(old), ok_runs(new), tolerances)


def _judge_pair(case: str, old: Sequence[Run], new: Sequence[Run], tolerances: Tolerances) -> Found:
    """Exact quantities of the newest on either side; of the stored ones the newest that times may be compared with."""
    after = new[-1].record
    usable = [run.record for run in old if not obstacles(run.record, after)]
    before = usable[-1] if usable else old[-1].record
    in_the_way = obstacles(before, after)
    try:
        exact = judge_exact(case, exact_of_record(before), exact_of_record(after), tolerances)
    except ValueError as error:
        return Found(verdicts=[Verdict(case=case, outcome=Outcome.BROKEN, reason=str(error))])
    exact = [replace(verdict, notes=[*verdict.notes, *in_the_way]) for verdict in exact]
    times = list(_judge_times(case, usable, before, [run.record for run in new], in_the_way))
    comparisons = [one for one in times if isinstance(one, Comparison)]
    verdicts = [*exact, *(one for one in times if isinstance(one, Verdict))]
    if not verdicts and not comparisons:
        verdicts = [Verdict(case=case, outcome=Outcome.BROKEN, reason="neither run holds anything that can be judged")]
    return Found(
        verdicts=verdicts,
        tested=comparisons,
        pairs=[(before, after)] if exact or comparisons else [],
        shown=differences(surroundings(before), surroundings(after))[1],
    )


def _judge_times(
    case: str, usable: Sequence[Record], before: Record, new: Sequence[Record], in_the_way: Sequence[str]
) -> Iterator[Verdict | Comparison]:
    """Spans that only one side has timed, then the others: as comparisons, or one verdict on why there is none."""

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
        yield verdict(Outcome.INCOMPARABLE, "the candidate is a stored run, to the last digit: nothing new was timed")
    else:
        for span in shared:
            drawn = [of_run[span] for of_run in map(medians_s, stored.values()) if span in of_run]
            if len(drawn) < FEWEST_RUNS:
                told = f"time needs {FEWEST_RUNS} stored runs of this case on this machine; there are {len(drawn)}"
                yield verdict(Outcome.INCONCLUSIVE, told, span)
            else:
                now = [of_run[span] for of_run in map(medians_s, new) if span in of_run]
                yield compared(case, span, drawn, now, str(new[-1].provenance.get("clock") or ""))


def medians_s(record: Record) -> dict[str, float]:
    """A record's median time of each span: one draw, since the steps of one run share its conditions."""
    by_span: dict[str, list[float]] = {}
    for reading in record.readings:
        if reading.metric == LATENCY:
            by_span.setdefault(reading.span, []).append(reading.value)
    return {span: float(np.median(values)) for span, values in by_span.items()}


def obstacles(before: Record, after: Record) -> list[str]:
    """Why times of these two cannot be compared, a sentence each."""
    return [*of_other_things(before, after), *differences(surroundings(before), surroundings(after))[0]]


def of_other_things(before: Record, after: Record) -> list[str]:
    """Why nothing noisy of these two can be compared, wherever they ran."""
    changed = changed_settings(before.settings, after.settings)
    kinds = [] if before.evidence is after.evidence else [f"evidence: {before.evidence} before, {after.evidence} now"]
    return [*([f"settings changed: {', '.join(changed)}"] if changed else []), *kinds]


def unsound(case: str, role: str, runs: Sequence[Run]) -> Iterator[Verdict]:
    """A run that failed, and readings that no comparison can use."""
    bad = bad_run(runs)
    if bad is not None:
        said = f"{role} run {bad.name} is {bad.record.status}: {bad.record.reason or 'no reason is given'}"
        yield Verdict(case=case, outcome=Outcome.BROKEN, reason=said)
    for run in ok_runs(runs):
        for reading in run.record.readings:
            is_impossible = reading.metric == LATENCY and reading.value <= 0
            if reading.metric in METRICS and (is_impossible or not math.isfinite(reading.value)):
                said = f"{role} run {run.name} holds {reading.value!r}, which cannot be compared"
                yield Verdict(case=case, span=reading.span, metric=reading.metric, outcome=Outcome.BROKEN, reason=said)
                break


def ran(runs: Sequence[Run]) -> bool:
    return bool(runs) and runs[-1].record.status is Status.OK


def presence(case: str, old: Sequence[Run], new: Sequence[Run]) -> Verdict:
    """What it means that a side has no run of a case, or only one that was refused as unsupported."""
    if not ran(old) and not ran(new) and old and new:
        said = f"unsupported on both sides, so nothing was compared: {new[-1].record.reason or 'no reason is given'}"
        return Verdict(case=case, outcome=Outcome.SAME, reason=said)
    if new and not ran(old):
        was = "unsupported in" if old else "not in"
        return Verdict(
            case=case, outcome=Outcome.NEW, reason=f"{was} the baseline, so there is nothing to compare with"
        )
    gone = f"now unsupported: {new[-1].record.reason}" if new else "there is no run of it in the candidate"
    return Verdict(case=case, outcome=Outcome.MISSING, reason=f"it is in the baseline, and {gone}")


def timings(record: Record) -> tuple[float, ...]:
    """Every time in it, which no two real runs share."""
    return tuple(reading.value for reading in record.readings if reading.metric == LATENCY)
