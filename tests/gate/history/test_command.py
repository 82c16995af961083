"""`suite gate history` from the command line to its exit code, in real repositories."""

import json
import sys

import numpy as np
import pytest

from suite import __main__ as command_line
from suite.gate.output.files import write_judgement
from suite.gate.verdict import Outcome
from tests.gate.history.made import benchmark_file, history_of, judge_all, judged
from tests.gate.history.snapshot import SNAPSHOT, answers

SMALL_LOSSES = dict.fromkeys(range(14, 24), 0.012)
"""Ten commits that each cost 1.2%, below what any comparison of two revisions refuses."""


@pytest.fixture
def history(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["suite", "gate", "history", *map(str, arguments)])
        code = command_line.main()
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return call


@pytest.fixture
def line(tmp_path, monkeypatch):
    """A repository of 30 commits, which is the working folder."""
    made, commits = history_of(tmp_path / "checkout", 30)
    monkeypatch.chdir(made.folder)
    return made, commits


def test_many_small_losses_are_found_and_fail_where_asked(tmp_path, line, history):
    _, commits = line
    judge_all(tmp_path / "judged", commits, SMALL_LOSSES)
    code, shown = history(tmp_path / "judged", "--out", tmp_path / "out")
    assert code == 0
    assert "30 commits along first parents, 1 of them not measured. Series: 1 of ratios against the parent" in shown
    assert "Changes for the worse are listed; with --since N" in shown
    content = json.loads((tmp_path / "out" / "history.json").read_text())
    (found,) = content["findings"]
    assert found["is_worse"]
    assert found["low"] < np.exp(0.12) < found["high"]
    assert found["measured"] > 6
    assert commits.index(found["old"]) == pytest.approx(13, abs=2)
    assert commits.index(found["new"]) == pytest.approx(23, abs=2)
    assert "worse" in (tmp_path / "out" / "summary.md").read_text()
    assert history(tmp_path / "judged", "--since", 10)[0] == 1
    assert history(tmp_path / "judged", "--since", 3)[0] == 0


def test_saved_judgements_come_back_from_notes_alone(tmp_path, line, history):
    made, commits = line
    folder = tmp_path / "judged"
    write_judgement(judged(commits[1], commits[0], 1.2, outcome=Outcome.SLOWER), folder / "one", {})
    write_judgement(judged(commits[2], commits[1], at=1), folder / "two", {})
    code, shown = history("--save", folder)
    assert (code, shown.split()[0]) == (0, f"{commits[2][:9]}:")
    assert "git push origin refs/notes/suite-gate" in shown
    assert "nothing was written" in history("--save", folder)[1]
    assert history("--save", folder / "one")[0] == 0
    assert len(made.git("notes", "--ref=suite-gate", "list").splitlines()) == 2
    code, shown = history()
    assert code == 3
    assert "28 of them not measured" in shown
    assert "a-processor-1-thread: 1 series of at most 2 points are too short to be judged; 3 ratios or 20" in shown


def test_saving_writes_a_note_and_nothing_else(tmp_path, line, history):
    made, commits = line
    write_judgement(judged(commits[2], commits[1]), tmp_path / "judged" / "one", {})
    before = {path for path in made.folder.rglob("*") if path.is_file()}
    head = made.git("rev-parse", "HEAD")
    assert history("--save", tmp_path / "judged")[0] == 0
    added = {path.relative_to(made.folder / ".git") for path in made.folder.rglob("*") if path.is_file()} - {
        path.relative_to(made.folder / ".git") for path in before
    }
    assert {path.parts[0] for path in added} == {"objects", "refs"}
    assert [str(path) for path in added if path.parts[0] == "refs"] == ["refs/notes/suite-gate"]
    assert made.git("rev-parse", "HEAD") == head
    assert made.git("log", "--format=%an <%ae>", "refs/notes/suite-gate") == "suite gate <suite-gate@localhost>"


def test_notes_of_two_clones_merge_by_lines(tmp_path, line, history):
    made, commits = line
    write_judgement(judged(commits[2], commits[1]), tmp_path / "judged", {})
    assert history("--save", tmp_path / "judged")[0] == 0
    made.git("update-ref", "refs/notes/theirs", "refs/notes/suite-gate")
    write_judgement(judged(commits[2], commits[1], at=7), tmp_path / "judged", {})
    assert history("--save", tmp_path / "judged")[0] == 0
    made.git("notes", "--ref=suite-gate", "merge", "--quiet", "-s", "cat_sort_uniq", "theirs")
    note = made.git("notes", "--ref=suite-gate", "show", commits[2])
    assert len([line for line in note.splitlines() if line]) == 2


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (b"no json", "it is not JSON"),
        (b'{"schema":1}', "it is no line of suite gate history"),
        (b"[" * 100_000, "it holds more than 50,000 objects and lists"),
        (b'{"schema":1,"schema":1}', "it has one key twice"),
        (b"\xff\xfe", "it is not UTF-8"),
    ],
)
def test_a_hostile_note_is_named_and_the_rest_is_read(tmp_path, line, history, note, said):
    made, commits = line
    judge_all(tmp_path / "judged", commits, {})
    blob = made.git("hash-object", "-w", "--stdin", given=note)
    made.git("notes", "--ref=suite-gate", "add", "-C", blob, commits[3])
    code, shown = history(tmp_path / "judged")
    assert code == 4
    assert f"a line of the note on {commits[3][:9]} cannot be read: {said}" in shown
    assert "29 comparisons over 29 commits" in shown


def test_a_note_that_is_too_large_is_not_read(line, history, monkeypatch):
    made, commits = line
    monkeypatch.setattr("suite.gate.history.commits.MOST_NOTE_BYTES", 100)
    made.git("notes", "--ref=suite-gate", "add", "-m", "x" * 101, commits[3])
    code, shown = history()
    assert code == 4
    assert f"the note on {commits[3][:9]} is larger than what is read" in shown


def test_text_of_a_judgement_moves_no_cursor_and_commands_no_log(tmp_path, line, history):
    _, commits = line
    for place in range(1, 6):
        made = judged(commits[place], commits[place - 1], 1.3, at=place, outcome=Outcome.SLOWER)
        (verdict,) = made.verdicts
        evil = type(verdict)(**{**vars(verdict), "case": "\x1b[2J\n::error::x", "span": "|`@a`"})
        write_judgement(type(made)(**{**vars(made), "verdicts": [evil]}), tmp_path / "judged" / str(place), {})
    code, shown = history(tmp_path / "judged", "--since", 30, "--out", tmp_path / "out")
    assert code == 1
    assert "\x1b" not in shown
    assert not any(line.lstrip().startswith("::error") for line in shown.splitlines())
    assert "@a" not in (tmp_path / "out" / "summary.md").read_text()


@pytest.mark.parametrize(("step", "count"), [(0.004, 0), (0.006, 1), (-0.006, 1)])
def test_a_step_below_half_a_percent_is_not_listed(tmp_path, line, history, step, count):
    """However clear it is: here the noise is a hundredth of it."""
    _, commits = line
    noise = np.random.default_rng(0).normal(scale=5e-5, size=len(commits))
    for place, commit in enumerate(commits):
        median_s = 1e-3 * float(np.exp(noise[place])) * (1 + step * (place >= 15))
        benchmark_file(tmp_path / "saved" / f"{place:04}_a.json", commit, median_s)
    history(tmp_path / "saved", "--out", tmp_path / "out")
    findings = json.loads((tmp_path / "out" / "history.json").read_text())["findings"]
    assert [finding["is_worse"] for finding in findings] == [step > 0] * count


def test_two_machines_are_never_joined(tmp_path, line, history):
    _, commits = line
    for place, commit in enumerate(commits):
        benchmark_file(tmp_path / f"{place:04}_a.json", commit, 1e-3 * (1 + place % 2), node=f"host{place % 2}")
    code, shown = history(tmp_path)
    assert code == 3
    assert shown.count("1 series of at most 15 points are too short to be judged") == 2
    assert "host" not in shown


def test_what_is_of_no_commit_is_left_out_with_a_reason(tmp_path, line, history):
    _, commits = line
    benchmark_file(tmp_path / "a.json", commits[0], 1e-3, dirty=True)
    benchmark_file(tmp_path / "b.json", "f" * 40, 1e-3)
    code, shown = history(tmp_path / "a.json", tmp_path / "b.json")
    assert code == 4
    assert f"a.json is left out: {commits[0][:9]} was measured with uncommitted changes" in shown
    assert "measurements of commits outside this line: 1" in shown
    assert "No commit of this line was measured. Exit code 4." in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rev", "nowhere"], "rev must be a revision that git knows here; got 'nowhere'"),
        (["--commits", "0"], "commits must be from 1 to 10,000; got 0"),
        (["--since", "0"], "since must be from 1 to 200, the value of --commits; got 0"),
        (["missing"], "a place of measurements must be a folder or a file; got 'missing'"),
        (["--save"], "--save needs a judgement of the gate; there is none in 'results/gate'"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(line, history, arguments, said):
    code, shown = history(*arguments)
    assert code == 2
    assert said in shown


def test_a_history_needs_a_checkout(tmp_path, monkeypatch, history):
    monkeypatch.chdir(tmp_path)
    code, shown = history()
    assert code == 2
    assert "a history needs a git checkout around this folder" in shown


def test_notes_of_other_lines_are_counted(line, history):
    made, commits = line
    made.git("notes", "--ref=suite-gate", "add", "-m", "of another line", commits[29])
    code, shown = history("--rev", commits[20])
    assert code == 4
    assert "git notes on commits outside this line: 1" in shown


def test_a_judgement_with_uncommitted_changes_is_not_saved(tmp_path, line, history):
    _, commits = line
    made = judged(commits[1], commits[0])
    dirty = type(made.after)(label="working tree", commit=commits[1], dirty=True)
    write_judgement(type(made)(**{**vars(made), "after": dirty}), tmp_path / "judged", {})
    code, shown = history("--save", tmp_path / "judged")
    assert code == 2
    assert "must be of committed files only" in shown


def test_the_whole_answer_is_what_it_was(tmp_path):
    """Where it is to be another: `python -m tests.gate.history.snapshot`, and look at what git shows."""
    assert answers(tmp_path) == SNAPSHOT.read_text(encoding="utf-8")
