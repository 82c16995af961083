"""Every sweep that comes with the suite can be composed, and its cases are right in themselves."""

import pytest

from suite.configuration.files import choices
from suite.run.compose.composer import compose
from suite.run.compose.point import without_left_out
from suite.run.job import job_of

AFTER_TRIALS = {"quality_controls": "results/quality_rates", "rl_tuned_fresh": "results/rl_tuned"}
"""Sweeps that take their rates from the trials of another, and the folder of these."""


@pytest.mark.parametrize("name", sorted({*choices("sweep")} - {*AFTER_TRIALS}))
def test_a_sweep_has_cases(name):
    points = without_left_out(compose(["-m", f"sweep={name}"]))
    assert len(points) > 1
    for point in (points[0], points[-1]):
        job_of(point)


@pytest.mark.parametrize(("name", "folder"), AFTER_TRIALS.items())
def test_a_sweep_of_the_best_says_what_comes_first(name, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # in a checkout, someone may have run the trials
    with pytest.raises(Exception, match=f"{folder} must hold the trials"):
        compose(["-m", f"sweep={name}"])
