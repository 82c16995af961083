"""Verdicts, one for each quantity of each case; all of them make one judgement, which has the exit code.

Directions are one-way: a ratio is after over before, so above 1 is slower or more.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from suite.configuration.untrusted import parse_json
from suite.records.metrics import METRICS, Better

SCHEMA = 1
# The metric of every timing.
LATENCY = "latency_s"
PASSED, WORSE, CANNOT_JUDGE, BROKEN, INTERRUPTED = 0, 1, 3, 4, 130


class Outcome(StrEnum):
    """What a verdict says, worst first."""

    BROKEN = "broken"
    """The case could not be built, measured or read."""
    MISSING = "missing"
    """The quantity was there before and is gone."""
    SLOWER = "slower"
    """The quantity is worse: a longer time, more bytes, or an exact one that changed."""
    INCOMPARABLE = "incomparable"
    """The two sides were taken under conditions that differ in what matters."""
    INCONCLUSIVE = "inconclusive"
    """The noise here hides the difference that is asked for."""
    ACCEPTED = "accepted"
    """The quantity is worse, and a reviewed file says that it may be."""
    UNJUDGED = "unjudged"
    """No code of the case lies in the revisions, so code that is installed would be compared with itself."""
    FASTER = "faster"
    NEW = "new"
    """There is nothing to compare it with."""
    SAME = "same"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One quantity of one case. A verdict on a case as a whole has no metric."""

    case: str
    outcome: Outcome
    reason: str
    """One plain sentence."""
    span: str = ""
    metric: str = ""
    """A name of `suite.records.metrics`, `operators`, or nothing."""
    before: float | None = None
    after: float | None = None
    ratio: float | None = None
    """Estimate of after over before; of a timing by paired rounds, so not the quotient of the two beside it."""
    low: float | None = None
    high: float | None = None
    level: float | None = None
    """Confidence of the interval from low to high."""
    allowed: float | None = None
    """The largest ratio that is no slowdown."""
    clock: str = ""
    rounds: int = 0
    launches: int = 0
    code: str = ""
    """Modules of the revisions that the case names, with their files: `normed (src/normed/__init__.py)`."""
    notes: Sequence[str] = ()
    """Further sentences that a reader should know."""

    @property
    def name(self) -> str:
        """`CASE · span · metric`, without empty parts."""
        return " · ".join(part for part in (self.case, self.span, self.metric) if part)

    @property
    def worse_by(self) -> float | None:
        """How many times worse it is: the ratio, or its inverse if more is better; None without a ratio."""
        metric = METRICS.get(self.metric)
        if self.ratio is None or metric is None or metric.better is not Better.HIGHER:
            return self.ratio
        return 1 / self.ratio if self.ratio > 0 else math.inf


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two things compared."""

    label: str
    """The name that was asked for: a revision as typed, a folder's name, or `working tree`."""
    commit: str | None = None
    dirty: bool = False


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """All verdicts of one comparison and what is needed to read them."""

    form: str
    """`against`, two revisions side by side; in older files also `stored`, two sets of records."""
    before: Side
    after: Side
    verdicts: Sequence[Verdict]
    warnings: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The circumstances of the judging: settings, seconds, launches, machine, versions."""
    inconclusive_fails: bool = False
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """130 if interrupted, else 4 if anything is broken or missing or nothing was judged, else 1 if slower. Else 3
        if anything is incomparable, or inconclusive where that fails; else 0."""
        if self.interrupted:
            return INTERRUPTED
        counts = self.counts
        if self.judged_nothing or counts[Outcome.BROKEN] or counts[Outcome.MISSING]:
            return BROKEN
        if counts[Outcome.SLOWER]:
            return WORSE
        if counts[Outcome.INCOMPARABLE] or (self.inconclusive_fails and counts[Outcome.INCONCLUSIVE]):
            return CANNOT_JUDGE
        return PASSED

    @property
    def judged_nothing(self) -> bool:
        """Whether every verdict is `new` or `unjudged`, or there is none. All `new` is no fault if the fact `first`
        says that the older side ran and had none of what was chosen."""
        outcomes = self.counts.keys()
        is_first = self.facts.get("first") and outcomes == {Outcome.NEW}
        return not outcomes - {Outcome.NEW, Outcome.UNJUDGED} and not is_first

    @property
    def counts(self) -> Counter[Outcome]:
        return Counter(verdict.outcome for verdict in self.verdicts)

    @property
    def worst_first(self) -> list[Verdict]:
        """The verdicts by outcome, then by how much worse they are, then by name."""
        order = list(Outcome)
        return sorted(
            self.verdicts,
            key=lambda verdict: (order.index(verdict.outcome), -(verdict.worse_by or 1.0), verdict.name),
        )

    def as_json(self) -> dict[str, Any]:
        """The judgement as plain data, verdicts worst first; numbers may still be infinite or NaN."""
        return {
            "schema": SCHEMA,
            "form": self.form,
            "exit_code": self.exit_code,
            "before": asdict(self.before),
            "after": asdict(self.after),
            "counts": {str(outcome): count for outcome, count in self.counts.items()},
            "verdicts": [asdict(verdict) for verdict in self.worst_first],
            "warnings": list(self.warnings),
            "facts": dict(self.facts),
            "inconclusive_fails": self.inconclusive_fails,
            "interrupted": self.interrupted,
        }


class CorruptJudgementError(Exception):
    """A judgement that cannot be read; the message says what is wrong with it."""


def judgement_from_json(text: bytes) -> Judgement:
    """Read a judgement from JSON. Raises CorruptJudgementError for what `as_json` did not write."""
    try:
        content = parse_json(text)
        if content["schema"] != SCHEMA:
            raise CorruptJudgementError(f"schema must be {SCHEMA}; got {content['schema']!r}")
        return Judgement(
            form=str(content["form"]),
            before=_side(content["before"]),
            after=_side(content["after"]),
            verdicts=[_verdict(verdict) for verdict in content["verdicts"]],
            warnings=[str(warning) for warning in content["warnings"]],
            facts=dict(content["facts"]),
            inconclusive_fails=content["inconclusive_fails"] is True,
            interrupted=content["interrupted"] is True,
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise CorruptJudgementError(f"not a judgement of the gate ({type(error).__name__}: {error})") from error


def _side(content: Mapping[str, Any]) -> Side:
    commit = None if content["commit"] is None else str(content["commit"])
    return Side(label=str(content["label"]), commit=commit, dirty=content["dirty"] is True)


def _verdict(content: Mapping[str, Any]) -> Verdict:
    """Read a verdict from JSON, with its numbers as floats. Raises as `_side`."""
    numbers = {name: content[name] for name in ("before", "after", "ratio", "low", "high", "level", "allowed")}
    fields: dict[str, Any] = {name: str(content[name]) for name in ("case", "reason", "span", "metric", "clock")}
    fields |= {name: int(content[name]) for name in ("rounds", "launches")}
    fields |= {name: None if value is None else float(value) for name, value in numbers.items()}
    return Verdict(
        outcome=Outcome(content["outcome"]),
        code=str(content.get("code", "")),  # older judgements have none
        notes=[str(note) for note in content["notes"]],
        **fields,
    )
