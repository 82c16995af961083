"""Contests as rows of a table: how often an arm beats its reference, by how much, and what may be said of it."""

from statistics import fmean

from suite.records import numbers
from suite.report.rl_contests import Contest
from suite.report.rl_numbers import amount, points, with_range
from suite.report.rl_runs import budget_name
from suite.report.section import Column, Kind
from suite.report.verdicts import p_cells, p_columns, verdict
from suite.report.words import Words


def contest_columns(words: Words) -> list[Column]:
    """Return the head of `contest_row`."""
    return [
        Column(title=words("rl.arm")),
        Column(title=words("rl_efficiency.held")),
        Column(title=words("rl_efficiency.improvement"), kind=Kind.NUMBER),
        Column(title=words("rl_efficiency.difference"), kind=Kind.NUMBER),
        Column(title=words("rl_efficiency.pairs"), kind=Kind.NUMBER),
        Column(title=words("rl_efficiency.accuracy"), kind=Kind.NUMBER),
        Column(title=words("rl_efficiency.of_reference"), kind=Kind.NUMBER),
        Column(title=words("rl_efficiency.in_words")),
        *p_columns(words),
    ]


def contest_row(contest: Contest, words: Words) -> list[str]:
    found = contest.found
    return [
        contest.arm.name,
        words(
            "rl_efficiency.equal",
            amount=amount(contest.budget, contest.held),
            budget=budget_name(contest.budget, words),
        ),
        f"{contest.improvement:.2f}",
        with_range(found.mean, found.interval, points, words("rl.to"), words) if found else numbers.NOTHING,
        numbers.count(found.pairs if found else 0),
        numbers.percent(fmean(contest.scores)),
        numbers.percent(fmean(contest.reference_scores)),
        *([verdict(found, words), *p_cells(found)] if found else [numbers.NOTHING] * 3),
    ]
