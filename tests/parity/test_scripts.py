"""The scripts that set our RL and sampling beside transformers and TRL, in their short forms."""

import json

import pytest

from tests.benchmarks.scripts import PARITY, run


@pytest.mark.parametrize("name", PARITY)
def test_a_script_beside_another_package_runs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("RIVALS_COMPLETIONS", "64")
    assert "theirs / ours" in run(name, PARITY[name], tmp_path)


def test_learning_curves_that_were_kept_are_compared(tmp_path):
    """Training both ways takes an hour; test_trl_training.py tries its parts."""
    runs = ("ours", "theirs, our noise", "theirs", "ours again")
    for seed in range(5):
        kept = {
            name: {"accuracies": [0.1, 0.4 + seed / 100, 0.7 + place / 100], "process_cpu_s": 1.0 + place}
            for place, name in enumerate(runs)
        }
        (tmp_path / f"{seed}.json").write_text(json.dumps(kept))
    printed = run("trl_curves", "--seeds 0 1 2 3 4 --keep {folder}", tmp_path)
    assert all(name in printed for name in runs)
