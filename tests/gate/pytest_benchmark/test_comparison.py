"""Two revisions of somebody's suite by the command line, with pytest processes and a package in `src/`."""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from suite import __main__ as command_line
from suite.gate.output.files import JUDGEMENT, read_judgement
from suite.gate.pytest_benchmark.comparison import ExaminedBenchmark, SuiteComparison, enough_s
from suite.gate.rules.decision import LEAST_LAUNCHES, LEAST_ROUNDS, Decisions
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side import timing
from suite.gate.side_by_side.revisions import Tree
from suite.gate.side_by_side.worker_client import FailedError
from suite.gate.verdict import Outcome, Side
from tests.gate.pytest_benchmark import projects
from tests.gate.repositories import repository

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="waits for a pipe as Windows cannot"),
    pytest.mark.usefixtures("warm_workers"),
]
FILE = "benchmarks/test_fast.py::"


def called(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["suite", "gate", *arguments])
    return command_line.main()


@pytest.fixture(scope="module")
def judged(tmp_path_factory, warm_workers):
    """The exit code, verdicts by the name of their test, and the judgement of one run over everything."""
    folder = tmp_path_factory.mktemp("foreign")
    repo = repository(folder / "checkout")
    repo.commit(projects.tree(is_old=True))
    repo.write(projects.tree(is_old=False))
    digest = repo.digest()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(repo.folder)
        # The rule has tests of its own, and each launch starts two workers.
        patched.setattr(Decisions, "launches_for_change", LEAST_LAUNCHES)
        patched.setattr(timing, "SHARE", 1 / (LEAST_LAUNCHES + 1))
        given = ("--against", "HEAD", "--seconds", "3", "--python", sys.executable, "--out", str(folder / "out"))
        code = called(patched, "pytest", *given)
    assert repo.digest() == digest
    assert "rounds.csv.gz" in {path.name for path in (folder / "out").iterdir()}
    judgement = read_judgement(folder / "out")
    return code, {verdict.case.removeprefix(FILE): verdict for verdict in judgement.verdicts}, judgement


@pytest.mark.parametrize(
    ("outcome", "reasons"),
    [
        (Outcome.SLOWER, {"test_work": "slower by more than the"}),
        (
            Outcome.UNJUDGED,
            {
                "test_skipped": "it is skipped",
                "test_never": "it requests the fixture, but never calls benchmark",
                "test_async": "it is async, and no installed plugin runs it",
                "test_coroutine": "its call returns a coroutine that nobody awaits, so no work would be timed",
                "test_once": "it cannot be repeated",
                "test_weaves": "it uses benchmark.weave or benchmark.patch, which time calls within other work",
                "test_known": "it is expected to fail, and does",
            },
        ),
        (
            Outcome.BROKEN,
            {
                "test_raises": "has no attribute 'gone'",
                "benchmarks/test_broken.py": "No module named 'nowhere_at_all'",
            },
        ),
        (
            Outcome.INCOMPARABLE,
            {
                "test_asserts": "its test;",
                "test_itself": "its test;",
                "TestClass::test_fixture": "its fixture numbers;",
            },
        ),
        (Outcome.MISSING, {"test_gone": "the older revision has this benchmark, the newer one does not"}),
        (Outcome.NEW, {"test_new": "the older revision does not have this benchmark"}),
    ],
)
def test_each_benchmark_has_its_outcome_and_the_reason(judged, outcome, reasons):
    _, verdicts, _ = judged
    found = {name: verdict.reason for name, verdict in verdicts.items() if verdict.outcome is outcome}
    assert found.keys() == reasons.keys()
    assert all(words in found[name] for name, words in reasons.items()), found


def test_a_slower_call_names_its_code_and_clock(judged):
    code, verdicts, judgement = judged
    slower = verdicts["test_work"]
    assert slower.low > 1.02
    assert (slower.clock, slower.code) == ("thread_cpu", "fastpkg (src/fastpkg/__init__.py)")
    assert code == judgement.exit_code == 4  # for others are broken
    assert judgement.facts["code"] == slower.code
    assert "pytest-benchmark" in judgement.facts["python"]


def test_what_did_not_change_is_not_called_slower(judged):
    """Each says its clock, where that is not the usual one."""
    _, verdicts, _ = judged
    notes = {
        "test_parameters[10]": ("thread_cpu", ""),
        "TestClass::test_pedantic": ("thread_cpu", ""),
        "test_threads": ("process_cpu", "all threads"),
        "test_children": ("wall", "in child processes"),
        "test_waits": ("wall", "waiting"),
    }
    for name, (clock, words) in notes.items():
        assert verdicts[name].outcome in (Outcome.SAME, Outcome.INCONCLUSIVE)
        assert verdicts[name].clock == clock
        assert any(words in note for note in (*verdicts[name].notes, "")), verdicts[name].notes
    timed = [verdicts[name] for name in notes if verdicts[name].ratio is not None]
    assert all(verdict.rounds >= LEAST_ROUNDS * verdict.launches >= LEAST_ROUNDS * LEAST_LAUNCHES for verdict in timed)
    assert len(timed) > 2  # the slowest may not fit into the time on a busy machine


def test_what_is_chosen_runs_in_prepared_trees(tmp_path, monkeypatch, capsys):
    files = {name: text for name, text in projects.tree(is_old=True).items() if "test_" not in name}
    repo = repository(tmp_path / "checkout")
    test = "import fastpkg.built\n\n\ndef test_one(benchmark):\n    pass\n\n\ndef test_two(benchmark):\n    pass\n"
    repo.commit(files | {"benchmarks/test_it.py": test})
    monkeypatch.chdir(repo.folder / "benchmarks")
    given = ("--against", "HEAD", "--python", sys.executable, "--out", str(tmp_path / "out"))
    assert called(monkeypatch, "pytest", "test_it.py::test_two", *given, "--prepare", "touch src/fastpkg/built.py") == 4
    (verdict,) = read_judgement(tmp_path / "out").verdicts
    assert (
        verdict.reason == "none of the benchmarks (1) can be judged: it requests the fixture, but never calls benchmark"
    )
    assert "prepared in each tree by: touch src/fastpkg/built.py" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / JUDGEMENT).read_text())["facts"]["prepared"].startswith("touch")
    assert called(monkeypatch, "pytest", "test_no.py", *given) == 2
    assert "PATH must be a file, a folder or a node id that exists here" in capsys.readouterr().err


def test_a_suite_of_installed_code_is_refused_before_timing(tmp_path, monkeypatch, capsys):
    package = projects.tree(is_old=True)["src/fastpkg/__init__.py"]
    installed = projects.write(tmp_path / "installed", {"fastpkg/__init__.py": package})
    repo = repository(tmp_path / "checkout")
    test = "import fastpkg\n\n\ndef test_it(benchmark):\n    benchmark(fastpkg.fast, 10)\n"
    repo.commit({"lib/fastpkg/__init__.py": package, "test_it.py": test})
    monkeypatch.chdir(repo.folder)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    given = ("--against", "HEAD", "--python", sys.executable, "--out", str(tmp_path / "out"))
    assert called(monkeypatch, "pytest", *given) == 4
    (verdict,) = read_judgement(tmp_path / "out").verdicts
    assert verdict.outcome is Outcome.BROKEN
    assert "fastpkg lies in lib/, but the installed copy was imported; make the tree's own files" in verdict.reason
    assert "timing:" not in capsys.readouterr().out


def test_the_first_benchmarks_of_a_project_pass(tmp_path, monkeypatch, capsys):
    repo = repository(tmp_path / "checkout")
    plain = {"src/fastpkg/__init__.py": "", "tests/test_plain.py": "def test_it():\n    pass\n"}
    repo.commit(plain)
    repo.write({"bench/test_it.py": "import fastpkg\n\n\ndef test_it(benchmark):\n    benchmark(int)\n"})
    monkeypatch.chdir(repo.folder)
    given = ("--against", "HEAD", "--python", sys.executable, "--out", str(tmp_path / "out"))
    assert called(monkeypatch, "pytest", "bench", *given) == 0
    (verdict,) = read_judgement(tmp_path / "out").verdicts
    assert verdict.outcome is Outcome.NEW
    assert "There is nothing to compare with yet: every case is new. Exit code 0." in capsys.readouterr().out
    assert called(monkeypatch, "pytest", "tests", *given) == 4


def test_what_the_older_side_cannot_collect_is_not_new():
    for failed, code in (({}, 0), ({"t.py": "no module re2"}, 4)):
        comparison = SuiteComparison(
            before=Tree(side=Side(label="main"), folder=Path()),
            after=Tree(side=Side(label="here"), folder=Path()),
            revisions=SimpleNamespace(paths=()),
            python=SimpleNamespace(versions=""),
            seconds=None,
            tolerances=Tolerances(),
            trusts_candidate=False,
        )
        comparison._paired({**side(), "failed": failed}, side(a="1"))
        assert comparison.judgement(inconclusive_fails=False, interrupted=False).exit_code == code


def side(**parts):
    """What a worker collects: a benchmark by each name, with the hash of its test."""
    benchmarks = [{"id": id, "file": "t.py", "parts": {"test": hash}, "timer": id == "c"} for id, hash in parts.items()]
    return {"benchmarks": benchmarks, "others": False, "failed": {}}


def bare(*, trusts=False):
    """A comparison of nothing yet."""
    sides = dict.fromkeys(("before", "after", "revisions", "python", "seconds"))
    return SuiteComparison(**sides, tolerances=Tolerances(), trusts_candidate=trusts)


def test_a_changed_benchmark_is_judged_where_it_is_trusted():
    for trusts, expected in ((False, ["a", "c"]), (True, ["a", "b", "c"])):
        comparison = bare(trusts=trusts)
        cases = comparison._paired(side(a="1", b="1", c="1"), side(a="1", b="2", c="1"))
        assert [case.id for case in cases] == expected
        assert [verdict.outcome for verdict in comparison.verdicts] == [Outcome.INCOMPARABLE] * (not trusts)
        assert comparison.notes.get("b", []) == ["the benchmark itself changed: its test"] * trusts
        assert "the gate's clocks are used in place of the benchmark's own timer" in comparison.notes["c"]


def test_a_broken_test_is_said_to_have_failed_before():
    failed = FailedError("the test fails: no module re2")
    assert bare()._without_answer(failed, failed) == (Outcome.BROKEN, "before and now the test fails: no module re2")
    assert bare()._without_answer({}, failed) == (Outcome.BROKEN, "now the test fails: no module re2")


def test_time_that_calls_no_change_is_refused_or_times_fewer():
    """A change of one in 40 is called from seven launches on, of five rounds with 3 ms and a call on each side."""
    found = [
        ExaminedBenchmark(case=f"t{call_ms}", clock="thread_cpu", sides=({"call_s": call_ms / 1000},) * 2)
        for call_ms in range(1, 41)
    ]
    needed_s = sum(7 * 5 * 2 * (max(3, call_ms) + call_ms) / 1000 for call_ms in range(1, 41))
    assert enough_s(found) == max(120, math.ceil(2 * needed_s))
    assert enough_s(found[:1]) == 120
    comparison, said = bare(), []
    assert comparison._fitting(found, needed_s + 0.01, said.append) == found
    assert (comparison.verdicts, said) == ([], [])
    assert comparison._fitting(found, 1.0, said.append) == found[:2]
    (line,) = said
    assert line.startswith(f"not timed: {', '.join(one.case for one in found[2:])}: 40 benchmarks need ")
    assert {(verdict.outcome, verdict.case) for verdict in comparison.verdicts} == {
        (Outcome.INCONCLUSIVE, one.case) for one in found[2:]
    }
    (reason,) = {verdict.reason for verdict in comparison.verdicts}
    assert reason.startswith(
        f"40 benchmarks need {math.ceil(needed_s)} s or more, and 1 s are enough only for the 2 with"
    )
    with pytest.raises(ValueError, match=r"^seconds must be at least 1 for one of the 40 benchmarks, and about 116"):
        comparison._fitting(found, 0.1, said.append)
