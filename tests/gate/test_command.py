"""`suite gate` from the command line to its exit code, with workers that need no torch."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from suite import __main__ as command_line
from suite.gate import command
from suite.gate.output.files import JUDGEMENT, read_judgement
from suite.gate.rules.acceptances import ACCEPTED, read_acceptances
from suite.gate.rules.decision import LEAST_LAUNCHES, Decisions
from suite.gate.side_by_side import revisions
from suite.gate.verdict import Outcome
from suite.machine.temporary import remove_abandoned
from tests.conftest import heard
from tests.gate.repositories import LIGHT_WORKER, light, repository
from tools.hostile.texts import TEXTS, harmful

ROOT = Path(__file__).parents[2]
LIGHTLY = """
import sys
from pathlib import Path

from suite.__main__ import main
from suite.gate.side_by_side import revisions

revisions.WORKER = Path(sys.argv.pop(1))
sys.exit(main())
"""
"""The command, with the worker that needs no torch."""


pytestmark = pytest.mark.usefixtures("warm_workers")


@pytest.fixture(autouse=True)
def light_worker(monkeypatch):
    monkeypatch.setattr(revisions, "WORKER", LIGHT_WORKER)


needs_pipes = pytest.mark.skipif(sys.platform == "win32", reason="waits for a pipe as Windows cannot")
GOOD = {"seconds": 1e-3}
CASES = {"one": GOOD, "two": GOOD, "three": GOOD}
SLOWER = {"cases": CASES | {"two": {"seconds": 1.8e-3}}}
LATER = str((datetime.now(UTC) + timedelta(days=300)).date())
EMPTY = {"cases": {}}
UNTIMED = {"spans": []}
WRITING = GOOD | {"writes": "light.py"}
ELSEWHERE = {"code": {"light": None}}
"""Runs what is installed."""


def called(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["suite", "gate", *arguments])
    return command_line.main()


def judged(monkeypatch, tmp_path, before, after, *more):
    """The exit code, and outcomes of each case, of a light working tree against its HEAD."""
    monkeypatch.chdir(light(tmp_path / "checkout", before, after).folder)
    code = called(monkeypatch, "--against", "HEAD", "--seconds", "3", "--out", str(tmp_path / "out"), *more)
    return code, outcomes(tmp_path / "out")


def outcomes(folder):
    found = {}
    for one in read_judgement(folder).verdicts:
        found.setdefault(one.case.rpartition("=")[2], set()).add(str(one.outcome))
    return found


@needs_pipes
def test_identical_code_passes_and_leaves_the_checkout_alone(tmp_path, monkeypatch, capsys):
    repo = light(tmp_path / "checkout", {"cases": CASES}, {"cases": CASES})
    digest = repo.digest()
    monkeypatch.chdir(repo.folder)
    assert called(monkeypatch, "--against", "main", "--seconds", "1", "--out", str(tmp_path / "out")) == 0
    assert outcomes(tmp_path / "out") == {name: {"same"} for name in CASES}
    assert repo.digest() == digest
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("judgement.json", "summary.md", "junit.xml", "rounds.csv.gz", ".merge.lock"),
    }
    shown = capsys.readouterr().out
    assert "comparing the working tree with main" in shown
    assert "Exit code 0." in shown


@needs_pipes
def test_a_slower_case_fails_and_passes_once_accepted(tmp_path, monkeypatch, capsys):
    summary = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setattr(Decisions, "launches_for_change", LEAST_LAUNCHES)  # the rule has tests of its own
    code, found = judged(monkeypatch, tmp_path, {"cases": CASES}, SLOWER)
    assert code == 1
    assert found == {"one": {"same"}, "two": {"same", "slower"}, "three": {"same"}}
    shown = capsys.readouterr().out
    (error,) = [line for line in shown.splitlines() if line.startswith("::error ")]
    assert error.startswith("::error title=slower%3A two · work · latency_s::+")
    assert "two" in summary.read_text()
    assert "suite gate accept 'workload=light name=two' --reason … --ceiling … --expires …" in shown

    accepted = ("accept", "workload=light name=two", "--ceiling", "2", "--expires", LATER)
    assert called(monkeypatch, *accepted, "--reason", "it's checked, twice [now], and costs this") == 0
    (entry,) = read_acceptances(ACCEPTED, datetime.now(UTC).date())
    assert entry.reason == "it's checked, twice [now], and costs this"
    again = ("--against", "HEAD", "--seconds", "3", "--out", str(tmp_path / "again"))
    capsys.readouterr()
    assert called(monkeypatch, *again) == 1  # as long as it is the change alone that says so
    assert outcomes(tmp_path / "again") | {"one": 0, "three": 0} == {
        "two": {"same", "slower"},
        "settings": {"incomparable"},
        "one": 0,
        "three": 0,
    }
    said = "this change alters a file that judges it: results/baseline/accepted.yaml (acceptances, added)"
    assert said in capsys.readouterr().out
    assert called(monkeypatch, *again, "--trust-candidate-settings") == 0
    assert outcomes(tmp_path / "again")["two"] == {"same", "accepted"}
    assert "the working tree's settings judge it: results/baseline/accepted.yaml" in capsys.readouterr().out

    ACCEPTED.write_text("schema: 1\naccepted: [", encoding="utf-8")
    corrupt = ("--against", "HEAD", "--seconds", "3", "--out", str(tmp_path / "corrupt"), "--trust-candidate-settings")
    assert called(monkeypatch, *corrupt) == 4
    assert outcomes(tmp_path / "corrupt")["two"] == {"same", "slower"}
    assert outcomes(tmp_path / "corrupt")["acceptances"] == {"broken"}
    assert called(monkeypatch, *accepted, "--reason", "why") == 4  # it is not overwritten


@needs_pipes
@pytest.mark.parametrize(
    ("before", "after", "code", "said"),
    [
        (EMPTY, EMPTY, 4, "Nothing was judged"),
        (EMPTY, {"cases": CASES}, 4, "so nothing was judged"),
        ({"cases": CASES}, {"refuses": "cannot import name 'x'", "cases": {}}, 4, "cannot import name 'x'"),
        ({"cases": CASES}, {"protocol": 99, "cases": {}}, 4, "speaks protocol 99"),
        ({"cases": CASES, "protocol": 99}, {"cases": CASES}, 4, "before: the worker speaks protocol 99"),
        (*[{"cases": {"one": {"build": "refuse"}}}] * 2, 4, "so nothing was judged"),
        ({"cases": {"one": GOOD}}, {"cases": {"one": ELSEWHERE}}, 4, "the older revision holds light; now"),
        ({"cases": {"one": ELSEWHERE}}, {"cases": {"one": GOOD}}, 4, "the older revision does not hold light"),
        (
            {"cases": {"one": GOOD}},
            {"cases": {"one": {"ran": {"light": None}}}},
            4,
            "now the installed copy would run instead",
        ),
        (
            *[{"cases": dict.fromkeys(CASES, ELSEWHERE)}] * 2,
            4,
            "no case of sweep=gate runs code of the two revisions",
        ),
    ],
)
def test_what_cannot_be_compared_is_never_green(tmp_path, monkeypatch, capsys, before, after, code, said):
    found, _ = judged(monkeypatch, tmp_path, before, after)
    assert found == code
    assert said in " ".join(capsys.readouterr().out.split())


@needs_pipes
def test_time_that_no_change_fits_into_is_refused_beforehand(tmp_path, monkeypatch, capsys):
    """Of forty timings a change takes seven launches of five rounds, and each sample 3 ms on either side."""
    many = {"cases": {f"case{number}": GOOD for number in range(40)}}
    monkeypatch.chdir(light(tmp_path / "checkout", many, many).folder)
    assert called(monkeypatch, "--against", "HEAD", "--seconds", "8") == 2
    said = capsys.readouterr()
    assert "seconds must be at least 9, because with 40 timings a change is called only after 7 launches" in said.err
    assert "timings decided" not in said.out


@needs_pipes
@pytest.mark.parametrize(
    ("before", "after", "more", "code", "found"),
    [
        # The command line chooses a case that the older side lacks, whether or not it has another.
        ({"cases": {"one": GOOD}}, {"cases": CASES}, ("--set", "name=two"), 0, {"two": {"new"}}),
        (EMPTY, {"cases": CASES}, ("--set", "name=two"), 4, {"two": {"new"}}),
        # A candidate that writes into the older tree.
        ({"cases": {"one": GOOD}}, {"cases": {"one": WRITING}}, (), 4, {"every case": {"broken"}}),
        # A sweep that is told as nonsense.
        ({"cases": CASES}, {"cases": CASES, "expanded": [1]}, (), 4, {"every case": {"broken"}}),
        (*[{"cases": {"one": UNTIMED}}] * 2, (), 0, {"one": {"same", "inconclusive"}}),
        (*[{"cases": {"one": UNTIMED}}] * 2, ("--inconclusive", "fail"), 3, {"one": {"same", "inconclusive"}}),
    ],
)
def test_a_working_tree_has_its_outcomes_and_exit_code(tmp_path, monkeypatch, before, after, more, code, found):
    ended, outcomes = judged(monkeypatch, tmp_path, before, after, *more)
    assert ended == code
    assert found.items() <= outcomes.items()


@needs_pipes
def test_a_case_that_kills_its_worker_is_broken_alone(tmp_path, monkeypatch):
    deaths = {f"{how} in {when}": {when: how} for how in ("exit", "kill") for when in ("build", "sample")}
    names = ["one", *deaths, "two", "three"]
    code, found = judged(
        monkeypatch,
        tmp_path,
        {"cases": dict.fromkeys(names, GOOD)},
        {"cases": {name: deaths.get(name, GOOD) for name in names}},
    )
    assert code == 4
    assert [found[name] for name in deaths] == [{"broken"}, {"same", "broken"}] * 2
    assert [found[name] for name in CASES] == [{"same"}] * 3
    broken = [one for one in read_judgement(tmp_path / "out").verdicts if one.outcome is Outcome.BROKEN]
    for one in broken:
        assert "after: the worker " in one.reason
        assert ("ended with exit code 7" if "exit" in one.case else "was killed by signal 9") in one.reason
        assert one.reason.startswith("failed while it was timed") is ("sample" in one.case)


@needs_pipes
def test_settings_that_differ_cannot_judge(tmp_path, monkeypatch):
    repo = light(tmp_path / "checkout", {"cases": {"one": GOOD}}, {"cases": {"one": GOOD}})
    repo.write({"results/baseline/accepted.yaml": "{schema: 1, accepted: []}"})
    monkeypatch.chdir(repo.folder)
    asked = ("--against", "HEAD", "--seconds", "1", "--out", str(tmp_path / "out"))
    assert called(monkeypatch, *asked) == 3
    assert outcomes(tmp_path / "out") == {"one": {"same"}, "settings": {"incomparable"}}
    repo.git("add", "--all")
    repo.git("commit", "--quiet", "--message", "accepted")
    repo.write({"results/baseline/accepted.yaml": "nothing"})
    assert called(monkeypatch, *asked) == 3  # the committed one counts
    assert called(monkeypatch, *asked, "--trust-candidate-settings") == 4


@needs_pipes
def test_nonsense_of_a_worker_is_broken_without_a_traceback(tmp_path, monkeypatch, capsys):
    nonsense = {
        "minus": {"answer": {"thread_cpu_s": -1}},
        "nan": {"answer": {"wall_s": math.nan}},
        # Five times the millisecond of CPU time that a sample may take beside its calls.
        "constant": {"seconds": 5e-3, "answer": {"thread_cpu_s": 1e-9, "process_cpu_s": 1e-9}},
        "long": {"answer": {"wall_s": 1e3}},
        "huge": {"answer": {"calls": 10**30}},
        "missing": {"lacks": "thread_cpu_s"},
        "spans": {"spans": "work"},
        "flops": {"flops": "many"},
    }
    good = {"cases": dict.fromkeys([*nonsense, "two"], GOOD)}
    code, found = judged(monkeypatch, tmp_path, good, {"cases": nonsense | {"two": GOOD}})
    assert code == 4
    assert {name for name, outcomes in found.items() if "broken" in outcomes} == nonsense.keys()
    assert "Traceback" not in capsys.readouterr().err
    for one in read_judgement(tmp_path / "out").verdicts:
        if one.outcome is Outcome.BROKEN:
            assert re.search(
                r"after: .*(is invalid|is not a JSON object|the kernel counted|by the judge's own clock)", one.reason
            ), one.reason


@needs_pipes
def test_ctrl_c_and_a_kill_leave_no_worker_and_no_file(tmp_path, monkeypatch):
    told = {"cases": {"one": {"sample": "hang"}}}
    repo = light(tmp_path / "checkout", told, told)
    digest = repo.digest()
    with timing(repo, tmp_path / "a") as interrupted, timing(repo, tmp_path / "b") as killed:
        for process in (interrupted, killed):
            until(process, "timing: 1")
        assert workers_of(tmp_path / "a")
        assert workers_of(tmp_path / "b")
        os.killpg(interrupted.pid, signal.SIGINT)  # as a terminal does
        killed.kill()
        assert interrupted.wait(timeout=10) == 130
        assert killed.wait(timeout=10) == -signal.SIGKILL
    wait_until(lambda: not workers_of(tmp_path))
    assert repo.digest() == digest
    assert read_judgement(tmp_path / "a" / "out").interrupted
    assert json.loads((tmp_path / "a" / "out" / JUDGEMENT).read_text())["exit_code"] == 130
    assert not (tmp_path / "b" / "out").exists()
    assert not list((tmp_path / "a").glob("suite-gate-*"))
    (left,) = (tmp_path / "b").glob("suite-gate-*")
    monkeypatch.setattr(tempfile, "tempdir", str(left.parent))
    assert remove_abandoned() == f"removed a temporary folder that a killed run left: {left.name}"
    assert not left.exists()


@contextmanager
def timing(repo, folder):
    """A gate in a process of its own, whose trees lie in `folder`."""
    folder.mkdir()
    gate = ["gate", "--against", "HEAD", "--out", str(folder / "out")]
    command = [sys.executable, "-c", LIGHTLY, str(LIGHT_WORKER), *gate]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    own = {"cwd": repo.folder, "env": environment, "start_new_session": True}
    with heard(signal.SIGINT):
        started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **own)
    with started as process:
        try:
            yield process
        finally:
            process.kill()


def until(process, words):
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"it ended before it said {words!r}")


def workers_of(folder):
    lines = (one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"]))
    return [line for line in lines if str(LIGHT_WORKER) in line and line[-1].startswith(str(folder))]


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "gate needs --against REV"),
        (["--against", "HEAD", "--seconds", "0"], "seconds must be at least 1 and below 86400 (a day); got 0"),
        (["--against", "HEAD", "--seconds", "nan"], "seconds must be at least 1 and below 86400 (a day); got nan"),
        (["--against", "nope"], "against must be a revision that git knows here; got 'nope'"),
        (["--against", "-x"], "against must be a revision that git knows here; got '-x'"),
        (["accept", "a case", "--reason", " ", "--ceiling", "1.1", "--expires", LATER], "reason must be"),
        (["history", "--since", "20", "results/gate", "--save"], "gate history was removed: collect judgements"),
        (["selftest", "--runs", "150", "--badge", "x"], "gate selftest was removed: in a checkout, .ci/tool"),
        (["--baseline", "x", "--candidate", "y"], "--baseline was removed: suite compare A B"),
        (["--candidate", "y"], "--candidate was removed: suite compare A B --fail-on slower"),
        *(
            ([*form, "--against", "HEAD", "--export-benchmark-json", "x"], "--export-benchmark-json was removed: gate")
            for form in ([], ["pytest"])
        ),
        (["pytest", "--against", "HEAD", "--clock", "instructions"], "--clock was removed: the gate judges by time"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(tmp_path, monkeypatch, capsys, arguments, words):
    repository(tmp_path / "checkout").commit({"a": "b"})
    monkeypatch.chdir(tmp_path / "checkout")
    assert called(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert words in captured.err


@needs_pipes
def test_a_sweep_that_the_working_tree_cannot_compose_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(light(tmp_path / "checkout", {"cases": CASES}, {"cases": CASES}).folder)
    assert called(monkeypatch, "--against", "HEAD", "--set", "name=nope") == 2
    assert "suite: sweep=gate cannot be composed: ValueError: there is no case {'nope'}\n" in capsys.readouterr().err


def test_no_checkout_is_refused_and_a_git_failure_is_broken(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert called(monkeypatch, "--against", "HEAD") == 2
    assert "--against needs a git checkout" in capsys.readouterr().err
    repo = repository(tmp_path / "checkout")
    blob = repo.commit({"a": "b"}) and repo.git("rev-parse", "HEAD:a")
    (repo.folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    monkeypatch.chdir(repo.folder)
    assert called(monkeypatch, "--against", "HEAD") == 4
    assert capsys.readouterr().err == "suite gate: git cannot check out all of 'HEAD'; a is missing\n"
    tree = repo.git("rev-parse", "HEAD^{tree}")
    (repo.folder / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    assert called(monkeypatch, "--against", "HEAD") == 4
    assert capsys.readouterr().err.startswith("suite gate: git failed: ")


@needs_pipes
def test_what_cannot_be_written_is_broken_and_not_slower(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(light(tmp_path / "checkout", {"cases": {"one": GOOD}}, {"cases": {"one": GOOD}}).folder)
    (tmp_path / "file").write_text("in the way")
    assert called(monkeypatch, "--against", "HEAD", "--seconds", "1", "--out", str(tmp_path / "file/out")) == 4
    assert "file/out" in capsys.readouterr().err


def test_judgements_of_one_second_do_not_overwrite_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    now = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
    assert [command._new_folder(now).name for _ in range(3)] == [f"20261125T120000Z{end}" for end in ("", "-2", "-3")]


@needs_pipes
def test_no_name_of_a_case_commands_the_runner_of_github(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    gone = {"cases": dict.fromkeys(TEXTS, GOOD)}
    untimed = {"cases": {"one": UNTIMED, "::error::x": {"build": "raise"}}}
    code, _ = judged(monkeypatch, tmp_path, {"cases": gone["cases"] | {"::error::x": GOOD, "one": UNTIMED}}, untimed)
    assert code == 4
    said = capsys.readouterr()
    own = [line for line in said.out.splitlines() if line.startswith("::")]
    assert {line.split(" title=")[0] for line in own} == {"::error", "::warning"}
    assert harmful(said.err) == []
    assert all(line in own for line in harmful(said.out))
    assert not any("##[" in line for line in own)
