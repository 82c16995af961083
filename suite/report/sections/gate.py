"""What the gate said: the newest judgement below each results folder, whole, and a line for each older one.

A judgement is data from anywhere, like a record: its text is scrubbed and cut here, and escaped where it is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from suite.gate.sentences import COMMIT_LENGTH, change, differences, facts, most, quantity, values
from suite.gate.short_names import shared_settings, short_names
from suite.gate.verdict import Judgement, Outcome, Side, Verdict
from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, Text, joined, say
from suite.report.forest_chart import Titled, forest_figures, verdict_facets
from suite.report.model.judgements import Judged, newest
from suite.report.model.results import Results
from suite.report.watched import cut

LONGEST_NAME, LONGEST_REASON, DATE_LENGTH = 300, 1000, 16
LATENCY = "latency_s"


def build(results: Results) -> Section | None:
    latest = newest(results.judgements)
    if not latest:
        return None
    several = len(latest) > 1
    earlier = [one for one in results.judgements if one not in latest]
    return Section(
        id="gate",
        title=say("gate.title"),
        explanation=joined("sentence", [say("gate.explanation"), *(_said(one, several=several) for one in latest)]),
        figures=[figure for one in latest for figure in _figures(one, several=several)],
        tables=[
            *(table for one in latest for table in _tables(one, several=several)),
            *([_earlier(earlier)] if earlier else []),
        ],
    )


def _said(one: Judged, *, several: bool) -> Text:
    judgement = one.judgement
    counts = joined("list", _counts(judgement)) or numbers.NOTHING
    at = say("gate.at", at=_date(one)) if one.at else ""
    before, after = (_side(side) for side in (judgement.before, judgement.after))
    said = [
        say("gate.compared", after=after, before=before, at=at, counts=counts),
        *([say("gate.interrupted")] if judgement.interrupted else []),
        *([say("gate.judged_nothing")] if judgement.judged_nothing else []),
    ]
    text = joined("sentence", said)
    return say("gate.of", label=one.label, said=text) if several else text


def _counts(judgement: Judgement) -> list[Text]:
    counts = judgement.counts
    return [
        say("gate.count", count=numbers.count(counts[outcome]), outcome=say(f"outcome.{outcome}"))
        for outcome in Outcome
        if counts[outcome]
    ]


def _side(side: Side) -> Text:
    label, commit = cut(side.label), cut(side.commit)[:COMMIT_LENGTH]
    about = [commit] if commit and not label.startswith(commit) else []
    about += [say("gate.uncommitted")] if side.dirty else []
    return say("gate.side", label=label, about=joined("list", about)) if about else label


def _date(one: Judged) -> str:
    """To the minute."""
    return cut(one.at)[:DATE_LENGTH].replace("T", " ")


def _titled(one: Judged, *, several: bool) -> Titled:
    return lambda key: joined(" · ", [*([one.label] if several else []), say(key)])


def _figures(one: Judged, *, several: bool) -> list[Figure]:
    cases = _names(one.judgement)
    # Nearly every timing is a latency, and a narrow screen has no room to say so in each row.
    plain = [
        replace(verdict, metric="") if verdict.metric == LATENCY else verdict for verdict in one.judgement.worst_first
    ]
    names = [joined(" · ", filter(None, _row_name(verdict, cases))) for verdict in plain]
    named = list(zip(one.judgement.worst_first, names, strict=True))
    return forest_figures(named, one.label, _titled(one, several=several))


def _names(judgement: Judgement) -> Mapping[str, str]:
    """What each case is called, fit to be shown."""
    names = short_names(verdict.case for verdict in judgement.verdicts)
    return {case: cut(name, LONGEST_NAME) for case, name in names.items()}


def _row_name(verdict: Verdict, cases: Mapping[str, str]) -> Sequence[str]:
    return [cases[verdict.case], cut(quantity(verdict), LONGEST_NAME)]


def _tables(one: Judged, *, several: bool) -> list[Table]:
    titled = _titled(one, several=several)
    every = one.judgement.worst_first
    same = [verdict for verdict in every if verdict.outcome is Outcome.SAME]
    others = [verdict for verdict in every if verdict.outcome is not Outcome.SAME]
    found = [
        _verdicts(others, titled("gate.table"), one, folded=len(others) > MOST_ROWS_OPEN),
        _verdicts(same, titled("gate.same"), one, folded=bool(others) or len(same) > MOST_ROWS_OPEN),
        _differences(one, titled("gate.differences")),
        _warnings(one, titled("gate.warnings")),
    ]
    return [table for table in found if table.rows]


def _differences(one: Judged, title: str) -> Table:
    return Table(
        title=title,
        columns=[Column(title=say(name)) for name in ("column.fact", "gate.before", "gate.after")],
        rows=[[cut(text, LONGEST_REASON) for text in row] for row in differences(one.judgement)],
        facets={"label": one.label},
    )


def _warnings(one: Judged, title: str) -> Table:
    return Table(
        title=title,
        columns=[Column(title=say("gate.warning"), kind=Kind.LONG)],
        rows=[[cut(warning, LONGEST_REASON)] for warning in one.judgement.warnings],
        facets={"label": one.label},
    )


def _verdicts(verdicts: Sequence[Verdict], title: str, one: Judged, *, folded: bool) -> Table:
    cases = _names(one.judgement)
    return Table(
        title=title,
        columns=[
            Column(title=say("gate.verdict")),
            Column(title=say("column.case")),
            Column(title=say("gate.quantity"), kind=Kind.CODE),
            Column(title=say("gate.change"), kind=Kind.NUMBER),
            Column(title=say("gate.most"), kind=Kind.NUMBER),
            Column(title=say("column.reason"), kind=Kind.LONG),
            Column(title=say("gate.before"), kind=Kind.NUMBER),
            Column(title=say("gate.after"), kind=Kind.NUMBER),
        ],
        rows=[_verdict(verdict, cases) for verdict in verdicts],
        row_facets=[verdict_facets(verdict) for verdict in verdicts],
        note=joined("sentence", _how(one.judgement)),
        folded=folded,
        facets={"label": one.label},
    )


def _how(judgement: Judgement) -> list[str]:
    """What all cases share, and how they were judged, as far as it is known."""
    shared = cut(shared_settings(verdict.case for verdict in judgement.verdicts), LONGEST_REASON)
    known = joined("list", (cut(fact) for fact in facts(judgement)))
    return [
        *([say("gate.shared", settings=shared)] if shared else []),
        *([say("gate.judged_with", facts=known)] if known else []),
    ]


def _verdict(verdict: Verdict, cases: Mapping[str, str]) -> list[str]:
    name, what = _row_name(verdict, cases)
    return [
        say(f"outcome.{verdict.outcome}"),
        name,
        what or numbers.NOTHING,
        change(verdict, to=say("gate.to")) or numbers.NOTHING,
        most(verdict) or numbers.NOTHING,
        cut(joined("notes", [verdict.reason, *verdict.notes]), LONGEST_REASON),
        *values(verdict),
    ]


def _earlier(earlier: Sequence[Judged]) -> Table:
    names = ("gate.date", "column.label", "gate.before", "gate.after", "gate.counts")
    return Table(
        title=say("gate.earlier"),
        columns=[
            *(Column(title=say(name), facet="label" if name == "column.label" else "") for name in names),
            Column(title=say("gate.exit_code"), kind=Kind.NUMBER),
        ],
        rows=[
            [
                _date(one) or numbers.NOTHING,
                one.label,
                *(_side(side) for side in (one.judgement.before, one.judgement.after)),
                joined("list", _counts(one.judgement)) or numbers.NOTHING,
                str(one.judgement.exit_code),
            ]
            for one in earlier
        ],
        folded=len(earlier) > MOST_ROWS_OPEN,
    )
