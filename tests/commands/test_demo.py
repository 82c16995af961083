"""The demo's sweeps accept what the demo asks of them, and its answer follows from their records."""

from dataclasses import replace

import pytest

from suite.commands import demo as module
from suite.commands.demo import LEARNT, RESULTS, TIMED, demo, first_view, sweep_arguments
from suite.machine.environment import machine_id
from suite.report.answers.answers import build as build_section
from suite.report.page.texts import load_texts
from suite.run.compose.composer import compose
from suite.run.job import job_of
from tests.records.factory import build, in_launches
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


def test_the_terminal_and_the_page_say_the_same_of_the_claims(tmp_path):
    times = {"mha": (3e-3, 2.9e-3, 3.1e-3), "gqa": (5e-4,) * 3, "mla": (1e-3, 1.1e-3, 1e-3)}
    records = [in_launches(build(attention=name), *seconds) for name, seconds in times.items()]
    elsewhere = [replace(record, environment=record.environment | {"machine_id": "ffff0000"}) for record in records]
    own = [replace(record, environment=record.environment | {"machine_id": machine_id()}) for record in records]
    results = in_memory(*own, *elsewhere)
    note = load_texts("en").section(build_section(results)).tables[0].note
    _, *compared = first_view(results)
    assert compared[0] == load_texts("en")("answer.reproduced", total=1, agrees=1, differs=0, untold=0)
    assert note.startswith(" ".join(compared))


def test_without_records_there_is_no_answer():
    assert first_view(in_memory()) == []


def test_a_deciding_sweep_joins_the_records_of_the_demo(monkeypatch, tmp_path):
    calls = []
    monkeypatch.chdir(tmp_path)
    RESULTS.mkdir(parents=True)
    monkeypatch.setattr(module, "run", lambda arguments, beside: calls.append([arguments, *beside]) or 0)
    monkeypatch.setattr(module, "report", lambda folders, labels, out, read: (out, 0))
    assert demo(sweep="mha_heavy") == 0
    deciding, *usual = calls
    assert deciding == [["-m", "sweep=mha_heavy", "seq_len=1024,16384,131072", "dtype=float32", *usual[0][0][2:3]]]
    assert [arguments[1] for turn in usual for arguments in turn] == [f"sweep={name}" for name in (*TIMED, *LEARNT)]
    with pytest.raises(ValueError, match=r"sweep must be one of rl_memory, attention.*got 'nope'"):
        demo(sweep="nope")
