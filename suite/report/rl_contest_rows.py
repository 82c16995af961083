"""Contests as rows of a table: how often an arm beats its reference, by how much, and what may be said of it."""

from statistics import fmean

from suite.records import numbers
from suite.report.rl_contests import Contest
from suite.report.rl_numbers import amount, in_words, points, with_range
from suite.report.rl_runs import budget_name
from suite.report.section import Column, Kind
from suite.report.words import Words


def contest_columns(words: Words) -> list[Column]:
    """Of `contest_row`."""
    return [
        Column(title=words("rl.arm")),
        Column(title=words("rl_efficiency.held")),
        Column(title=words("rl_efficiency.improvement"), kind=Kind.NUMBER),
        Column(title=words("rl_efficiency.difference"), kind=Kind.NUMBER),
        Column(title=words("rl_efficiency.pairs"), kind=Kind.NUMBER),
        Column(title=words("rl_efficiency.accuracy"), kind=Kind.NUMBER),
        Column(title=words("rl_efficiency.of_reference"), kind=Kind.NUMBER),
        Column(title=words("rl_efficiency.in_words")),
    ]


def contest_row(contest: Contest, words: Words) -> list[str]:
    differences = contest.differences
    return [
        contest.arm.name,
        words(
            "rl_efficiency.equal",
            amount=amount(contest.budget, contest.held),
            budget=budget_name(contest.budget, words),
        ),
        with_range(contest.improvement, contest.improvement_interval, lambda value: f"{value:.2f}", "–", words),
        with_range(fmean(differences), contest.difference_interval, points, words("rl.to"), words)
        if differences
        else numbers.NOTHING,
        numbers.count(len(differences)),
        numbers.percent(fmean(contest.scores)),
        numbers.percent(fmean(contest.reference_scores)),
        _in_words(contest, words),
    ]


def _in_words(contest: Contest, words: Words) -> str:
    return in_words(contest.outcome, contest.difference_interval or contest.improvement_interval, contest.seeds, words)
