"""Judgements of the gate: the newest below each results folder, whole, and a line for each older one.

A judgement is data from anywhere, like a record: its text is scrubbed and cut here, and escaped where it is shown.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from suite.gate.output import sentences
from suite.gate.output.sentences import values as before_and_after
from suite.gate.verdict import Judgement, Outcome, Side, Verdict
from suite.records import numbers
from suite.records.labels import distinct, settings_in, shared_settings, short_names
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, joined, say, section
from suite.report.model.labels import GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Style, case_facets, name_facets
from suite.report.model.results import Judged, Results, newest_by_label
from suite.report.model.run import clip_text
from suite.report.plot.plots import Point, Series, Ticks, log, rule
from suite.report.plot.rows import first_rows, rows
from suite.report.plot.text import ending
from suite.report.table import column, table

LONGEST_NAME, LONGEST_REASON, DATE_LENGTH = 300, 1000, 16
LATENCY = "latency_s"
MOST_DRAWN, FRAME_PX, ROW_PX, NAME_SHIFT_PX = 20, 110, 36, 14
LONGEST_DRAWN = 46  # characters of a row's name that a screen of 390 pixels has room for
PLAUSIBLE = (1e-3, 1e3)  # a ratio beyond is in the table alone, since the axis would not bear it
LEAST_REACH = 1.03  # the axis shows as much to either side of no change, however small the changes are
ROOM = 1.15
PERCENT_BELOW, MOST_TICKS = 2.0, 7
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)
# A colour and a symbol each, so that it reads without colours too; the triangles point to where the time went.
STYLES = {
    Outcome.BROKEN: Style(colour=VERMILION, marker="x"),
    Outcome.MISSING: Style(colour=VERMILION, marker="x-open"),
    Outcome.SLOWER: Style(colour=VERMILION, marker="triangle-right"),
    Outcome.INCOMPARABLE: Style(colour=SKY, marker="cross"),
    Outcome.INCONCLUSIVE: Style(colour=ORANGE, marker="diamond-open"),
    Outcome.ACCEPTED: Style(colour=PURPLE, marker="square"),
    Outcome.UNJUDGED: Style(colour=ORANGE, marker="circle-open"),
    Outcome.FASTER: Style(colour=GREEN, marker="triangle-left"),
    Outcome.NEW: Style(colour=SKY, marker="star"),
    Outcome.SAME: Style(colour=GREY, marker="circle"),
}
BETWEEN = "\N{EN DASH}"  # stands between an interval's ends until a language's own word does


@dataclass(frozen=True, kw_only=True)
class ShownJudgement:
    """A judgement as the page has it."""

    judged: Judged
    label: str  # empty where it stands alone

    @property
    def judgement(self) -> Judgement:
        return self.judged.judgement

    @cached_property
    def names(self) -> Mapping[str, str]:
        """A short name for each case."""
        names = short_names(verdict.case for verdict in self.judgement.verdicts)
        return {case: clip_text(name, LONGEST_NAME) for case, name in names.items()}


def build(results: Results) -> Section | None:
    """The section on the gate's judgements; None without any."""
    latest = newest_by_label(results.judgements)
    if not latest:
        return None
    on_page = [ShownJudgement(judged=judged, label=judged.label if len(latest) > 1 else "") for judged in latest]
    earlier = [judged for judged in results.judgements if judged not in latest]
    return section(
        "gate",
        explanation=joined("sentence", [say("gate.explanation"), say("gate.rates"), *map(_summary, on_page)]),
        figures=list(map(_figure, on_page)),
        tables=[*(table for judgement in on_page for table in _tables(judgement)), _earlier_table(earlier)],
    )


def _summary(judged: ShownJudgement) -> Text:
    """Sentences on what was compared, when, and with which outcomes; then on what is left undecided."""
    judgement, (undecided, noisy, hidden) = judged.judgement, sentences.open_questions(judged.judgement)
    at = say("gate.at", at=_date(judged.judged)) if judged.judged.at else ""
    sides = {"before": _side_text(judgement.before), "after": _side_text(judgement.after)}
    counts = {"count": numbers.count(undecided), "noisy": numbers.count(noisy)}
    parts = [
        say("gate.compared", at=at, counts=_outcome_counts(judgement) or numbers.NOTHING, **sides),
        say("gate.interrupted") if judgement.interrupted else "",
        say("gate.judged_nothing") if judgement.judged_nothing else "",
        say("gate.undecided", **counts) if undecided else "",
        say("gate.hidden", most=hidden) if hidden else "",
    ]
    sentence = joined("sentence", parts)
    return say("gate.of", label=judged.label, said=sentence) if judged.label else sentence


def _outcome_counts(judgement: Judgement) -> Text:
    counts = [(outcome, judgement.counts[outcome]) for outcome in Outcome if judgement.counts[outcome]]
    words = [(numbers.count(count), say(f"outcome.{outcome}")) for outcome, count in counts]
    return joined("list", [say("gate.count", count=count, outcome=outcome) for count, outcome in words])


def _side_text(side: Side) -> Text:
    """A side's label, with its commit unless the label begins with that, and a note on uncommitted changes."""
    label, commit = clip_text(side.label), clip_text(side.commit)[: sentences.COMMIT_LENGTH]
    is_named = not commit or label.startswith(commit)
    about = joined("list", ["" if is_named else commit, say("gate.uncommitted") if side.dirty else ""])
    return say("gate.side", label=label, about=about) if about else label


def _date(judged: Judged) -> str:
    return clip_text(judged.at)[:DATE_LENGTH].replace("T", " ")


def _figure(judged: ShownJudgement) -> Figure:
    """The figure of the MOST_DRAWN worst changes that have an interval. Exact quantities stand in the table alone."""
    noisy = [verdict for verdict in judged.judgement.worst_first if verdict.low is not None]
    drawable, left_out = first_rows([verdict for verdict in noisy if _plausible(verdict.ratio) is not None], MOST_DRAWN)
    label = judged.judged.label
    return Figure(
        title=say("gate.timed"),
        finding=say("gate.finding", counts=_outcome_counts(judged.judgement)),
        settings=judged.label,
        caption=joined("sentence", [say("gate.timed_caption"), say("gate.caption"), left_out]),
        source=say("gate.source", label=label, at=judged.judged.at[:10]),
        views=[View(title="", figure=_changes_plot(drawable, judged))] if drawable else [],
        height_px=FRAME_PX + ROW_PX * len(drawable),
        facets={"label": label},
    )


def _plausible(value: float | None) -> float | None:
    number = sentences.finite(value)
    return number if number is not None and PLAUSIBLE[0] <= number <= PLAUSIBLE[1] else None


def _changes_plot(verdicts: Sequence[Verdict], judged: ShownJudgement) -> dict[str, Any]:
    """The plot of each quantity's ratio with its interval, and of the ratio that is allowed."""
    names, points, allowed, ends = list[str](), defaultdict[Outcome, list[Point]](list), list[Point](), list[float]()
    for place, verdict in enumerate(verdicts):
        ratio, most = _plausible(verdict.ratio) or 1.0, _plausible(verdict.allowed)
        # Widened to hold the ratio.
        low, high = (_plausible(end) or ratio for end in (verdict.low, verdict.high))
        low, high = min(low, ratio), max(high, ratio)
        # Nearly every timing is a latency, and a narrow screen has no room to say so in each row.
        quantity = sentences.quantity(replace(verdict, metric="") if verdict.metric == LATENCY else verdict)
        name = " · ".join(filter(None, [judged.names[verdict.case], clip_text(quantity, LONGEST_NAME)]))
        most_text = numbers.NOTHING if most is None else sentences.percent(most)
        hover = say("gate.hover", name=name, change=_change_text(verdict), allowed=most_text)
        facets = _facets(verdict) | {"label": judged.judged.label}
        points[verdict.outcome].append(Point(x=ratio, y=place, ends=(low, high), hover=hover, facets=facets))
        names.append(name)
        ends += [low, high]
        if most is not None:
            ends.append(most)
            # A piece for each row, below its name; together they are one dashed line where all are allowed the same.
            allowed += [Point(x=most, y=place - 0.15), Point(x=most, y=place + 0.5), Point(x=None, y=None)]
    low, high = min([1 / LEAST_REACH, *ends]), max([LEAST_REACH, *ends])
    room = (high / low) ** ((ROOM - 1) / 2)
    low, high = low / room, high * room
    line = Series(name=say("gate.allowed"), points=allowed, style=Style(colour=GREY, dash="dash"), mode="lines")
    series = [line] if allowed else []
    for outcome in (outcome for outcome in Outcome if outcome in points):
        look: dict[str, Any] = {"style": STYLES[outcome], "along": "x", "size": 10}
        series.append(Series(name=say(f"outcome.{outcome}"), points=points[outcome], **look))
    return rows(
        distinct(ending(name, LONGEST_DRAWN) for name in names),
        series,
        xaxis=log(say("gate.axis"), _ticks(low, high), range=[math.log10(low), math.log10(high)]),
        shift_px=NAME_SHIFT_PX,
        shapes=[rule(x=1, solid=True)],
    )


def _change_text(verdict: Verdict) -> Text:
    estimate, between, end = sentences.change(verdict, to=BETWEEN).partition(BETWEEN)
    return joined("", [estimate, say("gate.to"), end]) if between else estimate


def _facets(verdict: Verdict) -> dict[str, Text]:
    settings = {name: clip_text(value) for name, value in settings_in(verdict.case).items()}
    return case_facets(settings) | name_facets(settings)


def _ticks(low: float, high: float) -> Ticks:
    """Ticks at round percentages where the whole axis is less than a factor of two, else at powers of two."""
    if high / low < PERCENT_BELOW:
        step = next((step for step in STEPS if (high - low) / step <= MOST_TICKS), STEPS[-1])
        places = range(math.ceil((low - 1) / step), math.floor((high - 1) / step) + 1)
        return [(1 + step * place, f"{round(100 * step * place):+d}%" if place else "0") for place in places]
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    stride = max(1, math.ceil(len(powers) / MOST_TICKS))
    ticks = [2.0**power for power in powers if power % stride == 0]
    return [(tick, f"{tick:,.0f}×" if tick >= 1 else f"{tick:.3g}×") for tick in ticks]


def _tables(judged: ShownJudgement) -> list[Table]:
    """The tables of a judgement: what changed, what did not, and warnings."""
    judgement, facets = judged.judgement, {"label": judged.judged.label}
    unchanged = [verdict for verdict in judgement.worst_first if verdict.outcome is Outcome.SAME]
    changed = [verdict for verdict in judgement.worst_first if verdict.outcome is not Outcome.SAME]
    warnings = [clip_text(warning, LONGEST_REASON) for warning in judgement.warnings]
    return [
        _verdicts_table("gate.table", changed, judged),
        _verdicts_table("gate.same", unchanged, judged, folded=bool(changed)),
        table(
            say("gate.warnings"),
            warnings,
            [column("gate.warning", str, kind=Kind.LONG)],
            settings=judged.label,
            facets=facets,
        ),
    ]


def _verdicts_table(key: str, verdicts: Sequence[Verdict], judged: ShownJudgement, *, folded: bool = False) -> Table:
    """A table of verdicts; its note says the settings that all cases share, and how they were judged."""
    settings = clip_text(shared_settings(verdict.case for verdict in judged.judgement.verdicts), LONGEST_REASON)
    judged_with = joined("list", map(clip_text, sentences.facts(judged.judgement)))
    notes = [
        say("gate.shared", settings=settings) if settings else "",
        say("gate.judged_with", facts=judged_with) if judged_with else "",
    ]
    return table(
        say(key),
        verdicts,
        [
            column("gate.verdict", lambda verdict: say(f"outcome.{verdict.outcome}")),
            column("column.case", lambda verdict: judged.names[verdict.case]),
            column(
                "gate.quantity", lambda verdict: clip_text(sentences.quantity(verdict), LONGEST_NAME), kind=Kind.CODE
            ),
            column("gate.change", _change_text, kind=Kind.NUMBER),
            column("gate.most", sentences.most, kind=Kind.NUMBER),
            column("column.reason", _reason, kind=Kind.LONG),
            column("gate.before", lambda verdict: before_and_after(verdict)[0], kind=Kind.NUMBER),
            column("gate.after", lambda verdict: before_and_after(verdict)[1], kind=Kind.NUMBER),
        ],
        settings=judged.label,
        facets={"label": judged.judged.label},
        note=joined("sentence", notes),
        folded=folded,
        facets_of=_facets,
    )


def _reason(verdict: Verdict) -> Text:
    return joined("notes", [clip_text(text, LONGEST_REASON) for text in (verdict.reason, *verdict.notes)])


def _earlier_table(earlier: Sequence[Judged]) -> Table:
    """The table of earlier judgements, a line each."""
    return table(
        say("gate.earlier"),
        earlier,
        [
            column("gate.date", _date),
            column("column.label", lambda judged: judged.label, facet="label"),
            column("gate.before", lambda judged: _side_text(judged.judgement.before)),
            column("gate.after", lambda judged: _side_text(judged.judgement.after)),
            column("gate.counts", lambda judged: _outcome_counts(judged.judgement)),
            column("gate.exit_code", lambda judged: judged.judgement.exit_code, str),
        ],
    )
