"""What every form of the answer says in the same words: what was compared, by how much it differs, what to do."""

import math
import shlex
from collections.abc import Callable, Iterable, Sequence

from suite.gate.pairing import is_judged_by_seed
from suite.gate.short_names import settings_of
from suite.gate.verdict import (
    BROKEN,
    CANNOT_JUDGE,
    INTERRUPTED,
    PASSED,
    WORSE,
    Judgement,
    Outcome,
    Side,
    Verdict,
)
from suite.records import numbers
from suite.records.metrics import METRICS

MEANINGS = {
    PASSED: "nothing is slower or worse",
    WORSE: "slower or worse",
    CANNOT_JUDGE: "cannot judge",
    BROKEN: "something is broken or missing, or nothing was judged",
    INTERRUPTED: "interrupted",
}
"""What each exit code says."""
HOW = {"against": "measured side by side", "stored": "from stored records"}
COMMIT_LENGTH = 7
TIMES_FROM = 10.0
"""From here on `12×` is read faster than `+1100 %`."""
NOTHING_JUDGED = "Nothing was judged: no case had anything to be compared with."
CUT_SHORT = "It was cut short: what is not listed was not judged."
ACCEPT = "To let a case pass for a reason and until a date, which a review then sees:"
"""Followed by the command."""
POINTS = tuple(name for name, metric in METRICS.items() if metric.points)
"""Shares that change by points: from 0.78 to 0.61 is 0.17 less."""
LISTED_FACTS = ("sweep", "code", "target", "clock", "launches", "floor", "seconds", "started_at")


def compared(judgement: Judgement) -> str:
    """`working tree (89abcde, with uncommitted changes) against main (0123456), measured side by side`."""
    how = HOW.get(judgement.form, judgement.form)
    return f"{side(judgement.after)} against {side(judgement.before)}, {how}"


def side(one: Side) -> str:
    commit = (one.commit or "")[:COMMIT_LENGTH]
    is_said = bool(commit) and one.label.startswith(commit)
    about = [*([commit] if commit and not is_said else []), *(["with uncommitted changes"] if one.dirty else [])]
    return f"{one.label} ({', '.join(about)})" if about else one.label


def tally(judgement: Judgement) -> str:
    """`2 slower, 1 inconclusive, 37 same`, worst first."""
    counts = judgement.counts
    return ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in Outcome if counts[outcome]) or "no verdict"


def meaning(judgement: Judgement) -> str:
    return f"exit code {judgement.exit_code}: {MEANINGS[judgement.exit_code]}"


def quantity(verdict: Verdict) -> str:
    """`layer · latency_s`: which of a case's quantities it is about."""
    return " · ".join(filter(None, [verdict.span, verdict.metric]))


def change(verdict: Verdict, *, to: str = " to ") -> str:
    """`+5.2 % (4.1 to 6.3)`, or `-0.170 (-0.215 to -0.125)` of what changes by points; empty where there is no ratio.

    `to` stands between the ends of the interval.
    """
    ratio = finite(verdict.ratio)
    if ratio is None:
        return ""
    if (before := _in_points(verdict)) is not None:
        said, *ends = (_points(before, one) for one in (ratio, finite(verdict.low), finite(verdict.high)))
        return f"{said} ({to.join(ends)})" if all(ends) else said
    text = _times if ratio >= TIMES_FROM else _percent
    low, high = finite(verdict.low), finite(verdict.high)
    interval = "" if low is None or high is None else f" ({text(low)}{to}{text(high)})"
    return f"{ratio:.3g}×{interval}" if text is _times else f"{percent(ratio)}{interval}"


def most(verdict: Verdict) -> str:
    """`+2.0 %`, or `-0.020`: the largest change that is no failure; empty where none is said."""
    allowed, before = finite(verdict.allowed), _in_points(verdict)
    if allowed is None:
        return ""
    return percent(allowed) if before is None else _points(before, allowed)


def percent(ratio: float) -> str:
    """`+5.2 %` of 1.052."""
    text = _percent(ratio)
    return f"{text} %" if text.startswith("-") else f"+{text} %"


def values(verdict: Verdict) -> tuple[str, str]:
    """Before and after in the metric's unit; of an exact quantity with all digits, where fewer show no difference."""
    before, after = in_unit(verdict.before, verdict.metric), in_unit(verdict.after, verdict.metric)
    if verdict.low is None and before == after and verdict.before != verdict.after:
        return f"{verdict.before:,}", f"{verdict.after:,}"
    return before, after


def worst_upper_end(verdicts: Iterable[Verdict]) -> str:
    """`at most +1.9 %`: what the intervals allow at the worst; empty where none has one in which more is worse."""
    ends = [high for one in verdicts if one.metric not in POINTS and (high := finite(one.high)) is not None]
    return f"at most {percent(max(ends))}" if ends else ""


def facts(judgement: Judgement) -> list[str]:
    """`clock thread_cpu`, and so on, as far as the judgement says it; the spread of rounds comes from the verdicts."""
    said = [(name, judgement.facts.get(name)) for name in LISTED_FACTS]
    listed = [f"{name.replace('_', ' ')} {_fact(name, value)}" for name, value in said if _is_simple(value)]
    rounds = [verdict.rounds for verdict in judgement.verdicts if verdict.rounds]
    few, many = min(rounds, default=0), max(rounds, default=0)
    return [*listed, *([f"rounds {few:,}" if few == many else f"rounds {few:,} to {many:,}"] if rounds else [])]


def differences(judgement: Judgement) -> list[tuple[str, str, str]]:
    """Each fact of the surroundings that differs: its name, before and after."""
    padded = [(name, [*map(str, both), "", ""]) for name, both in judgement.differences.items()]
    return [(name, both[0] or numbers.NOTHING, both[1] or numbers.NOTHING) for name, both in padded]


def advice(judgement: Judgement) -> str:
    """What to do now, for the worst that was found."""
    counts = judgement.counts
    if judgement.interrupted:
        return f"{CUT_SHORT} Run it again."
    if judgement.judged_nothing:
        return f"{NOTHING_JUDGED} Check the selection and the baseline."
    if counts[Outcome.BROKEN] or counts[Outcome.MISSING]:
        return "Mend what is broken or missing and run it again: what cannot be looked at is never passed."
    if counts[Outcome.SLOWER]:
        return ACCEPT
    if counts[Outcome.INCOMPARABLE] and _is_of_arms(judgement, Outcome.INCOMPARABLE):
        return "Run both sides with the same settings on one machine: stored runs of paired seeds are compared there."
    if counts[Outcome.INCOMPARABLE]:
        return "Compare both on one machine: suite gate --against REV measures them side by side."
    if counts[Outcome.INCONCLUSIVE] and _is_of_arms(judgement, Outcome.INCONCLUSIVE):
        return "More seeds on both sides tell more: they are paired one by one."
    if counts[Outcome.INCONCLUSIVE] and judgement.form == "stored":
        return "Two revisions side by side tell more than stored times: suite gate --against REV."
    if counts[Outcome.INCONCLUSIVE]:
        return "More time (--seconds) or a calmer machine may decide what is inconclusive."
    return "Nothing to do."


def _is_of_arms(judgement: Judgement, outcome: Outcome) -> bool:
    """Whether all that came to this are runs judged by seed, which no clock measures side by side."""
    of_outcome = [one for one in judgement.verdicts if one.outcome is outcome]
    return all(is_judged_by_seed(settings_of(one.case).get("workload", "")) for one in of_outcome)


def accept_command(verdicts: Sequence[Verdict]) -> str:
    """How to accept the worst of the slower cases; empty where none is slower."""
    slower = next((verdict for verdict in verdicts if verdict.outcome is Outcome.SLOWER), None)
    return f"suite gate accept {shlex.quote(slower.case)} --reason … --ceiling … --expires …" if slower else ""


def finite(value: float | None) -> float | None:
    """A file may hold what is no number."""
    return value if value is not None and math.isfinite(value) else None


def _percent(ratio: float) -> str:
    share = 100 * (ratio - 1)
    is_hidden = 0 < abs(share) < 0.05
    return f"{share:.1g}" if is_hidden else f"{round(share, 1) + 0.0:.1f}"


def _times(ratio: float) -> str:
    return f"{ratio:.3g}×"


def in_unit(value: float | None, metric: str) -> str:
    """A metric's value with its unit, or a dash."""
    known = METRICS.get(metric)
    number = finite(value)
    if number is None:
        return numbers.NOTHING
    return _share(number) if metric in POINTS else UNITS.get(known.unit if known else "", _plain)(number)


def _in_points(verdict: Verdict) -> float | None:
    """The value before, of what changes by points and not by a ratio."""
    return finite(verdict.before) if verdict.metric in POINTS else None


def _points(before: float, ratio: float | None) -> str:
    return "" if ratio is None else f"{before * (ratio - 1):+.3f}"


def _share(value: float) -> str:
    return f"{value:.3f}"


def _plain(value: float) -> str:
    return f"{value:,.6g}"


UNITS: dict[str, Callable[[float], str]] = {"s": numbers.seconds, "B": numbers.bytes_iec, "J": numbers.joules}


def _is_simple(value: object) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _fact(name: str, value: object) -> str:
    is_short = isinstance(value, float) and name == "seconds"
    return f"{value:,.3g}" if is_short else str(value)
