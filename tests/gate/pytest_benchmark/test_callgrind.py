"""Counts of instructions: judged by their spread over launches, and read from callgrind's own files.

`.ci/tool benchmarks.instructions` runs them under a real valgrind, which takes minutes.
"""

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from suite import __main__ as command_line
from suite.gate.pytest_benchmark import callgrind
from suite.gate.pytest_benchmark.callgrind import CountedRevisions, InstructionCounting, check_valgrind
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side.answers import BadAnswerError
from suite.gate.side_by_side.worker_client import FailedError
from suite.gate.verdict import Outcome
from suite.gate.workers import counting_worker
from suite.gate.workers.counting_worker import Valgrind

SAME = [(1_000_000.0, 1_000_500.0), (1_003_000.0, 1_002_700.0), (999_000.0, 999_100.0)]
"""Launches of one code, each with its own seed of hashes."""


def counting(folder, counts=None, cases=()):
    revisions = CountedRevisions(
        trees=(folder, folder), logs=folder, python=sys.executable, folder=".", checkout=folder, valgrind="valgrind"
    )
    return InstructionCounting(revisions=revisions, cases=cases, tolerances=Tolerances(), counts=dict(counts or {}))


def slower(share):
    return [(before, after * (1 + share)) for before, after in SAME]


def test_a_change_beyond_one_percent_is_called(tmp_path):
    found = counting(tmp_path, {"same": SAME, "two": slower(0.02), "less": slower(-0.05), "half": slower(0.005)})
    verdicts = {verdict.case: verdict for verdict in found.verdicts()}
    assert {case: str(verdict.outcome) for case, verdict in verdicts.items()} == {
        "same": "same",
        "two": "slower",
        "less": "faster",
        "half": "same",
    }
    assert verdicts["two"].clock == verdicts["two"].metric == "instructions"
    assert verdicts["two"].low < 1.02 < verdicts["two"].high
    assert "instructions see no cache, no waiting and no other process" in verdicts["two"].notes[-1]


def test_launches_that_disagree_are_inconclusive(tmp_path):
    wide = [(1e6, 1.06e6), (1e6, 0.99e6), (1e6, 1.03e6)]
    (verdict,) = counting(tmp_path, {"wide": wide}).verdicts()
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "the launches spread too far to rule out 2.0 %" in verdict.reason


def test_launches_that_agree_to_the_last_digit_have_an_interval(tmp_path):
    (verdict,) = counting(tmp_path, {"equal": [(1e6, 1e6)] * 3}).verdicts()
    assert verdict.low < 1 < verdict.high


def test_what_breaks_once_is_broken_and_the_rest_goes_on(tmp_path, monkeypatch):
    def count(self, workers, case):
        if case == "bad":
            raise FailedError("the test fails: no")
        return 1e6, 1e6

    starts = []
    monkeypatch.setattr(CountedRevisions, "launched", lambda self: starts.append(1) or nullcontext([]))
    monkeypatch.setattr(InstructionCounting, "_count", count)
    made, told = counting(tmp_path, cases=["bad", "good"]), []
    made.run(told.append)
    assert {verdict.case: verdict.outcome for verdict in made.verdicts()} == {
        "bad": Outcome.BROKEN,
        "good": Outcome.SAME,
    }
    assert len(starts) == 4  # one more in the first launch, where a side may be within the call
    assert made.rounds.launches == len(made.counts["good"]) == 3
    assert list(json.loads(made.tables()["counts.json"])) == ["good"]


def test_a_count_is_the_difference_of_two_files_of_callgrind(tmp_path):
    made = counting(tmp_path)
    for number, total in ((9, 1_000), (10, 9_000)):
        (tmp_path / f"counts-before.{number}").write_text(f"# callgrind format\nevents: Ir\ntotals: {total}\n")
    assert made._difference(0) == 8_000
    assert not list(tmp_path.glob("counts-*"))
    with pytest.raises(BadAnswerError, match="callgrind counted 0 instructions in one call, and 0 in several"):
        made._difference(0)


@pytest.mark.parametrize("more", [None, 0, 257, "4", True])
def test_a_number_of_calls_that_cannot_be_is_refused(more):
    with pytest.raises(BadAnswerError, match="must tell its calls"):
        callgrind._more({"more": more})


def test_without_valgrind_one_sentence_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(
        sys, "argv", ["suite", "gate", "pytest", "--against", "HEAD", "--clock", "instructions", str(tmp_path)]
    )
    assert command_line.main() == 2
    shown = capsys.readouterr().err
    assert "--clock instructions needs valgrind, which is not on PATH (apt-get install valgrind)" in shown
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ValueError, match="needs Linux"):
        check_valgrind()


def test_the_counting_worker_refuses_to_run_elsewhere():
    with pytest.raises(RuntimeError, match=r"instructions (are counted under valgrind alone|can be counted on)"):
        Valgrind()


def test_valgrind_starts_the_real_interpreter(tmp_path):
    command = counting(tmp_path).revisions.command(1, "{}")
    assert command[:2] == ["valgrind", "--tool=callgrind"]
    assert f"--callgrind-out-file={tmp_path / 'counts-after'}" in command
    assert Path(command[-3]).samefile(sys.executable)
    assert command[-2].endswith("counting_worker.py")


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
def test_callgrind_counts_what_lies_between_requests(tmp_path):
    """Ten times the work is ten times the instructions, less what surrounds it."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(counting_worker.__file__).parent)!r})\n"
        "from counting_worker import DUMP, START, STOP, ZERO, Valgrind\n"
        "valgrind = Valgrind()\n"
        "def work(times):\n"
        "    for _ in range(times): sum(range(100))\n"
        "valgrind.ask(START)\n"
        "for times in (9, 9, 109, 209):\n"
        "    valgrind.ask(ZERO)\n"
        "    work(times)\n"
        "    valgrind.ask(DUMP)\n"
        "valgrind.ask(STOP)\n"
    )
    command = [*counting(tmp_path).revisions.command(0, "{}")[:-2], "-I", "-S", "-c", code]
    subprocess.run(command, check=True, capture_output=True)
    dumps = callgrind._dumps(tmp_path / "counts-before")
    _, few, many, most = (callgrind._total(dumps[number]) for number in sorted(dumps))
    assert few > 0
    assert (most - many) / (many - few) == pytest.approx(1, abs=0.01)
