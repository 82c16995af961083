"""The demo's sweeps accept what the demo asks of them, and its answer follows from their records."""

import pytest

from suite.commands.demo import LEARNT, TIMED, first_view, sweep_arguments
from suite.compose.compose import compose
from suite.run.job import job_of
from tests.records.factory import build
from tests.report.quality_records import in_memory
from tests.report.rl_records import rl_record

ONE_POINT = {"demo_rl": ["algorithm=grpo"], "demo_quality": ["attention=mha"]}
ONE_TIMED = ["attention=mla", "geometry=tiny", "seq_len=64"]


@pytest.mark.parametrize("sweep", [*TIMED, *LEARNT])
def test_every_sweep_of_the_demo_composes(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    points = compose([*sweep_arguments({"sweep": sweep}, again=True), *ONE_POINT.get(sweep, ONE_TIMED)])
    assert {job_of(one).settings["measure"]["max_seconds"] for one in points} == {1.0 if sweep in TIMED else 2.0}


def test_the_answer_tells_each_first_ranking():
    steady = (1.00, 1.01, 0.99, 1.02, 1.00, 0.98, 1.01)
    timed = [
        build(attention=name, seq_len=size, latencies_s=tuple(value * time for value in steady))
        for name, time in (("mha", 3e-3), ("gqa", 5e-4), ("mla", 1e-3))
        for size in (64, 16384)
    ]
    learnt = [rl_record(algorithm=name, settings={"eval_prompts": 128, "device": "cpu"}) for name in ("grpo", "ppo")]
    attention, learning = first_view(in_memory(*timed, *learnt))
    assert "16,384 tokens" in attention
    assert "GQA 500 µs, MLA 1.00 ms, MHA 3.00 ms" in attention
    assert "GRPO" in learning
    assert "PPO" in learning


def test_without_records_there_is_no_answer():
    assert first_view(in_memory()) == []
