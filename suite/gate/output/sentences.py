"""Words that every form of the answer shares: the sides, a row for each verdict, the advice."""

import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from suite.gate.verdict import BROKEN, CANNOT_JUDGE, INTERRUPTED, WORSE, Judgement, Outcome, Side, Verdict
from suite.records import numbers
from suite.records.labels import short_names
from suite.records.metrics import METRICS

HOW = {"against": "measured side by side on one machine", "stored": "from stored runs"}
COMMIT_LENGTH = 7
# The ratio from which `12×` is read faster than `+1100%`.
TIMES_FROM = 10.0
NOTHING_JUDGED = "Nothing was judged: no case had a counterpart to be compared with."
CUT_SHORT = "The comparison was interrupted: quantities that are not listed were not judged."
# A sentence that the command follows.
ACCEPT = "If this slowdown is intended, accept it with a reason and an expiry date, to be reviewed like code:"
# The case of a verdict on files that judge, and that differ between the two revisions.
SETTINGS = "settings"
# Facts that are shown, each with the words around its value.
LISTED_FACTS = {
    "sweep": "sweep {}",
    "code": "code under test {}",
    "clock": "clock {}",
    "launches": "launches {}",
    "floor": "floor {} (a slowdown up to it passes)",
    "target": "target {} (“same” rules out a slowdown above it)",
    "seconds": "{} s of measuring",
    "started_at": "started at {}",
}
SHARES = ("floor", "target")


@dataclass(frozen=True, kw_only=True)
class JudgedRow:
    """A verdict, and its words for the terminal, Markdown, annotations and JUnit alike."""

    verdict: Verdict
    name: str
    """The case, by the settings in which it differs from the other cases."""

    @property
    def quantity(self) -> str:
        """The span and metric, as `layer · latency_s`."""
        return quantity(self.verdict)

    @property
    def change(self) -> str:
        """The change with its interval, as `+5.2% (+4.1 to +6.3)`; empty without a ratio."""
        return change(self.verdict)

    @property
    def why(self) -> str:
        """The change and the reason of the verdict, as `+5.2% (+4.1 to +6.3): slower by more than …`."""
        return ": ".join(filter(None, [self.change, self.verdict.reason]))


def judged_rows(judgement: Judgement) -> list[JudgedRow]:
    """A row for each verdict, worst first."""
    names = short_names(verdict.case for verdict in judgement.verdicts)
    return [JudgedRow(verdict=verdict, name=names[verdict.case]) for verdict in judgement.worst_first]


def compared(judgement: Judgement) -> str:
    """Write `working tree (89abcde, with uncommitted changes) against main (0123456), measured side by side …`."""
    how = HOW.get(judgement.form, judgement.form)
    return f"{_side(judgement.after)} against {_side(judgement.before)}, {how}"


def _side(side: Side) -> str:
    """Write `main (0123456)`, and say if there are uncommitted changes."""
    commit = (side.commit or "")[:COMMIT_LENGTH]
    is_label = not commit or side.label.startswith(commit)
    about = [*([] if is_label else [commit]), *(["with uncommitted changes"] if side.dirty else [])]
    return f"{side.label} ({', '.join(about)})" if about else side.label


def tally(judgement: Judgement) -> str:
    """Write how many quantities have each outcome, worst first: `2 slower, 1 inconclusive, 37 same`."""
    counts = judgement.counts
    return ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in Outcome if counts[outcome]) or "no verdicts"


def whole(judgement: Judgement) -> str:
    """Say that the comparison was interrupted or judged nothing, which no verdict shows; else empty."""
    return CUT_SHORT if judgement.interrupted else NOTHING_JUDGED if judgement.judged_nothing else ""


def meaning(judgement: Judgement) -> str:
    """The result in one sentence without its full stop. "Nothing is slower" is said only if everything was decided."""
    counts, (undecided, noisy, hidden) = judgement.counts, open_questions(judgement)
    incomparable = counts[Outcome.INCOMPARABLE]
    sentences = {
        INTERRUPTED: "the comparison was interrupted",
        BROKEN: f"{_results(counts[Outcome.BROKEN] + counts[Outcome.MISSING])} broken or missing",
        WORSE: f"{_results(counts[Outcome.SLOWER])} slower or worse",
        CANNOT_JUDGE: f"{_results(incomparable)} not comparable"
        if incomparable
        else f"{_results(undecided)} undecided, which --inconclusive fail refuses",
    }
    if judgement.exit_code in sentences:
        is_empty = judgement.exit_code == BROKEN and judgement.judged_nothing
        return "nothing was judged" if is_empty else sentences[judgement.exit_code]
    if counts.keys() == {Outcome.NEW}:
        return "there is nothing to compare with yet: every case is new"
    hides = f": the noise could hide a slowdown of up to {hidden.lstrip('+')}" if hidden else ""
    is_or_are, ran = "is" if undecided == 1 else "are", counts[Outcome.UNJUDGED]
    parts = [
        *([f"{undecided:,} of {noisy:,} noisy quantities {is_or_are} undecided{hides}"] if undecided else []),
        *([f"{ran:,} {'case' if ran == 1 else 'cases'} ran no code of the two revisions"] if ran else []),
    ]
    return "; ".join(["no slowdown was proven", *parts]) if parts else "nothing is slower or worse"


def _results(count: int) -> str:
    return f"{count:,} {'result is' if count == 1 else 'results are'}"


def open_questions(judgement: Judgement) -> tuple[int, int, str]:
    """The numbers of inconclusive quantities and of all noisy ones, and the largest slowdown not ruled out, as text."""
    undecided = [verdict for verdict in judgement.verdicts if verdict.outcome is Outcome.INCONCLUSIVE]
    noisy = sum(verdict.outcome is Outcome.INCONCLUSIVE or verdict.low is not None for verdict in judgement.verdicts)
    return len(undecided), noisy, worst_upper_end(undecided)


def quantity(verdict: Verdict) -> str:
    """Write `layer · latency_s`, the quantity of a case that a verdict is about."""
    return " · ".join(filter(None, [verdict.span, verdict.metric]))


def change(verdict: Verdict, *, to: str = " to ") -> str:
    """Write `+5.2% (+4.1 to +6.3)`; empty if there is no finite ratio. From TIMES_FROM on a ratio is written as
    `12× (11× to 13×)`. `to`: the text between the ends of the interval."""
    ratio = finite(verdict.ratio)
    if ratio is None:
        return ""
    estimate, text = (percent(ratio), _signed_percent) if ratio < TIMES_FROM else (_times(ratio), _times)
    low, high = finite(verdict.low), finite(verdict.high)
    return estimate if low is None or high is None else f"{estimate} ({text(low)}{to}{text(high)})"


def most(verdict: Verdict) -> str:
    """Write the largest change that still passes: `+2.0%`; empty if there is no such limit."""
    allowed = finite(verdict.allowed)
    return "" if allowed is None else percent(allowed)


def percent(ratio: float) -> str:
    """Write `+5.2%` for 1.052."""
    return f"{_signed_percent(ratio)}%"


def values(verdict: Verdict) -> tuple[str, str]:
    """Write the values before and after in the metric's unit; exact ones with all digits if rounding hides a change."""
    before, after = in_unit(verdict.before, verdict.metric), in_unit(verdict.after, verdict.metric)
    is_exact = verdict.metric in METRICS and METRICS[verdict.metric].exact
    if is_exact and before == after and verdict.before != verdict.after:
        return f"{verdict.before:,}", f"{verdict.after:,}"
    return before, after


def worst_upper_end(verdicts: Iterable[Verdict]) -> str:
    """Write the largest upper end of all intervals, as `+1.9%`; empty if there is none."""
    ends = [high for verdict in verdicts if (high := finite(verdict.high)) is not None]
    return percent(max(ends)) if ends else ""


def facts(judgement: Judgement) -> list[str]:
    """Write how it was measured, as `clock thread_cpu`: the facts of the judgement and the rounds of the verdicts."""
    listed = []
    for name, words in LISTED_FACTS.items():
        value = judgement.facts.get(name)
        if isinstance(value, float) and name in (*SHARES, "seconds"):
            value = f"{100 * value:.3g}%" if name in SHARES else f"{value:,.3g}"
        if isinstance(value, str | int | float) and value != "":
            listed.append(words.format(value))
    rounds = [verdict.rounds for verdict in judgement.verdicts if verdict.rounds]
    few, many = min(rounds, default=0), max(rounds, default=0)
    return [*listed, *([f"rounds {few:,}" if few == many else f"rounds {few:,} to {many:,}"] if rounds else [])]


def advice(judgement: Judgement) -> str:
    """Say what to do about the worst verdict. For a slowdown it is ACCEPT, after which the caller adds the command."""
    counts = judgement.counts
    if judgement.interrupted:
        return f"{CUT_SHORT} Run it again."
    if judgement.judged_nothing:
        return f"{NOTHING_JUDGED} Check which cases are chosen and what the baseline holds."
    if counts[Outcome.BROKEN] or counts[Outcome.MISSING]:
        return "Repair what is broken or missing and run the gate again: a result that is missing never passes."
    if counts[Outcome.SLOWER]:
        return ACCEPT
    if counts[Outcome.INCOMPARABLE] == 1 and any(verdict.case == SETTINGS for verdict in judgement.verdicts):
        return "This change alters files that judge it. Review them, then pass --trust-candidate-settings."
    if counts[Outcome.INCOMPARABLE]:
        return "This change alters its own benchmarks. Review them, then pass --trust-candidate-settings."
    if counts[Outcome.INCONCLUSIVE]:
        return "To decide what is inconclusive, use more --seconds or a quieter machine."
    return "Nothing to do."


def accept_command(judgement: Judgement) -> str:
    """Write the command that accepts the worst slowdown, with its options left open; empty if it is not the advice."""
    if advice(judgement) != ACCEPT:
        return ""
    slower = next(verdict for verdict in judgement.worst_first if verdict.outcome is Outcome.SLOWER)
    return f"suite gate accept {shlex.quote(slower.case)} --reason … --ceiling … --expires …"


def counted(number: int, noun: str) -> str:
    """Write `1 seed` or `2 seeds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def first_of(texts: Sequence[str], most: int) -> str:
    """Write the first `most` texts and how many are left: `a, b, and 3 more`."""
    more = len(texts) - most
    return ", ".join([*texts[:most], *([f"and {more} more"] if more > 0 else [])])


def finite(value: float | None) -> float | None:
    """A number, or None for infinity and NaN, which a file may hold."""
    return value if value is not None and math.isfinite(value) else None


def _signed_percent(ratio: float) -> str:
    """Write `+5.2` for 1.052, with one decimal, or one digit if that would round to 0."""
    share = 100 * (ratio - 1)
    is_hidden = 0 < abs(share) < 0.05
    value = share if is_hidden else round(share, 1)
    return f"{'−' if value < 0 else '+'}{f'{abs(value):.1g}' if is_hidden else f'{abs(value):.1f}'}"


def _times(ratio: float) -> str:
    return f"{ratio:.3g}×"


def in_unit(value: float | None, metric: str) -> str:
    """Write a metric's value with its unit, or a dash."""
    number = finite(value)
    if number is None:
        return numbers.NOTHING
    write = UNITS.get(METRICS[metric].unit) if metric in METRICS else None
    return write(number) if write else f"{number:,.6g}"


UNITS: dict[str, Callable[[float], str]] = {"s": numbers.seconds, "B": numbers.bytes_iec, "J": numbers.joules}
