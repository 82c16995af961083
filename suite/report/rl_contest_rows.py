"""Contests as rows of a table: how often an arm beats its reference, by how much, and what may be said of it."""

from statistics import fmean

from suite.records import numbers
from suite.report.blocks import Column, Kind, say
from suite.report.rl_contests import Contest
from suite.report.rl_numbers import amount, points, with_range
from suite.report.rl_runs import budget_name
from suite.report.verdicts import p_cells, p_columns, verdict


def contest_columns() -> list[Column]:
    """Return the head of `contest_row`."""
    return [
        Column(title=say("rl.arm")),
        Column(title=say("rl_efficiency.held")),
        Column(title=say("rl_efficiency.improvement"), kind=Kind.NUMBER),
        Column(title=say("rl_efficiency.difference"), kind=Kind.NUMBER),
        Column(title=say("rl_efficiency.pairs"), kind=Kind.NUMBER),
        Column(title=say("rl_efficiency.accuracy"), kind=Kind.NUMBER),
        Column(title=say("rl_efficiency.of_reference"), kind=Kind.NUMBER),
        Column(title=say("rl_efficiency.in_words")),
        *p_columns(),
    ]


def contest_row(contest: Contest) -> list[str]:
    found = contest.found
    return [
        contest.arm.name,
        say(
            "rl_efficiency.equal",
            amount=amount(contest.budget, contest.held),
            budget=budget_name(contest.budget),
        ),
        f"{contest.improvement:.2f}",
        with_range(found.mean, found.interval, points, say("rl.to")) if found else numbers.NOTHING,
        numbers.count(found.pairs if found else 0),
        numbers.percent(fmean(contest.scores)),
        numbers.percent(fmean(contest.reference_scores)),
        *([verdict(found), *p_cells(found)] if found else [numbers.NOTHING] * 3),
    ]
