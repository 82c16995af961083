import re

import pytest

from suite.configuration.files import choices, read_choice
from tests.rl.cases import plan

PRICED = {"kl_coef": 0.1, "kl_type": "k1", "use_kl_in_reward": True}
SHARED = {"critic": "shared_trunk"}
COUNTDOWN = {"_target_": "suite.rl.tasks.countdown.Countdown", "numbers": 3}


@pytest.mark.parametrize("algorithm", choices("algorithm"))
def test_every_named_algorithm_can_be_planned(algorithm):
    assert plan(algorithm, steps=80).completions == 16


@pytest.mark.parametrize(
    ("algorithm", "changes", "sentence"),
    [
        ("grpo", {"num_generations": 1}, "num_generations must be at least 2 for adv_estimator=grpo"),
        ("grpo", {"micro_batch": 9}, "micro_batch must be at most minibatch, which is 8; got 9"),
        ("grpo", {"minibatch": 17}, "minibatch must be at most prompts_per_step x num_generations, which is 16; got"),
        ("grpo", {"task": COUNTDOWN, "supervision": "process"}, "supervision=process needs a task whose steps are"),
        ("ppo", {"supervision": "process"}, "supervision=process is that of adv_estimator=grpo"),
        ("ppo", {"filter_groups": True}, "filter_groups=true drops groups of equal rewards and needs"),
        ("grpo", {"adv_estimator": "grbo"}, "adv_estimator must be one of gae, gdpo, grpo"),
        ("grpo", {"policy_loss": "x"}, "policy_loss must be one of cispo, gspo, sapo, vanilla"),
        ("gdpo", PRICED, "adv_estimator=gdpo normalises each part of the reward by itself and needs use_kl_in_reward="),
        ("maxrl", PRICED, "adv_estimator=maxrl divides by rewards of at least 0 and needs use_kl_in_reward=false"),
        ("maxrl", {"overlong_buffer": 2}, "divides by rewards of at least 0 and needs overlong_buffer=0; got 2"),
        ("maxrl", {"num_generations": 1}, "num_generations must be at least 2 for adv_estimator=maxrl"),
        ("sapo", {"sapo_tau_neg": 0}, "sapo_tau_neg must be null or a number above 0; got 0"),
        ("sapo", {"sapo_tau_pos": None}, "sapo_tau_pos and sapo_tau_neg must be numbers above 0 for policy_loss=sapo"),
        ("grpo", {"format_reward": "half"}, "format_reward must be one of added, gate; got 'half'"),
        ("grpo", {"loss_agg_mode": "mean"}, "loss_agg_mode must be one of token-mean"),
        ("grpo", {"kl_type": "k4"}, "kl_type must be one of k1, k2, k3, k3_unbiased; got 'k4'"),
        ("grpo", {**PRICED, "supervision": "process"}, "rewards steps only and needs use_kl_in_reward=false"),
        ("grpo", {"kl_coef": -1}, "kl_coef must be a number of at least 0; got -1"),
        ("grpo", {"clip_ratio_c": 0.5}, "clip_ratio_c must be null or a number above 1; got 0.5"),
        ("grpo", {"temperature": 0}, "temperature must be a number above 0; got 0"),
        ("grpo", {"format_weight": "high"}, "format_weight must be a number of at least 0; got 'high'"),
        ("grpo", {"overlong_buffer": 11}, "overlong_buffer must be at most the longest completion but one"),
        *(
            (
                "grpo",
                {"pass_at_k": wrong},
                f"pass_at_k must be null or a power of two of at least 2, such as 256; got {wrong!r}",
            )
            for wrong in (1, 3, 4.0)
        ),
        ("grpo", {"rollout_lag": -1}, "rollout_lag must be a whole number of at least 0; got -1"),
        ("grpo", {"rollout_dtype": "float16"}, "rollout_dtype must be one of null, bfloat16; got 'float16'"),
        ("grpo", {"rollout_correction": "tis"}, "rollout_correction must be one of none, recomputed, token_tis"),
        ("grpo", {"dtype": "float16"}, "dtype must be one of float64, float32, bfloat16; got 'float16'"),
        ("grpo", {"dtype": "bfloat16", "autocast": True}, "autocast=true keeps weights in float32 and needs"),
        ("ppo", {"lam": 1.5}, "lam must be a number from 0 to 1; got 1.5"),
        ("ppo", {"lam": None}, "lam must be a number from 0 to 1 for adv_estimator=gae without lam_alpha; got null"),
        ("ppo", {"critic_lam": -0.1}, "critic_lam must be a number from 0 to 1; got -0.1"),
        ("ppo", {"lam_alpha": 0}, "lam_alpha must be null or a number above 0; got 0"),
        (
            "ppo",
            {"critic_warmup_steps": 3},
            "critic_warmup_steps must be less than the 3 steps of the stage of kind rl",
        ),
        ("ppo", {"critic_warmup_steps": 1, **SHARED}, "critic_warmup_steps must be 0 for critic=shared_trunk"),
        ("ppo", {"critic_model": "tiny", **SHARED}, "critic_model needs critic=own"),
        ("ppo", {"critic_model": "tiny", "critic_sizes": None}, "critic_sizes follow from critic_model=tiny"),
        ("ppo", {"critic_sizes": {"name": "tiny"}}, "critic_sizes follow from critic_model=None"),
        ("ppo", {"critic_model": "smollm2"}, "and write the tasks' own tokens; smollm2 is a checkpoint"),
        ("grpo", {"task": {"_target_": "suite.rl.tasks.sorting.Sorting", "digits": 1}}, "task.digits must be"),
        ("grpo", {"base": {"updates": 0, "batch": 8, "lr": 1e-3}}, "base.updates must be a whole number"),
    ],
)
def test_what_is_wrong_in_itself_is_refused_in_a_sentence(algorithm, changes, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        plan(algorithm, **changes)


@pytest.mark.parametrize(
    ("every", "steps"), [(4, [0, 4, 8, 12, 16, 20, 24]), ("log", [0, 1, 2, 3, 4, 6, 8, 11, 16, 23])]
)
def test_evaluations_are_evenly_spaced_or_in_the_logarithm(every, steps):
    spaced = plan("grpo", eval_every=every)
    assert [step for step in range(25) if spaced.evaluates_before(step)] == steps


def test_ppo_needs_no_group():
    assert plan("ppo", prompts_per_step=16, num_generations=1).completions == 16


def test_a_critic_is_counted_where_there_is_one():
    assert plan("grpo").constants()["case"]["critic_parameter_count"] == 0
    counts = plan("ppo").constants()["case"]
    assert counts["critic_parameter_count"] == counts["policy_parameter_count"] + 16
    assert plan("ppo").least_bytes() > plan("grpo").least_bytes()
    smaller = plan("ppo", critic_model="tiny", policy=read_choice("policy", "small"))
    assert smaller.constants()["case"] == {"policy_parameter_count": 98624, "critic_parameter_count": 25760 + 32}
    assert smaller.least_bytes() == 4 * (4 * (98624 + 25792) + 98624)
