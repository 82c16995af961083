"""Facts that must agree for stored times to be compared, and facts that are only shown."""

import pytest

from suite.gate.rules.fingerprint import MUST_MATCH, differences, surroundings
from tests.records.factory import build

HERE = {
    "machine_id": "a1b2c3d4",
    "cpu": "A processor",
    "architecture": "x86_64",
    "gpus": ["A GPU"],
    "driver": "570.1",
    "os": "Linux 6.1",
    "memory_bytes": 8 << 30,
    "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
    "variables": {"OMP_NUM_THREADS": "1"},
    "threads": 1,
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cpu": "Another"}, "CPU model: A processor before, Another now"),
        ({"architecture": "aarch64"}, "architecture: x86_64 before, aarch64 now"),
        ({"gpus": ["Another", "A GPU"]}, "GPU names: A GPU before, Another, A GPU now"),
        ({"gpus": []}, "GPU names: A GPU before, none now"),
        ({"driver": None}, "GPU driver: 570.1 before, not recorded now"),
        ({"packages": {"torch": "2.14.0", "numpy": "2.4.6"}}, "torch: 2.13.0 before, 2.14.0 now"),
        ({"threads": 2}, "threads: 1 before, 2 now"),
        ({"variables": {}}, "OMP_NUM_THREADS: 1 before, not recorded now"),
        ({"variables": []}, "OMP_NUM_THREADS: 1 before, not recorded now"),
        ({"judging_clock": "wall"}, "clock that judges: not recorded before, wall now"),
        ({"float32_matmul": {"precision": "high"}}, "float32 products"),
        (
            {"machine_id": "ffff"},
            "another machine: a1b2c3d4 before, ffff now; a stored time is valid only for the machine",
        ),
    ],
)
def test_what_decides_a_time_must_match(changed, said):
    (problem,), shown = differences(HERE, HERE | changed)
    assert said in problem
    assert shown


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({}, {}),
        # What drifts is not looked at.
        *(({name: value}, {}) for name, value in (("cpu_mhz", 3100), ("free_bytes", 5), ("load_1m", 0.3))),
        ({"memory_bytes": (8 << 30) - 4096}, {}),
        # What decides no time is shown alone.
        (
            {"os": "Linux 6.2", "packages": {"torch": "2.13.0", "numpy": "2.5"}},
            {"os": ["Linux 6.1", "Linux 6.2"], "packages.numpy": ["2.4.6", "2.5"]},
        ),
    ],
)
def test_what_does_not_decide_a_time_is_no_obstacle(changed, shown):
    assert differences(HERE, HERE | changed) == ([], shown)


@pytest.mark.parametrize("name", MUST_MATCH)
def test_whatever_must_match_is_shown_too(name):
    group, _, inner = name.rpartition(".")
    changed = {group: {**HERE[group], inner: "else"}} if group else {name: "else"}
    found, shown = differences(HERE, HERE | changed)
    assert len(found) == 1
    assert shown[name][1] == "else"


@pytest.mark.parametrize("name", ["cpu", "machine_id"])
def test_two_machines_that_are_not_known_are_not_one_machine(name):
    nameless = {key: value for key, value in HERE.items() if key != name}
    assert differences(nameless, nameless)[0] == [f"{name} is not recorded"]
    assert differences(HERE, nameless)[0]
    assert differences(nameless, HERE)[0]


def test_a_record_s_surroundings_have_its_threads_and_its_clock():
    found = surroundings(build(settings={"threads": 3, "device": "cpu"}, provenance={"clock": "thread_cpu"}))
    assert (found["threads"], found["device"], found["judging_clock"]) == (3, "cpu", "thread_cpu")
    assert found["cpu"] == "A processor"
