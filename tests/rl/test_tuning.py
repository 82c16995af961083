from dataclasses import replace

import pytest

from suite.commands.run import main
from suite.records.case import Case
from suite.records.record import Reading, Status
from suite.rl.tuning import STRATA, best_trial_value, trial_choice, trial_value
from tests.records.factory import build, store
from tests.rl.cases import TINY_RL


def test_a_trials_values_depend_on_its_number_alone():
    values = [trial_value(trial, "lr", 1e-4, 1e-3) for trial in range(200)]
    assert values == [trial_value(trial, "lr", 1e-4, 1e-3) for trial in range(200)]
    assert min(values) >= 1e-4
    assert max(values) <= 1e-3
    below = sum(value < 10**-3.5 for value in values)
    assert 70 < below < 130  # log-uniform: half below the geometric middle
    assert trial_value(0, "critic_lr", 1e-4, 1e-3) != values[0]


def test_few_trials_see_the_whole_of_every_range():
    rates = sorted(trial_value(trial, "lr", 1.0, 2.0**STRATA) for trial in range(STRATA))
    assert all(2**place <= rate <= 2 ** (place + 1) for place, rate in enumerate(rates))
    choices = [trial_choice(trial, "lam", [0.95, 1.0]) for trial in range(2 * STRATA)]
    assert choices[:STRATA].count(0.95) == choices[STRATA:].count(0.95) == STRATA / 2


def test_no_setting_of_a_trial_goes_with_one_of_another_alone():
    choices = {"scale_rewards": ["group", "batch", "none"], "format_weight": [0.0, 0.1, 1.0]}
    drawn = {tuple(trial_choice(trial, *choice) for choice in choices.items()) for trial in range(STRATA)}
    assert len(drawn) == STRATA


@pytest.mark.parametrize("trial", [None, "best", -1, True])
def test_what_is_no_trial_is_refused(trial):
    with pytest.raises(ValueError, match="trial must be a whole number of at least 0"):
        trial_value(trial, "lr", 1e-4, 1e-3)


GRPO = {"algorithm": "grpo"}


def trials(folder, scores):
    """Records of algorithm=grpo, by trial and seed."""
    for (trial, seed), accuracies in scores.items():
        of_run = build(
            status=Status.OK if accuracies else Status.FAILED,
            settings={"lr": (trial + 1) / 1000, "critic_lr": None},
            extras={"trial": trial},
        )
        case = Case(workload="rl", axes={**GRPO, "seed": seed}, extras=of_run.case.extras)
        readings = [
            Reading(step=step, span="evaluate", metric="heldout_accuracy", value=value)
            for step, value in enumerate(accuracies)
        ]
        store(folder, replace(of_run, case=case, readings=readings))


def test_trials_are_ranked_by_their_mean_final_accuracy(tmp_path):
    scores = {
        (0, 1): [0.1, 0.9],
        (0, 2): [0.1, 0.1],
        (1, 1): [0.9, 0.5],
        (1, 2): [0.9, 0.4],
        (2, 1): [0.6],
        (2, 2): [0.6],
    }
    trials(tmp_path, scores)
    assert [best_trial_value(str(tmp_path), GRPO, rank, "lr") for rank in (1, 2, 3)] == [0.003, 0.001, 0.002]
    assert best_trial_value(str(tmp_path), GRPO, 1, "critic_lr") is None


def test_trials_are_those_of_the_working_directory(tmp_path, monkeypatch):
    for trial, name in enumerate(("first", "second")):
        trials(tmp_path / name / "trials", {(trial, 1): [0.5]})
        monkeypatch.chdir(tmp_path / name)
        assert best_trial_value("trials", GRPO, 1, "lr") == (trial + 1) / 1000


@pytest.mark.parametrize("rank", [0, 2, None, True])
def test_a_rank_that_no_trial_has_is_refused(tmp_path, rank):
    trials(tmp_path, {(0, 1): [0.1]})
    with pytest.raises(ValueError, match="rank must be a whole number from 1 to 1"):
        best_trial_value(str(tmp_path), GRPO, rank, "lr")


def test_a_trial_that_failed_on_one_seed_is_worth_nothing_there(tmp_path):
    trials(tmp_path, {(0, 1): [1.0], (0, 2): [], (1, 1): [0.6], (1, 2): [0.6]})
    assert best_trial_value(str(tmp_path), GRPO, 1, "lr") == 0.002


def test_a_trial_that_is_missing_for_a_seed_is_refused(tmp_path):
    trials(tmp_path, {(0, 1): [1.0], (0, 2): [1.0], (1, 1): [0.6]})
    with pytest.raises(ValueError, match="must hold every trial of algorithm=grpo on every seed"):
        best_trial_value(str(tmp_path), GRPO, 1, "lr")


def test_a_trial_that_is_damaged_is_named_and_not_left_out(tmp_path):
    trials(tmp_path, {(0, 0): [0.5], (1, 0): [0.6]})
    damaged = sorted(tmp_path.iterdir())[0]
    (damaged / "record.json").write_text("{")
    with pytest.raises(ValueError, match=f"{damaged.name} is damaged: record.json cannot be read"):
        best_trial_value(str(tmp_path), GRPO, 1, "lr")


def test_a_sweep_without_its_trials_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *TINY_RL, "lr='${best_of:results/rl_tuned,{algorithm:grpo},1,lr}'"]) == 2
    said = capsys.readouterr().err.strip()
    assert "run suite run -m sweep=rl_tuned first" in said
    assert said.count("\n") == 0


def rates(folder, scores):
    """Records of workload=quality, by rank of the latent, learning rate and seed; MHA has no rank."""
    for (rank, lr, seed), accuracy in scores.items():
        case = Case(workload="quality", axes={"attention": "mla" if rank else "mha", "lr": lr, "seed": seed})
        reading = Reading(step=3, span="evaluate", metric="answer_accuracy", value=accuracy)
        attention = {"kv_lora_rank": rank} if rank else {"kv_heads": "all"}
        store(folder, replace(build(settings={"lr": lr, "attention": attention}), case=case, readings=[reading]))


def test_an_arm_of_settings_has_its_own_best_rate(tmp_path):
    every = {(16, 0.1): (0.5, 0.6), (16, 0.2): (0.4, 0.9), (8, 0.1): (0.3, 0.3), (8, 0.2): (0.1, 0.2)}
    every |= {(None, 0.1): (0.7, 0.7), (None, 0.2): (0.8, 0.9)}
    rates(tmp_path, {(*key, seed): score for key, scores in every.items() for seed, score in enumerate(scores)})
    arms = [{"attention": "mla", "attention.kv_lora_rank": rank} for rank in (16, 8)]
    arms.append({"attention": "mha", "attention.kv_lora_rank": None})
    assert [best_trial_value(str(tmp_path), arm, 1, "lr") for arm in arms] == [0.2, 0.1, 0.2]
    with pytest.raises(ValueError, match=r"every trial of attention=mla attention\.kv_lora_rank=4 on every seed"):
        best_trial_value(str(tmp_path), {**arms[0], "attention.kv_lora_rank": 4}, 1, "lr")
