"""Recipes side by side. Every step of every stage trains on as many completions or examples, in as many updates, so
they stand at equal budgets after as many steps.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from suite.report.alike import Pairs, grouped
from suite.report.model.results import Results
from suite.report.rl_contrasts import default_of
from suite.report.rl_palette import RECIPE
from suite.report.rl_run import DEFAULTS, MOST, Run
from suite.report.rl_runs import (
    Arm,
    Comparison,
    apart_of,
    arms_of,
    numbers_of,
    runs_of,
    titles_of,
    together_of,
)


def recipe_comparisons(results: Results) -> list[Comparison]:
    """Recipes that agree in every other axis, the most of them first; none where no run has another than R1-Zero.

    Further settings that somebody named make arms of their own, as long as recipes other than R1-Zero have them: runs
    of R1-Zero that ask something else stand elsewhere.
    """
    found = grouped(runs_of(results), _family)
    kept = {key: part for key, runs in found.items() if (part := _about_recipes(runs))}
    titles = titles_of(list(kept), results.several)
    made = [Comparison(together=key, title=titles[key], arms=arms_of(runs, RECIPE)) for key, runs in kept.items()]
    return sorted(made, key=lambda one: (-len(one.drawn), -one.most_seeds, one.title))


def reference_recipe(comparison: Comparison) -> Arm | None:
    """R1-Zero, else the first that has a curve."""
    return default_of(comparison, RECIPE) or next(iter(comparison.drawn), None)


def teacher_seconds(arm: Arm) -> float | None:
    """CPU seconds that training its teacher took, which are in no budget: the mean over the runs that say them."""
    said = numbers_of(arm.ended, lambda run: _teacher_seconds(run.record.provenance.get("teacher")))
    return fmean(said) if said else None


def _teacher_seconds(said: Any) -> float | None:
    seconds = said.get("process_cpu_s") if isinstance(said, Mapping) else None
    return float(seconds) if isinstance(seconds, int | float) and 0 < seconds < MOST else None


def _family(run: Run) -> Pairs:
    axes = run.record.case.axes
    return (*together_of(run), *((name, value) for name, value in apart_of(run) if name in axes))


def _about_recipes(runs: Sequence[Run]) -> list[Run]:
    others = [run for run in runs if run.setting(RECIPE) != DEFAULTS[RECIPE]]
    asked = {_further(run) for run in others}
    return [run for run in runs if run in others or _further(run) in asked] if others else []


def _further(run: Run) -> Pairs:
    axes = run.record.case.axes
    return tuple(pair for pair in apart_of(run) if pair[0] not in (*axes, RECIPE))
