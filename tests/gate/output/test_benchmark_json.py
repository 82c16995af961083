"""Samples as pytest-benchmark's JSON: its own commands read both sides, and so does the gate."""

import json
import os
import subprocess
import sys

import pytest

from suite.gate.output.benchmark_json import write_benchmark_json
from suite.gate.rules.decision import AFTER, BEFORE, Benchmark
from suite.gate.stored.benchmark_json import read_run
from suite.gate.verdict import Outcome, Side
from tests.gate.judgements import judgement, timing, whole
from tests.gate.rules.test_decision import sample

CASE = "workload=attention attention=mla"
SIDES = {
    "before": Side(label="main", commit="0" * 40),
    "after": Side(label="working tree", commit="1" * 40, dirty=True),
}


def samples(arm, case=CASE, span="layer", slower=1.0):
    timed = Benchmark(case=case, span=span, clock="thread_cpu")
    return [
        sample(timed, 1 + number // 8, number % 8, arm, thread_cpu_s=slower * (1e-3 + number * 1e-6))
        for number in range(16)
    ]


@pytest.fixture
def written(tmp_path):
    """Both files of a case of ours and a stranger's test, with a verdict that has no samples beside them."""
    node = "tests/test_x.py::test_y[1]"
    taken = [
        *(samples(BEFORE) + samples(AFTER, slower=1.5)),
        *(samples(BEFORE, node, "") + samples(AFTER, node, "", slower=0.5)),
    ]
    judged = judgement(
        timing(Outcome.SLOWER, 1.5, case=CASE),
        timing(Outcome.FASTER, 0.5, case=node, span=""),
        timing(Outcome.SLOWER, 1.5, case=CASE, span="kernel", clock=""),
        whole(Outcome.SAME, case=CASE),
        **SIDES,
    )
    after, before = write_benchmark_json(tmp_path / "made" / "new.json", judged, taken, sys.executable)
    assert (after.name, before.name) == ("new.json", "new.before.json")
    return after, before


def test_each_side_is_a_file_of_its_own_with_equal_names(written):
    after, before = map(read_run, written)
    assert list(after.timed) == list(before.timed) == [f"{CASE} · layer", "tests/test_x.py::test_y[1]"]
    for name, ratio in zip(after.timed, (1.5, 0.5), strict=True):
        assert after.timed[name].median_s == pytest.approx(ratio * before.timed[name].median_s)
        assert after.timed[name].timer == "thread_cpu"
    assert (after.commit, after.dirty, before.commit, before.dirty) == ("1" * 40, True, "0" * 40, False)
    assert after.facts == before.facts
    assert all(after.facts.values())
    content = json.loads(written[0].read_text())
    assert content["benchmarks"][0]["extra_info"]["outcome"] == "slower"
    assert content["benchmarks"][0]["extra_info"]["ratio"] == 1.5


def test_statistics_are_those_that_pytest_benchmark_computes(written):
    stats = pytest.importorskip("pytest_benchmark.stats", reason="needs pytest-benchmark, to compare with")
    for benchmark in json.loads(written[0].read_text())["benchmarks"]:
        theirs = stats.Stats()
        theirs.data = benchmark["stats"]["data"]
        for name, value in theirs.as_dict().items():
            expected = value if isinstance(value, str) else pytest.approx(value, rel=0.01)
            assert benchmark["stats"][name] == expected, name


def test_the_real_command_compares_both_files(written, monkeypatch, capsys):
    cli = pytest.importorskip("pytest_benchmark.cli", reason="needs pytest-benchmark, to compare with")
    paths = [str(path) for path in reversed(written)]
    monkeypatch.chdir(written[0].parent)
    monkeypatch.setattr(sys, "argv", ["pytest-benchmark", "compare", "--group-by=fullname", *paths])
    cli.main()
    shown = capsys.readouterr().out
    assert f"benchmark '{CASE} · layer': 2 tests" in shown
    assert "benchmark 'tests/test_x.py::test_y[1]': 2 tests" in shown
    assert "(1.50)" in shown
    assert "(2.00)" in shown


def test_a_run_of_pytest_is_compared_with_a_file_of_the_gate(tmp_path, written):
    pytest.importorskip("pytest_benchmark", reason="needs pytest-benchmark, to compare with")
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_x.py").write_text(
        "import pytest\n\n@pytest.mark.parametrize('n', [1])\ndef test_y(benchmark, n):\n"
        "    benchmark.pedantic(sorted, ([3, 2, 1],), rounds=3)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--benchmark-compare={written[0]}"]
    # A test process of several tells its children so, and pytest-benchmark then runs nothing.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    how = {"capture_output": True, "text": True, "check": True, "cwd": tmp_path, "env": alone}
    shown = subprocess.run([*command, "tests"], **how).stdout
    assert "benchmark: 2 tests" in shown
    assert "test_y[1] (NOW)" in shown
