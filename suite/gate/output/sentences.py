"""Words that every form of the answer shares: the sides, a row for each verdict, the advice."""

import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from suite.gate.rules.fingerprint import is_judged_by_seed
from suite.gate.verdict import BROKEN, CANNOT_JUDGE, INTERRUPTED, PASSED, WORSE, Judgement, Outcome, Side, Verdict
from suite.records import numbers
from suite.records.labels import settings_in, short_names
from suite.records.metrics import METRICS

# The meaning of each exit code.
MEANINGS = {
    PASSED: "nothing is slower or worse",
    WORSE: "slower or worse",
    CANNOT_JUDGE: "cannot judge",
    BROKEN: "something is broken or missing, or nothing was judged",
    INTERRUPTED: "interrupted",
}
HOW = {"against": "measured side by side", "stored": "from stored records"}
COMMIT_LENGTH = 7
# The ratio from which `12×` is read faster than `+1100 %`.
TIMES_FROM = 10.0
NOTHING_JUDGED = "Nothing was judged: no case had anything to be compared with."
CUT_SHORT = "It was cut short: what is not listed was not judged."
# A sentence that the command follows.
ACCEPT = "To let a case pass for a reason and until a date, which a review then sees:"
# Shares that change by points: from 0.78 to 0.61 is 0.17 less.
POINTS = tuple(name for name, metric in METRICS.items() if metric.points)
# The case of a verdict on files that judge, and that differ between the two revisions.
SETTINGS = "settings"
LISTED_FACTS = ("sweep", "code", "target", "clock", "launches", "floor", "seconds", "started_at")


@dataclass(frozen=True, kw_only=True)
class JudgedRow:
    """A verdict in the words that every form shares."""

    verdict: Verdict
    name: str
    """The shortest name of its case beside the others."""

    @property
    def quantity(self) -> str:
        return quantity(self.verdict)

    @property
    def change(self) -> str:
        return change(self.verdict)

    @property
    def why(self) -> str:
        return ": ".join(filter(None, [self.change, self.verdict.reason]))


def judged_rows(judgement: Judgement) -> list[JudgedRow]:
    """A row for each verdict, worst first."""
    names = short_names(verdict.case for verdict in judgement.verdicts)
    return [JudgedRow(verdict=verdict, name=names[verdict.case]) for verdict in judgement.worst_first]


def compared(judgement: Judgement) -> str:
    """Write `working tree (89abcde, with uncommitted changes) against main (0123456), measured side by side`."""
    how = HOW.get(judgement.form, judgement.form)
    return f"{_side(judgement.after)} against {_side(judgement.before)}, {how}"


def _side(side: Side) -> str:
    """`main (0123456)`."""
    commit = (side.commit or "")[:COMMIT_LENGTH]
    is_label = not commit or side.label.startswith(commit)
    about = [*([] if is_label else [commit]), *(["with uncommitted changes"] if side.dirty else [])]
    return f"{side.label} ({', '.join(about)})" if about else side.label


def tally(judgement: Judgement) -> str:
    """Write `2 slower, 1 inconclusive, 37 same`, worst first."""
    counts = judgement.counts
    return ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in Outcome if counts[outcome]) or "no verdict"


def whole(judgement: Judgement) -> str:
    """Say what makes the answer bad without a verdict that says so; empty where nothing does."""
    return CUT_SHORT if judgement.interrupted else NOTHING_JUDGED if judgement.judged_nothing else ""


def meaning(judgement: Judgement) -> str:
    """The meaning of the exit code. That nothing is slower is said only where everything was decided."""
    counts, (undecided, noisy, hidden) = judgement.counts, open_questions(judgement)
    if judgement.exit_code != PASSED:
        return MEANINGS[judgement.exit_code]
    if counts.keys() == {Outcome.NEW}:
        return "nothing to compare with yet, since all of it is new"
    hides = f": the noise hides slowdowns of up to {hidden.replace(' ', '')}" if hidden else ""
    parts = [
        *([f"{undecided:,} of {noisy:,} noisy measurements are undecided{hides}"] if undecided else []),
        *([f"{counts[Outcome.UNJUDGED]:,} ran no code of the revisions"] if counts[Outcome.UNJUDGED] else []),
    ]
    return "; ".join(["no slowdown was proven", *parts]) if parts else MEANINGS[PASSED]


def open_questions(judgement: Judgement) -> tuple[int, int, str]:
    """The number of undecided quantities, of all that have noise, and the largest slowdown that is not ruled out."""
    undecided = [verdict for verdict in judgement.verdicts if verdict.outcome is Outcome.INCONCLUSIVE]
    noisy = sum(verdict.outcome is Outcome.INCONCLUSIVE or verdict.low is not None for verdict in judgement.verdicts)
    return len(undecided), noisy, worst_upper_end(undecided)


def quantity(verdict: Verdict) -> str:
    """Write `layer · latency_s`, the quantity of a case that a verdict is about."""
    return " · ".join(filter(None, [verdict.span, verdict.metric]))


def change(verdict: Verdict, *, to: str = " to ") -> str:
    """Write `+5.2 % (4.1 to 6.3)`, or in points `-0.170 (-0.215 to -0.125)`; empty where there is no ratio.

    `to` stands between the ends of the interval.
    """
    ratio = finite(verdict.ratio)
    if ratio is None:
        return ""
    if (before := _in_points(verdict)) is not None:
        points, *ends = (_points(before, part) for part in (ratio, finite(verdict.low), finite(verdict.high)))
        return f"{points} ({to.join(ends)})" if all(ends) else points
    estimate, text = (percent(ratio), _percent) if ratio < TIMES_FROM else (_times(ratio), _times)
    low, high = finite(verdict.low), finite(verdict.high)
    return estimate if low is None or high is None else f"{estimate} ({text(low)}{to}{text(high)})"


def most(verdict: Verdict) -> str:
    """Write `+2.0 %`, or `-0.020`: the largest change that is no failure; empty where there is no such limit."""
    allowed, before = finite(verdict.allowed), _in_points(verdict)
    if allowed is None:
        return ""
    return percent(allowed) if before is None else _points(before, allowed)


def percent(ratio: float) -> str:
    """Write `+5.2 %` for 1.052."""
    text = _percent(ratio)
    return f"{text} %" if text.startswith("-") else f"+{text} %"


def values(verdict: Verdict) -> tuple[str, str]:
    """Write both values in the metric's unit; an exact quantity with all digits where fewer show no difference."""
    before, after = in_unit(verdict.before, verdict.metric), in_unit(verdict.after, verdict.metric)
    is_exact = verdict.metric in METRICS and METRICS[verdict.metric].exact
    if is_exact and before == after and verdict.before != verdict.after:
        return f"{verdict.before:,}", f"{verdict.after:,}"
    return before, after


def worst_upper_end(verdicts: Iterable[Verdict]) -> str:
    """Write `+1.9 %`, the worst end of the intervals; empty where none has one in which more is worse."""
    ends = [high for verdict in verdicts if verdict.metric not in POINTS and (high := finite(verdict.high)) is not None]
    return percent(max(ends)) if ends else ""


def facts(judgement: Judgement) -> list[str]:
    """Write `clock thread_cpu`, and so on, as far as the judgement says it; the rounds come from the verdicts."""
    listed = []
    for name in LISTED_FACTS:
        value = judgement.facts.get(name)
        value = f"{value:,.3g}" if name == "seconds" and isinstance(value, float) else value
        if isinstance(value, str | int | float) and value != "":
            listed.append(f"{name.replace('_', ' ')} {value}")
    rounds = [verdict.rounds for verdict in judgement.verdicts if verdict.rounds]
    few, many = min(rounds, default=0), max(rounds, default=0)
    return [*listed, *([f"rounds {few:,}" if few == many else f"rounds {few:,} to {many:,}"] if rounds else [])]


def differences(judgement: Judgement) -> list[tuple[str, str, str]]:
    """List each fact of the surroundings that differs: its name, before and after."""
    padded = [(name, [*map(str, both), "", ""]) for name, both in judgement.differences.items()]
    return [(name, both[0] or numbers.NOTHING, both[1] or numbers.NOTHING) for name, both in padded]


def advice(judgement: Judgement) -> str:
    """Say what to do now about the worst verdict."""
    counts = judgement.counts
    if judgement.interrupted:
        return f"{CUT_SHORT} Run it again."
    if judgement.judged_nothing:
        return f"{NOTHING_JUDGED} Check the selection and the baseline."
    if counts[Outcome.BROKEN] or counts[Outcome.MISSING]:
        return "Mend what is broken or missing and run it again: what cannot be looked at is never passed."
    if counts[Outcome.SLOWER]:
        return ACCEPT
    if counts[Outcome.INCOMPARABLE] == 1 and any(verdict.case == SETTINGS for verdict in judgement.verdicts):
        return "Review what the change alters of its own judging, then say --trust-candidate-settings."
    if counts[Outcome.INCOMPARABLE] and _are_judged_by_seed(judgement, Outcome.INCOMPARABLE):
        return "Run both sides with the same settings on one machine: stored runs of paired seeds are compared there."
    if counts[Outcome.INCOMPARABLE] and judgement.form == "against":
        return "Review what the change alters of its own benchmarks, then say --trust-candidate-settings."
    if counts[Outcome.INCOMPARABLE]:
        return "Compare both on one machine: suite gate --against REV measures them side by side."
    if counts[Outcome.INCONCLUSIVE] and _are_judged_by_seed(judgement, Outcome.INCONCLUSIVE):
        return "More seeds on both sides tell more: they are paired one by one."
    if counts[Outcome.INCONCLUSIVE] and judgement.form == "stored":
        return "Two revisions side by side tell more than stored times: suite gate --against REV."
    if counts[Outcome.INCONCLUSIVE]:
        return "More time (--seconds) or a calmer machine may decide what is inconclusive."
    return "Nothing to do."


def _are_judged_by_seed(judgement: Judgement, outcome: Outcome) -> bool:
    """Whether all cases of an outcome are judged by seed, so that no clock measures them side by side."""
    cases = [verdict.case for verdict in judgement.verdicts if verdict.outcome is outcome]
    return all(is_judged_by_seed(settings_in(case).get("workload", "")) for case in cases)


def accept_command(verdicts: Sequence[Verdict]) -> str:
    """Write the command that accepts the worst of the slower cases; empty where none is slower."""
    slower = next((verdict for verdict in verdicts if verdict.outcome is Outcome.SLOWER), None)
    return f"suite gate accept {shlex.quote(slower.case)} --reason … --ceiling … --expires …" if slower else ""


def first_of(texts: Sequence[str], most: int) -> str:
    """Write `a, b, and 3 more`."""
    more = len(texts) - most
    return ", ".join([*texts[:most], *([f"and {more} more"] if more > 0 else [])])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of texts as lines whose columns begin below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def finite(value: float | None) -> float | None:
    """A number, or None for infinity and NaN, which a file may hold."""
    return value if value is not None and math.isfinite(value) else None


def _percent(ratio: float) -> str:
    share = 100 * (ratio - 1)
    is_hidden = 0 < abs(share) < 0.05
    return f"{share:.1g}" if is_hidden else f"{round(share, 1) + 0.0:.1f}"


def _times(ratio: float) -> str:
    return f"{ratio:.3g}×"


def in_unit(value: float | None, metric: str) -> str:
    """Write a metric's value with its unit, or a dash."""
    number = finite(value)
    if number is None:
        return numbers.NOTHING
    if metric in POINTS:
        return f"{number:.3f}"
    write = UNITS.get(METRICS[metric].unit) if metric in METRICS else None
    return write(number) if write else f"{number:,.6g}"


def _in_points(verdict: Verdict) -> float | None:
    """The value before of a quantity that changes by points; None for one that changes by a ratio."""
    return finite(verdict.before) if verdict.metric in POINTS else None


def _points(before: float, ratio: float | None) -> str:
    return "" if ratio is None else f"{before * (ratio - 1):+.3f}"


UNITS: dict[str, Callable[[float], str]] = {"s": numbers.seconds, "B": numbers.bytes_iec, "J": numbers.joules}
