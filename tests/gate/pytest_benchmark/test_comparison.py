"""Two revisions of somebody's suite by the command line, with pytest processes and a package in `src/`."""

import json
import sys

import pytest

from suite import __main__ as command_line
from suite.gate.output.files import JUDGEMENT, read_judgement
from suite.gate.verdict import Outcome
from tests.gate.pytest_benchmark import projects
from tests.gate.repositories import repository

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="waits for a pipe as Windows cannot")
FILE = "benchmarks/test_fast.py::"
SAME_TEST = {
    "test_parameters[10]",
    "test_parameters[2000]",
    "TestClass::test_pedantic",
    "test_threads",
    "test_children",
    "test_waits",
}


def called(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["suite", "gate", *arguments])
    return command_line.main()


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The exit code, verdicts by the name of their test, and the judgement of one run over everything."""
    folder = tmp_path_factory.mktemp("foreign")
    repo = repository(folder / "checkout")
    repo.commit(projects.tree(is_old=True))
    repo.write(projects.tree(is_old=False))
    digest = repo.digest()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(repo.folder)
        given = ("--against", "HEAD", "--seconds", "1.5", "--python", sys.executable, "--out", str(folder / "out"))
        code = called(patched, "pytest", *given)
    assert repo.digest() == digest
    judgement = read_judgement(folder / "out")
    return code, {verdict.case.removeprefix(FILE): verdict for verdict in judgement.verdicts}, judgement


def outcomes(verdicts, outcome):
    return {name for name, verdict in verdicts.items() if verdict.outcome is outcome}


def test_a_slower_call_is_found_and_its_code_named(judged):
    code, verdicts, judgement = judged
    slower = verdicts["test_work"]
    assert slower.outcome is Outcome.SLOWER
    assert slower.low > 5
    assert (slower.clock, slower.code) == ("thread_cpu", "fastpkg (src/fastpkg/__init__.py)")
    assert code == judgement.exit_code == 4  # for others are broken
    assert judgement.facts["code"] == slower.code
    assert "pytest-benchmark" in judgement.facts["python"]


def test_what_did_not_change_is_not_called_slower(judged):
    _, verdicts, _ = judged
    assert {verdicts[name].outcome for name in SAME_TEST} <= {Outcome.SAME, Outcome.INCONCLUSIVE}
    assert all(verdicts[name].launches >= 2 and verdicts[name].rounds >= 16 for name in SAME_TEST)
    assert outcomes(verdicts, Outcome.SLOWER) == {"test_work"}


def test_each_clock_is_said_where_it_is_not_the_usual_one(judged):
    _, verdicts, _ = judged
    assert {name: verdicts[name].clock for name in ("test_threads", "test_children", "test_waits")} == {
        "test_threads": "process_cpu",
        "test_children": "wall",
        "test_waits": "wall",
    }
    assert any("all threads" in note for note in verdicts["test_threads"].notes)
    assert any("in child processes" in note for note in verdicts["test_children"].notes)
    assert any("waiting" in note for note in verdicts["test_waits"].notes)


def test_what_cannot_be_run_is_refused_by_name(judged):
    _, verdicts, _ = judged
    assert {name: verdicts[name].reason.split(":")[0] for name in outcomes(verdicts, Outcome.UNJUDGED)} == {
        "test_skipped": "it is skipped",
        "test_never": "it takes the fixture, and never calls benchmark",
        "test_async": "it is async, and no plugin here runs it",
        "test_coroutine": "its call returns a coroutine that nobody awaits, so no work would be timed",
        "test_once": "it cannot be repeated",
        "test_weaves": "it uses benchmark.weave or benchmark.patch, whose calls lie within other work",
        "test_known": "it is expected to fail, and does",
    }


def test_a_test_that_fails_now_is_broken(judged):
    _, verdicts, _ = judged
    broken = {name: verdicts[name].reason for name in outcomes(verdicts, Outcome.BROKEN)}
    assert broken.keys() == {"test_raises", "benchmarks/test_broken.py"}
    assert "has no attribute 'gone'" in broken["test_raises"]
    assert "No module named 'nowhere_at_all'" in broken["benchmarks/test_broken.py"]


def test_a_benchmark_that_changed_itself_is_incomparable(judged):
    _, verdicts, judgement = judged
    changed = {name: verdicts[name].reason for name in outcomes(verdicts, Outcome.INCOMPARABLE)}
    assert changed.keys() == {"test_asserts", "test_itself", "TestClass::test_fixture"}
    assert "its test;" in changed["test_itself"]
    assert "its fixture numbers;" in changed["TestClass::test_fixture"]
    assert any("differs elsewhere" in note for note in verdicts["test_work"].notes)
    assert any("benchmarks/conftest.py differs" in warning for warning in judgement.warnings)


def test_what_came_or_went_is_said(judged):
    _, verdicts, _ = judged
    assert outcomes(verdicts, Outcome.MISSING) == {"test_gone"}
    assert outcomes(verdicts, Outcome.NEW) == {"test_new"}


def test_a_chosen_test_passes_with_another_set_up(tmp_path, monkeypatch, capsys):
    files = {name: text for name, text in projects.tree(is_old=True).items() if "broken" not in name}
    repo = repository(tmp_path / "checkout")
    repo.commit(files | {"src/fastpkg/__init__.py": "from fastpkg.built import fast\n"})
    changed = files["benchmarks/test_fast.py"].replace("(benchmark, n):", "(benchmark, n):  # as it was")
    repo.write({"benchmarks/test_fast.py": changed})
    monkeypatch.chdir(repo.folder / "benchmarks")
    code = called(
        monkeypatch,
        "pytest",
        "test_fast.py::test_parameters",
        *("--against", "HEAD", "--seconds", "1", "--python", sys.executable, "--out", str(tmp_path / "out")),
        *("--prepare", "echo 'fast = lambda n: sum(range(n))' > src/fastpkg/built.py", "--trust-candidate-settings"),
    )
    verdicts = read_judgement(tmp_path / "out").verdicts
    assert (code, {verdict.case for verdict in verdicts}) == (0, {FILE + f"test_parameters[{n}]" for n in (10, 2000)})
    assert all("the benchmark itself changed: its test" in verdict.notes for verdict in verdicts)
    said = capsys.readouterr().out
    assert "prepared in each tree by: echo" in said
    assert "first calls" in said
    assert json.loads((tmp_path / "out" / JUDGEMENT).read_text())["facts"]["prepared"].startswith("echo")


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
    assert "fastpkg lies in lib/, and what is installed was imported; let the tree's own files" in verdict.reason
    assert "timing:" not in capsys.readouterr().out
