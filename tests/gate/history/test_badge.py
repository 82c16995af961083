"""The badge: its numbers are those of a self-test's runs, and its colour needs evidence."""

import json
import sys
from pathlib import Path

import pytest

from suite import __main__ as command_line
from suite.gate.selftest import RUNS, badge

REFERENCE = Path(__file__).parents[3] / "results" / "reference" / "cpu" / "gate" / "selftest"


def runs(folder, count, alarms=0, **said):
    folder.mkdir(exist_ok=True)
    lines = [
        {
            "form": "two_workers",
            "slowed": 0.0,
            "benchmarks": [{"outcome": "slower" if number < alarms else "same"}, {"outcome": "same"}],
        }
        | said
        for number in range(count)
    ]
    with (folder / RUNS).open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return folder


def test_the_reference_runs_make_a_green_badge(tmp_path, monkeypatch, capsys):
    path = tmp_path / "sub" / "badge.json"
    monkeypatch.setattr(sys, "argv", ["suite", "gate", "selftest", "--out", str(REFERENCE), "--badge", str(path)])
    assert command_line.main() == 0
    assert json.loads(path.read_text()) == {
        "schemaVersion": 1,
        "label": "false alarms",
        "message": "0 of 150 (≤ 2.5 %)",
        "color": "brightgreen",
    }
    assert "false alarms: 0 of 150 (≤ 2.5 %)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("count", "alarms", "message", "colour"),
    [
        (20, 0, "0 of 20 (≤ 16.1 %)", "yellow"),
        (150, 4, "4 of 150 (≤ 6.7 %)", "yellow"),
        (20, 8, "8 of 20 (≤ 61.3 %)", "red"),
    ],
)
def test_few_runs_or_false_alarms_are_not_green(tmp_path, count, alarms, message, colour):
    made = badge(runs(tmp_path, count, alarms))
    assert (made["message"], made["color"]) == (message, colour)


def test_slowed_runs_are_no_false_alarms(tmp_path):
    runs(tmp_path, 5, alarms=5, slowed=0.1)
    runs(tmp_path, 5, alarms=5, form="one_process")
    with pytest.raises(ValueError, match="has no run of identical code"):
        badge(tmp_path)


def test_what_is_no_self_test_makes_no_badge(tmp_path):
    with pytest.raises(ValueError, match="has no run of identical code"):
        badge(tmp_path)
    (tmp_path / RUNS).write_text("{}\n")
    with pytest.raises(ValueError, match=r"its runs.jsonl cannot be read"):
        badge(tmp_path)
