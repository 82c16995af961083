"""Runs that agree in all but one setting and what belongs to it: what it changes, every seed against itself."""

import functools
from collections.abc import Iterable, Sequence

from suite.report.alike import Pairs, grouped
from suite.report.model.results import Results
from suite.report.rl_contests import Contest, contests_against
from suite.report.rl_run import DEFAULTS, Run
from suite.report.rl_runs import Arm, Comparison, apart_of, arms_of, runs_of, titles_of, together_of

OF_ONE_VALUE = {"supervision": ("outcome_as_step",)}
"""Settings that only one value of a setting has: those who lack it are held against all who have it."""


@functools.lru_cache(maxsize=len(DEFAULTS))
def contrasts_of(results: Results, name: str) -> Sequence[Comparison]:
    """For each set of such runs a comparison of the values of `name`, one of rl_run.DEFAULTS."""
    found = grouped(runs_of(results), lambda run: _but(run, name))
    several = {key: arms for key, runs in found.items() if len(arms := arms_of(runs, name)) > 1}
    titles = titles_of(list(several), results.several)
    made = [Comparison(together=key, title=titles[key], arms=arms) for key, arms in several.items()]
    return sorted(made, key=lambda one: one.title)


def contests_of(comparisons: Iterable[Comparison], name: str) -> list[tuple[Comparison, Contest]]:
    """Every other value against the default, at equal completions, seconds and joules."""
    found = [(one, default_of(one, name)) for one in comparisons]
    return [(one, contest) for one, arm in found if arm is not None for contest in contests_against(arm, one)]


def default_of(comparison: Comparison, name: str) -> Arm | None:
    """The arm with the default, which the others are held against; None where it has no curve."""
    return next((arm for arm in comparison.drawn if arm.runs[0].setting(name) == DEFAULTS[name]), None)


def _but(run: Run, name: str) -> Pairs:
    of_it = (name, *OF_ONE_VALUE.get(name, ()))
    return (*together_of(run), *((other, value) for other, value in apart_of(run) if other not in of_it))
