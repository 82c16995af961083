"""Answers that cannot be: each is refused in one sentence, whichever worker tells it."""

import math
import sys
import time

import pytest

from suite.gate.side_by_side.answers import (
    BadAnswerError,
    checked_build,
    checked_cases,
    checked_sample,
    unexplained,
)
from suite.gate.side_by_side.worker_client import Spent, WorkerClient

SPENT = Spent(wall_s=4e-3, cpu_s=4e-3)
SAMPLE = {"wall_s": 1e-3, "thread_cpu_s": 1e-3, "process_cpu_s": 1e-3, "involuntary_switches": 0, "calls": 3}
BUILD = {
    "spans": ["layer"],
    "clock": "thread_cpu",
    "readings": {"case": {"flops": 1.0}},
    "operators": {"layer": ["mm"]},
    "parts": {"layer": ["mm"]},
    "coverage": {"layer": 1.0},
    "code": {"normed": None},
}
CASE = {"workload": "attention", "axes": {}, "extras": {}, "settings": {}, "code": {}}
NO_NUMBERS = [None, "1", "NaN", [1.0], {}, True, math.nan, math.inf, -1, -1e-9, 10**400]


def test_a_plausible_sample_is_taken_as_it_is():
    assert checked_sample(SAMPLE, SPENT, "thread_cpu") == SAMPLE | {"device_s": None}
    assert checked_sample(SAMPLE | {"device_s": 1e-3}, SPENT, "device")["device_s"] == 1e-3
    assert checked_sample(SAMPLE | {"involuntary_switches": 2}, Spent(wall_s=4e-3, cpu_s=None), "wall")


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0])
@pytest.mark.parametrize(
    "name", ["wall_s", "thread_cpu_s", "process_cpu_s", "device_s", "involuntary_switches", "calls"]
)
def test_a_sample_of_no_number_is_refused_in_a_sentence(name, value):
    clock = name.removesuffix("_s") if name.endswith("_s") else "thread_cpu"
    if (name, value) in (("involuntary_switches", 0), ("device_s", None)):
        return
    with pytest.raises(
        BadAnswerError, match=rf"^the worker's answer to `sample` cannot be: {name} must be "
    ) as refusal:
        checked_sample(SAMPLE | {name: value}, SPENT, clock)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_without_one_of_its_fields_is_refused(name):
    with pytest.raises(BadAnswerError, match=f"{name} must be"):
        checked_sample({key: value for key, value in SAMPLE.items() if key != name}, SPENT, "thread_cpu")
    with pytest.raises(BadAnswerError, match="has no device_s"):
        checked_sample(SAMPLE, SPENT, "device")


@pytest.mark.parametrize("name", ["wall_s", "thread_cpu_s", "process_cpu_s", "device_s"])
def test_no_call_is_longer_than_the_request_was(name):
    with pytest.raises(
        BadAnswerError, match=f"tells {name} of 0.01 for the median of 3 calls, but all of them took 0.004"
    ):
        checked_sample(SAMPLE | {name: 1e-2}, SPENT, "thread_cpu")
    with pytest.raises(BadAnswerError, match="median of 30 calls"):
        checked_sample(SAMPLE | {"calls": 30}, SPENT, "thread_cpu")


@pytest.mark.parametrize(("told_s", "is_believed"), [(1e-3, True), (5e-4, True), (1e-4, False), (1e-9, False)])
def test_cpu_time_that_no_call_tells_of_is_counted_against_them(told_s, is_believed):
    """Of ten calls of a millisecond."""
    told = SAMPLE | {"thread_cpu_s": told_s, "process_cpu_s": told_s, "calls": 9}
    assert (unexplained(told, Spent(wall_s=1e-2, cpu_s=1e-2)) < 1) is is_believed
    assert unexplained(told, Spent(wall_s=1e-2, cpu_s=None)) == 0


@pytest.mark.parametrize(
    "changed",
    [
        *({"spans": value} for value in (None, "layer", [1], ["layer", "layer"], list(map(str, range(101))))),
        *({"clock": value} for value in (None, "sundial", 1, ["wall"])),
        *({"readings": value} for value in (None, [], {"case": 1}, {"case": {"flops": "1"}}, {"case": {"f": 10**400}})),
        *({name: value} for name in ("operators", "parts") for value in (None, [], {"layer": "mm"}, {"layer": [1]})),
        *({"coverage": value} for value in (None, 1, *({"layer": share} for share in ("1", math.nan, -1, True)))),
        *({"code": value} for value in (None, ["normed"], {"normed": 1})),
    ],
)
def test_a_case_that_is_built_as_nonsense_is_refused(changed):
    assert checked_build(BUILD, examined=True) is BUILD
    with pytest.raises(BadAnswerError, match=r"^the worker's answer to `build` cannot be: "):
        checked_build(BUILD | changed, examined=True)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"cases": {}},
        {"cases": [1]},
        {"cases": [{}]},
        *(
            {"cases": [CASE | {name: value}]}
            for name in ("axes", "extras", "settings", "code")
            for value in (None, [1])
        ),
        {"cases": [CASE | {"workload": None}]},
        {"cases": [CASE | {"code": {"a": 1}}]},
    ],
)
def test_cases_that_cannot_be_are_refused(answer):
    assert checked_cases({"cases": [CASE]}) == [CASE]
    with pytest.raises(BadAnswerError, match=r"^the worker's answer to `expand` cannot be: "):
        checked_cases(answer)


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU clock of another process is Linux's")
def test_the_judge_counts_a_workers_cpu_time_in_all_its_threads(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(
        "import sys, threading, time\n\ndef spin():\n    until = time.process_time() + 0.02\n"
        "    while time.process_time() < until:\n        pass\n\nfor line in sys.stdin:\n"
        "    other = threading.Thread(target=spin)\n    other.start()\n    other.join()\n    print('{}', flush=True)\n"
    )
    with WorkerClient([sys.executable, script], tmp_path, tmp_path / "log") as client:
        client.ask("anything")
        begun = time.perf_counter()
        answer, spent = client.ask_timed("anything")
        assert answer == {}
        assert 0.02 <= spent.cpu_s <= spent.wall_s + 0.01
        assert spent.wall_s <= time.perf_counter() - begun
