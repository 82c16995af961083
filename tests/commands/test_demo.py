"""The demo's sweeps accept what the demo asks of them."""

import pytest

from suite.commands.demo import LEARNT, TIMED, arguments_of
from suite.compose.compose import compose
from suite.run.job import job_of

ONE_POINT = {"demo_rl": ["algorithm=grpo"], "demo_quality": ["attention=mha"]}
ONE_TIMED = ["attention=mla", "geometry=tiny", "seq_len=64"]


@pytest.mark.parametrize("sweep", [*TIMED, *LEARNT])
def test_every_sweep_of_the_full_demo_composes(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    points = compose([*arguments_of(sweep, full=True, again=True), *ONE_POINT.get(sweep, ONE_TIMED)])
    measured = {job_of(one).settings["measure"]["max_seconds"] for one in points}
    assert measured == ({20} if sweep in TIMED else {2.0})
