"""Sentences that every form of the answer shares: the sides, the changes, the short names of cases, the advice."""

import math
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from suite.gate.rules.fingerprint import is_judged_by_seed
from suite.gate.verdict import BROKEN, CANNOT_JUDGE, INTERRUPTED, PASSED, WORSE, Judgement, Outcome, Side, Verdict
from suite.records import numbers
from suite.records.metrics import METRICS

MEANINGS = {
    PASSED: "nothing is slower or worse",
    WORSE: "slower or worse",
    CANNOT_JUDGE: "cannot judge",
    BROKEN: "something is broken or missing, or nothing was judged",
    INTERRUPTED: "interrupted",
}
"""The meaning of each exit code."""
HOW = {"against": "measured side by side", "stored": "from stored records"}
COMMIT_LENGTH = 7
TIMES_FROM = 10.0
"""The ratio from which `12×` is read faster than `+1100 %`."""
NOTHING_JUDGED = "Nothing was judged: no case had anything to be compared with."
CUT_SHORT = "It was cut short: what is not listed was not judged."
ACCEPT = "To let a case pass for a reason and until a date, which a review then sees:"
"""A sentence that the command follows."""
POINTS = tuple(name for name, metric in METRICS.items() if metric.points)
"""Shares that change by points: from 0.78 to 0.61 is 0.17 less."""
SETTING = re.compile(r"([A-Za-z_][\w.]*)=(.*)", re.DOTALL)
NEXT_SETTING = re.compile(r" (?=[A-Za-z_][\w.]*=)")
WORD = re.compile(r"[A-Za-z][\w.+-]*")
NOT_APPLIED = "null"
SAYS_NOTHING_ALONE = {NOT_APPLIED, "true", "false", "auto", "none"}
NAMED_WHEN_ALONE = 2
"""Settings that stand for a single case, of which nothing differs: its workload and its first axis."""
SETTINGS = "settings"
"""The case of a verdict on files that judge, and that differ between the two revisions."""
LISTED_FACTS = ("sweep", "code", "target", "clock", "launches", "floor", "seconds", "started_at")


def compared(judgement: Judgement) -> str:
    """Return `working tree (89abcde, with uncommitted changes) against main (0123456), measured side by side`."""
    how = HOW.get(judgement.form, judgement.form)
    return f"{_side(judgement.after)} against {_side(judgement.before)}, {how}"


def _side(side: Side) -> str:
    """`main (0123456)`."""
    commit = (side.commit or "")[:COMMIT_LENGTH]
    is_label = not commit or side.label.startswith(commit)
    about = [*([] if is_label else [commit]), *(["with uncommitted changes"] if side.dirty else [])]
    return f"{side.label} ({', '.join(about)})" if about else side.label


def tally(judgement: Judgement) -> str:
    """Return `2 slower, 1 inconclusive, 37 same`, worst first."""
    counts = judgement.counts
    return ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in Outcome if counts[outcome]) or "no verdict"


def whole(judgement: Judgement) -> str:
    """Return what makes the answer bad without a verdict that says so; empty where nothing does."""
    return CUT_SHORT if judgement.interrupted else NOTHING_JUDGED if judgement.judged_nothing else ""


def why(verdict: Verdict) -> str:
    """Return the change and the reason."""
    return ": ".join(filter(None, [change(verdict), verdict.reason]))


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
    """Return `layer · latency_s`, the quantity of a case that a verdict is about."""
    return " · ".join(filter(None, [verdict.span, verdict.metric]))


def change(verdict: Verdict, *, to: str = " to ") -> str:
    """Return `+5.2 % (4.1 to 6.3)`, or in points `-0.170 (-0.215 to -0.125)`; empty where there is no ratio.

    `to` stands between the ends of the interval.
    """
    ratio = finite(verdict.ratio)
    if ratio is None:
        return ""
    if (before := _in_points(verdict)) is not None:
        points, *ends = (_points(before, part) for part in (ratio, finite(verdict.low), finite(verdict.high)))
        return f"{points} ({to.join(ends)})" if all(ends) else points
    text = _times if ratio >= TIMES_FROM else _percent
    low, high = finite(verdict.low), finite(verdict.high)
    interval = "" if low is None or high is None else f" ({text(low)}{to}{text(high)})"
    return f"{ratio:.3g}×{interval}" if text is _times else f"{percent(ratio)}{interval}"


def most(verdict: Verdict) -> str:
    """Return `+2.0 %`, or `-0.020`: the largest change that is no failure; empty where there is no such limit."""
    allowed, before = finite(verdict.allowed), _in_points(verdict)
    if allowed is None:
        return ""
    return percent(allowed) if before is None else _points(before, allowed)


def percent(ratio: float) -> str:
    """Return `+5.2 %` for 1.052."""
    text = _percent(ratio)
    return f"{text} %" if text.startswith("-") else f"+{text} %"


def values(verdict: Verdict) -> tuple[str, str]:
    """Return both values in the metric's unit; an exact quantity with all digits where fewer show no difference."""
    before, after = in_unit(verdict.before, verdict.metric), in_unit(verdict.after, verdict.metric)
    is_exact = verdict.metric in METRICS and METRICS[verdict.metric].exact
    if is_exact and before == after and verdict.before != verdict.after:
        return f"{verdict.before:,}", f"{verdict.after:,}"
    return before, after


def worst_upper_end(verdicts: Iterable[Verdict]) -> str:
    """Return `+1.9 %`, the worst end of the intervals; empty where none has one in which more is worse."""
    ends = [high for verdict in verdicts if verdict.metric not in POINTS and (high := finite(verdict.high)) is not None]
    return percent(max(ends)) if ends else ""


def facts(judgement: Judgement) -> list[str]:
    """Return `clock thread_cpu`, and so on, as far as the judgement says it; the rounds come from the verdicts."""
    found = {name: judgement.facts.get(name) for name in LISTED_FACTS}
    if isinstance(found["seconds"], float):
        found["seconds"] = f"{found['seconds']:,.3g}"
    is_simple = {name: isinstance(value, str | int | float) and value != "" for name, value in found.items()}
    listed = [f"{name.replace('_', ' ')} {value}" for name, value in found.items() if is_simple[name]]
    rounds = [verdict.rounds for verdict in judgement.verdicts if verdict.rounds]
    few, many = min(rounds, default=0), max(rounds, default=0)
    return [*listed, *([f"rounds {few:,}" if few == many else f"rounds {few:,} to {many:,}"] if rounds else [])]


def differences(judgement: Judgement) -> list[tuple[str, str, str]]:
    """Return each fact of the surroundings that differs: its name, before and after."""
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
    if counts[Outcome.INCOMPARABLE] and _is_of_arms(judgement, Outcome.INCOMPARABLE):
        return "Run both sides with the same settings on one machine: stored runs of paired seeds are compared there."
    if counts[Outcome.INCOMPARABLE] and judgement.form == "against":
        return "Review what the change alters of its own benchmarks, then say --trust-candidate-settings."
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
    """Whether all cases of an outcome are judged by seed, so that no clock measures them side by side."""
    cases = [verdict.case for verdict in judgement.verdicts if verdict.outcome is outcome]
    return all(is_judged_by_seed(settings_of(case).get("workload", "")) for case in cases)


def accept_command(verdicts: Sequence[Verdict]) -> str:
    """Return the command that accepts the worst of the slower cases; empty where none is slower."""
    slower = next((verdict for verdict in verdicts if verdict.outcome is Outcome.SLOWER), None)
    return f"suite gate accept {shlex.quote(slower.case)} --reason … --ceiling … --expires …" if slower else ""


def finite(value: float | None) -> float | None:
    """Return a number, or None for infinity and NaN, which a file may hold."""
    return value if value is not None and math.isfinite(value) else None


def _percent(ratio: float) -> str:
    share = 100 * (ratio - 1)
    is_hidden = 0 < abs(share) < 0.05
    return f"{share:.1g}" if is_hidden else f"{round(share, 1) + 0.0:.1f}"


def _times(ratio: float) -> str:
    return f"{ratio:.3g}×"


def in_unit(value: float | None, metric: str) -> str:
    """Return a metric's value with its unit, or a dash."""
    known = METRICS.get(metric)
    number = finite(value)
    if number is None:
        return numbers.NOTHING
    if metric in POINTS:
        return f"{number:.3f}"
    in_words = UNITS.get(known.unit if known else "")
    return in_words(number) if in_words else f"{number:,.6g}"


def _in_points(verdict: Verdict) -> float | None:
    """The value before of a quantity that changes by points; None for one that changes by a ratio."""
    return finite(verdict.before) if verdict.metric in POINTS else None


def _points(before: float, ratio: float | None) -> str:
    return "" if ratio is None else f"{before * (ratio - 1):+.3f}"


UNITS: dict[str, Callable[[float], str]] = {"s": numbers.seconds, "B": numbers.bytes_iec, "J": numbers.joules}


def short_names(cases: Iterable[str]) -> dict[str, str]:
    """Return for each id the shortest name that tells it from the others; the id if it is no list of settings."""
    settings = {case: settings_of(case) for case in cases}
    telling = _telling([own for own in settings.values() if own])
    names = {
        case: " ".join(_label(name, own[name]) for name in telling if own.get(name, NOT_APPLIED) != NOT_APPLIED) or case
        for case, own in settings.items()
    }
    seen = Counter(names.values())
    return {case: name if seen[name] == 1 else case for case, name in names.items()}


def shared_settings(cases: Iterable[str]) -> str:
    """Return the settings of all cases, which their short names leave out, without those that do not apply."""
    every = [settings_of(case) for case in dict.fromkeys(cases)]
    if not all(every):
        return ""
    telling = _telling(every)
    shared = {name: value for own in every for name, value in own.items() if name not in telling}
    return " ".join(f"{name}={value}" for name, value in shared.items() if value != NOT_APPLIED)


def settings_of(case: str) -> dict[str, str]:
    """Return the `key=value` pairs of an id; empty where it is anything else, such as the name of a test."""
    found = [SETTING.fullmatch(part) for part in NEXT_SETTING.split(case)]
    return {match[1]: match[2] for match in found if match} if all(found) else {}


def _telling(every: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of the settings that tell cases apart."""
    names = dict.fromkeys(name for own in every for name in own)
    if len(every) == 1:
        return list(names)[:NAMED_WHEN_ALONE]
    # A setting that does not apply to some, and is the same for the others, follows from what tells them apart.
    values = {name: {own.get(name) for own in every} - {NOT_APPLIED} for name in names}
    return [name for name in names if len(values[name]) > 1]


def _label(name: str, value: str) -> str:
    """A value alone if it explains itself, as `mla` does and 4096 does not."""
    return value if WORD.fullmatch(value) and value not in SAYS_NOTHING_ALONE else f"{name}={value}"
