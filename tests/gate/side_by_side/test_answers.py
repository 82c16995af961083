"""Answers that cannot be: each is refused in one sentence, whichever worker tells it."""

import math

import pytest

from suite.gate.side_by_side.answers import (
    BadAnswerError,
    checked_build,
    checked_cases,
    checked_collection,
    checked_opening,
    checked_sample,
    unexplained_share,
)
from suite.gate.side_by_side.worker_client import Spent

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


@pytest.mark.parametrize(
    "name", ["wall_s", "thread_cpu_s", "process_cpu_s", "device_s", "involuntary_switches", "calls"]
)
def test_a_sample_of_no_number_is_refused_in_a_sentence(name):
    clock = name.removesuffix("_s") if name.endswith("_s") else "thread_cpu"
    says = rf"^the worker's answer to `sample` is invalid: {name} must be "
    for value in [*NO_NUMBERS, 0]:
        if (name, value) in (("involuntary_switches", 0), ("device_s", None)):
            continue
        with pytest.raises(BadAnswerError, match=says) as refusal:
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
        BadAnswerError, match=f"reports {name} of 0.01 for the median of 3 calls, but all of them took 0.004"
    ):
        checked_sample(SAMPLE | {name: 1e-2}, SPENT, "thread_cpu")
    with pytest.raises(BadAnswerError, match="median of 30 calls"):
        checked_sample(SAMPLE | {"calls": 30}, SPENT, "thread_cpu")


@pytest.mark.parametrize(("call_s", "is_believed"), [(1e-3, True), (5e-4, True), (1e-4, False), (1e-9, False)])
def test_cpu_time_that_no_call_tells_of_is_counted_against_them(call_s, is_believed):
    """Of ten calls of a millisecond."""
    sample = SAMPLE | {"thread_cpu_s": call_s, "process_cpu_s": call_s, "calls": 9}
    assert (unexplained_share(sample, Spent(wall_s=1e-2, cpu_s=1e-2)) < 1) is is_believed
    assert unexplained_share(sample, Spent(wall_s=1e-2, cpu_s=None)) == 0


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
    with pytest.raises(BadAnswerError, match=r"^the worker's answer to `build` is invalid: "):
        checked_build(BUILD | changed, examined=True)


@pytest.mark.parametrize(
    "cases",
    [
        None,
        {},
        [1],
        [{}],
        *([CASE | {name: value}] for name in ("axes", "extras", "settings", "code") for value in (None, [1])),
        [CASE | {"workload": None}],
        [CASE | {"code": {"a": 1}}],
    ],
)
def test_cases_that_cannot_be_are_refused(cases):
    assert checked_cases({"cases": [CASE]}) == [CASE]
    with pytest.raises(BadAnswerError, match=r"^the worker's answer to `expand` is invalid: "):
        checked_cases({"cases": cases})


BENCHMARK = {"id": "t.py::test", "file": "t.py", "timer": False, "parts": {"test": "0"}}
COLLECTION = {"failed": {}, "others": False, "benchmarks": [BENCHMARK]}
PROBE = dict.fromkeys(("wall_s", "thread_cpu_s", "process_cpu_s", "children_s", "run_delay_s", "calls"), 1)
OPENING = {
    **dict.fromkeys(("setup_s", "first_s", "call_s"), 0.1),
    "is_set_up": False,
    "probes": [PROBE],
    "beside": {},
    "code": {name: {} for name in ("ran", "imported", "elsewhere", "once")},
}


@pytest.mark.parametrize(
    ("check", "good", "changed"),
    [
        *((checked_collection, COLLECTION, {name: 1}) for name in COLLECTION),
        *((checked_collection, COLLECTION, {"benchmarks": [BENCHMARK | {name: 1}]}) for name in BENCHMARK),
        *((checked_opening, OPENING, {name: "1"}) for name in OPENING),
        *((checked_opening, OPENING, {"probes": [PROBE | {name: -1}]}) for name in PROBE),
        (checked_opening, OPENING, {"probes": []}),
        (checked_opening, OPENING, {"probes": [PROBE | {"wall_s": 0}]}),
        (checked_opening, OPENING, {"code": OPENING["code"] | {"once": {"a": 1}}}),
    ],
)
def test_what_pytest_cannot_have_said_is_refused(check, good, changed):
    more = {"examined": True} if check is checked_opening else {}
    assert check(good, **more) is good
    with pytest.raises(BadAnswerError, match=r"^the worker's answer to `\w+` is invalid: "):
        check(good | changed, **more)
