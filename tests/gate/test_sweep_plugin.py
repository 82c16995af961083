"""`pytest --suite-sweep`: cases as items of pytest, with the plugin that other people's runs load too."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mla_grpo_suite_pytest
import pytest

from suite.gate.side_by_side.pairing import Expanded
from suite.gate.sweep_plugin import CaseItem
from suite.records.case import Case

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "mla_grpo_suite_pytest"
FOREIGN = ROOT / "tests" / "foreign"
NAMES = [f"workload=behaving seq_len={length} seed=5 · work" for length in (1, 2)]


def pytest_run(folder, *arguments):
    path = os.pathsep.join(map(str, (ROOT, ROOT / "suite" / "gate" / "pytest11", FOREIGN)))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_"))}
    command = [sys.executable, "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", *arguments]
    settings = {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=settings)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder and what pytest said of four workloads, each of two cases, beside a test that may not be loaded."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "test_own.py").write_text("raise SystemError('it was collected')\n")
    chosen = [
        f"hydra.searchpath=[file://{FOREIGN / 'conf'}]",
        "measure=smoke",
        "workload=behaving,wrong,raising,unsupported",
    ]
    ended = pytest_run(
        folder,
        *("--suite-sweep=seeded", *(f"--suite-set={setting}" for setting in chosen)),
        *("--benchmark-json=new.json", "--benchmark-max-time=0.001", "-rA", "--color=no"),
    )
    return folder, ended


def lines_of(ran, outcome):
    return [line for line in ran[1].stdout.splitlines() if line.startswith(f"{outcome} ")]


def test_each_span_of_each_case_is_an_item_in_place_of_tests(ran):
    folder, ended = ran
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "collected 8 items" in ended.stdout
    assert lines_of(ran, "PASSED") == [f"PASSED sweep=seeded::{name}" for name in NAMES]
    # .benchmarks is made by pytest-benchmark, where it would save.
    assert {path.name for path in folder.iterdir()} - {".benchmarks"} == {"test_own.py", "new.json"}


def test_a_wrong_output_fails_its_item_and_is_not_timed(ran):
    sentence = "workload=wrong seq_len=1 seed=5 · work: the output is wrong, and nothing was timed: the sum is off"
    assert f"\nsweep=seeded::{sentence}\n" in ran[1].stdout
    failed = [line.partition("workload=")[2].split()[0] for line in lines_of(ran, "FAILED")]
    assert sorted(failed) == ["raising"] * 2 + ["wrong"] * 2


def test_what_cannot_run_here_is_skipped_with_its_reason(ran):
    skipped = lines_of(ran, "SKIPPED")
    assert len(skipped) == 2
    assert all("workload=unsupported" in line and "this machine has no flux capacitor" in line for line in skipped)


def test_the_file_has_the_clock_the_settings_and_the_constants(ran):
    benchmarks = json.loads((ran[0] / "new.json").read_text())["benchmarks"]
    assert [benchmark["fullname"] for benchmark in benchmarks] == NAMES
    for length, benchmark in enumerate(benchmarks, start=1):
        assert benchmark["options"]["timer"] == "thread_time"
        assert benchmark["params"]["seq_len"] == str(length)
        assert benchmark["extra_info"]["flops"] == 10.0
        assert benchmark["extra_info"]["clock"] == "thread_cpu"
        assert benchmark["name"] == f"behaving seq_len={length} · work"
        assert len(benchmark["stats"]["data"]) >= 5


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"suite_set": ["a=b"]}, "--suite-set sets a value for the cases of --suite-sweep, which is not given"),
        ({"suite_sweep": "gate"}, "--suite-sweep needs pytest-benchmark, which is not installed"),
    ],
)
def test_what_cannot_be_asked_of_pytest_is_refused(given, words):
    plugins = SimpleNamespace(hasplugin=lambda name: False, register=None)
    config = SimpleNamespace(getoption=given.get, pluginmanager=plugins)
    with pytest.raises(pytest.UsageError, match=words):
        mla_grpo_suite_pytest.pytest_configure(config)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"workload": {"_target_": "x.Y"}, "device": "cuda"}, "it runs on cuda, which only its own events can time"),
        ({"workload": {"plan": "x.Plan"}}, "it is computed from formulas, so nothing runs that could be timed"),
    ],
)
def test_a_case_that_no_timer_of_the_host_can_time_is_refused(settings, words):
    case = Case(workload="attention", axes={"seq_len": 1}, extras={})
    held = CaseItem(Expanded(case=case, settings=settings, code={}))
    assert words in held.refusal
    assert held.built is None
