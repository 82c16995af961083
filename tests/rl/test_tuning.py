from dataclasses import replace

import pytest

from suite.commands.run import main
from suite.records.case import Case
from suite.records.record import Reading, Status
from suite.rl.tuning import best_of, of_trial
from tests.records.factory import build, store
from tests.rl.cases import TINY_RL


def test_a_trials_values_depend_on_its_number_alone():
    values = [of_trial(trial, "lr", 1e-4, 1e-3) for trial in range(200)]
    assert values == [of_trial(trial, "lr", 1e-4, 1e-3) for trial in range(200)]
    assert min(values) >= 1e-4
    assert max(values) <= 1e-3
    below = sum(value < 10**-3.5 for value in values)
    assert 70 < below < 130  # log-uniform: half below the geometric middle
    assert of_trial(0, "critic_lr", 1e-4, 1e-3) != values[0]


@pytest.mark.parametrize("trial", [None, "best", -1, True])
def test_what_is_no_trial_is_refused(trial):
    with pytest.raises(ValueError, match="trial must be a whole number of at least 0"):
        of_trial(trial, "lr", 1e-4, 1e-3)


def trials(folder, scores):
    """Records of algorithm=grpo, by trial and seed."""
    for (trial, seed), accuracies in scores.items():
        of_run = build(
            status=Status.OK if accuracies else Status.FAILED,
            settings={"lr": (trial + 1) / 1000, "critic_lr": None},
            extras={"trial": trial},
        )
        case = Case(workload="rl", axes={"algorithm": "grpo", "seed": seed}, extras=of_run.case.extras)
        readings = [
            Reading(step=step, span="evaluate", metric="heldout_accuracy", value=value)
            for step, value in enumerate(accuracies)
        ]
        store(folder, replace(of_run, case=case, readings=readings))


def test_the_best_trial_has_the_highest_mean_accuracy(tmp_path):
    scores = {(0, 1): [0.1, 0.9], (0, 2): [0.1, 0.1], (1, 1): [0.5, 0.5], (1, 2): [0.3, 0.4]}
    trials(tmp_path, scores)
    assert best_of(str(tmp_path), "grpo", "lr") == 0.002
    assert best_of(str(tmp_path), "grpo", "critic_lr") is None


def test_a_trial_that_failed_on_one_seed_is_worth_nothing_there(tmp_path):
    trials(tmp_path, {(0, 1): [1.0], (0, 2): [], (1, 1): [0.6], (1, 2): [0.6]})
    assert best_of(str(tmp_path), "grpo", "lr") == 0.002


def test_a_trial_that_is_missing_for_a_seed_is_refused(tmp_path):
    trials(tmp_path, {(0, 1): [1.0], (0, 2): [1.0], (1, 1): [0.6]})
    with pytest.raises(ValueError, match="must hold every trial of algorithm=grpo on every seed"):
        best_of(str(tmp_path), "grpo", "lr")


def test_a_trial_that_is_damaged_is_named_and_not_left_out(tmp_path):
    trials(tmp_path, {(0, 0): [0.5], (1, 0): [0.6]})
    damaged = sorted(tmp_path.iterdir())[0]
    (damaged / "record.json").write_text("{")
    with pytest.raises(ValueError, match=f"{damaged.name} is damaged: record.json cannot be read"):
        best_of(str(tmp_path), "grpo", "lr")


def test_a_sweep_without_its_trials_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *TINY_RL, "lr=${best_of:results/rl_tuned,grpo,lr}"]) == 2
    said = capsys.readouterr().err.strip()
    assert "run suite run -m sweep=rl_tuned first" in said
    assert said.count("\n") == 0
