"""Quantities that are the same at every repeat, and are therefore judged at zero tolerance.

FLOPs, bytes, parameters, the allocator's peak and the operators that ran need no quiet machine: one run a side is
enough, and any difference is a change of the code.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from suite.gate.rules.tolerances import SHOW, Tolerances
from suite.gate.verdict import Outcome, Verdict
from suite.records.metrics import METRICS, Better
from suite.records.numbers import bytes_iec, count, seconds

# Stand-in for a metric in the verdict on a list of operators.
OPERATORS = "operators"


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The exact quantities of one run by span and metric, and the names of the operators that ran in each span."""

    readings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    operators: Mapping[str, Sequence[str]] = field(default_factory=dict)


def judge_exact(case: str, before: Exact, after: Exact, tolerances: Tolerances) -> list[Verdict]:
    """A verdict for each quantity or list of operators that differs, and one `same` that counts the equal ones. Where
    the tolerances only show operators, a difference of them is a note of that verdict."""
    old, new = (
        {(span, metric): value for span, values in side.readings.items() for metric, value in values.items()}
        for side in (before, after)
    )
    judged = [_judge_number(case, *name, old.get(name), new.get(name)) for name in dict.fromkeys([*old, *new])]
    notes: list[str] = []
    for span in dict.fromkeys([*before.operators, *after.operators]):
        verdict = _judge_operators(case, span, before.operators.get(span), after.operators.get(span))
        if verdict is not None and tolerances.operators == SHOW:
            notes.append(f"{span}: {verdict.reason}")
        else:
            judged.append(verdict)
    equal = judged.count(None)
    changed = [verdict for verdict in judged if verdict is not None]
    if not equal and not notes:
        return changed
    reason = f"{equal} exact {'quantity is' if equal == 1 else 'quantities are'} equal"
    return [*changed, Verdict(case=case, outcome=Outcome.SAME, reason=reason, notes=notes)]


def _judge_number(case: str, span: str, metric: str, old: float | None, new: float | None) -> Verdict | None:
    """The verdict on one quantity; None if it is equal. A value that is None was not recorded on that side. A rise of
    what should be low is slower, and so is any change of a metric without a better direction."""
    values = f"{_in_words(metric, old)} before, {_in_words(metric, new)} now"
    ratio = None
    if any(value is not None and not math.isfinite(value) for value in (old, new)):
        outcome, reason = Outcome.BROKEN, "is not a finite number"
    elif old is None:
        outcome, reason = Outcome.NEW, "was not recorded before"
    elif new is None:
        outcome, reason = Outcome.MISSING, "is no longer recorded"
    elif old == new:
        return None
    else:
        ratio = new / old if old > 0 and new >= 0 else None
        better, is_more = METRICS[metric].better, new > old
        if better is Better.NEITHER:
            outcome, reason = Outcome.SLOWER, "changed, but must stay equal"
        else:
            is_worse = is_more is (better is Better.LOWER)
            outcome, reason = Outcome.SLOWER if is_worse else Outcome.FASTER, "rose" if is_more else "fell"
    return Verdict(
        case=case,
        span=span,
        metric=metric,
        outcome=outcome,
        reason=f"{reason}: {values}",
        before=old,
        after=new,
        ratio=ratio,
        allowed=1.0,
    )


def _in_words(metric: str, value: float | None) -> str:
    """Write a value for people, with every digit in brackets where rounding could hide the change."""
    if value is None:
        return "nothing"
    exact = count(value) if math.isfinite(value) and value == int(value) else repr(value)
    unit = METRICS[metric].unit
    if not math.isfinite(value) or unit not in ("B", "s"):
        return exact
    return f"{bytes_iec(value) if unit == 'B' else seconds(value)} ({exact} {unit})"


def _judge_operators(case: str, span: str, before: Sequence[str] | None, after: Sequence[str] | None) -> Verdict | None:
    """The verdict on the operators of one span; None if the same ones ran as often. A difference is slower. Their order
    is not compared: a record lists them by name. None in place of a list: not recorded."""
    if before is None or after is None:
        outcome = Outcome.NEW if before is None else Outcome.MISSING
        reason = f"operators {'were not recorded before' if before is None else 'are no longer recorded'}"
        return Verdict(case=case, span=span, metric=OPERATORS, outcome=outcome, reason=reason)
    added, gone = Counter(after) - Counter(before), Counter(before) - Counter(after)
    if not added and not gone:
        return None
    parts = [("added", added), ("removed", gone)]
    reason = "other operators ran: " + "; ".join(f"{word} {', '.join(sorted(names))}" for word, names in parts if names)
    return Verdict(case=case, span=span, metric=OPERATORS, outcome=Outcome.SLOWER, reason=reason)
