"""The simulated step against itself with real tensors, and against what must be held."""

import json
from contextlib import nullcontext

import pytest
from torch._subclasses.fake_tensor import FakeTensorMode

from suite.rl.memory.step import SCORE, SimulatedStep, rollout_phase, update_phase
from tests.rl.memory.cases import SMALLER, TINY, plan, settings

_FOUND = {}


def peaks(*arguments, **changes):
    """With real tensors: at this size they are the faster ones. What several tests ask for is computed once."""
    asked = json.dumps([arguments, changes], sort_keys=True)
    if asked not in _FOUND:
        _FOUND[asked] = simulated(nullcontext, *arguments, **changes)
    return _FOUND[asked]


def simulated(tensors, *arguments, **changes):
    changes = {"micro_batch": 8} | changes  # half of the completions: an update has one pass or two
    attention = settings(*arguments, **changes)["attention"]
    wanted = plan(*arguments, **{"rollout_batch": "all", **changes})
    step = SimulatedStep(wanted, attention, tensors)
    step.roll_out(wanted.rollout_rows(1))
    return {name: dict(peak.held) for name, peak in step.peaks().items()}


@pytest.mark.parametrize(
    "case",
    [
        {"algorithm": "ppo", "checkpointing": False, "precision": "float32"},
        {"algorithm": "ppo", "lora_rank": 2, "precision": "mixed", "logits_chunk": 3, **SMALLER},
        {"algorithm": "grpo", "checkpointing": False, "lora_rank": 2, "precision": "bf16", "engine": "none"},
        {"algorithm": "ppo", "lora_rank": 2, "precision": "bf16", "frozen_base": "float32", "rollout_batch": 3},
        {"algorithm": "grpo", "precision": "mixed", "reference": "offloaded", "reward_model": "own"},
        {"attention": "mla", "optimiser": "foreach", "critic": "shared_trunk", "engine": "copy", "engine_sleeps": True},
    ],
    ids=lambda case: " ".join(f"{name}={value}" for name, value in case.items()),
)
def test_real_and_fake_tensors_hold_the_same_bytes(case):
    case |= {"geometry": TINY | {"num_layers": 1}, "prompts_per_step": 2, "micro_batch": 4}
    assert simulated(nullcontext, **case) == simulated(FakeTensorMode, **case)


ALL = (rollout_phase(16), SCORE, update_phase(2))
TOGETHER = {"update_order": "together", "micro_batch": 1, "prompts_per_step": 1, "num_generations": 2}
"""Of so few completions that an update holds most where it moves all parameters."""


def test_held_parameters_and_moments_follow_the_shapes():
    counts, found = plan(**TOGETHER).parameter_counts(), peaks(**TOGETHER)
    for phase in (rollout_phase(2), *ALL[1:]):
        for owner in ("policy", "critic", "reference"):
            assert found[phase][owner, "parameters"] == 2 * counts[owner]
    for owner in ("policy", "critic"):
        assert found[ALL[-1]][owner, "gradients"] == 2 * counts[owner]
        moments = found[ALL[-1]][owner, "optimiser"]
        assert 4 * counts[owner] < moments < 4 * counts[owner] + 300  # and a count of updates a parameter


def test_a_critic_of_other_sizes_holds_those():
    found, whole = peaks(**TOGETHER, **SMALLER)[ALL[-1]], peaks(**TOGETHER)[ALL[-1]]
    count, of_policys_sizes = (plan(**changes).parameter_counts()["critic"] for changes in (SMALLER, {}))
    assert count == 50 * 8 + plan(**SMALLER).critic_shape.block_parameter_count + 2 * 8
    assert found["critic", "parameters"] == 2 * count
    assert 4 * count < found["critic", "optimiser"] < 4 * count + 300
    assert found["policy", "optimiser"] == whole["policy", "optimiser"]
    assert sum(whole.values()) - sum(found.values()) > (2 + 4) * (of_policys_sizes - count)


def test_caches_have_room_for_every_full_completion():
    held = peaks("grpo")[ALL[0]]
    a_token = 2 * 2 * 8 * 2  # two layers' keys and values, of two bytes each
    assert held["policy", "kv_cache"] >= 16 * 12 * a_token
    bounded = peaks("grpo", rollout_batch=4)[rollout_phase(4)]
    assert 4 * bounded["policy", "kv_cache"] == held["policy", "kv_cache"]


@pytest.mark.parametrize("phase", ALL)
def test_what_is_offloaded_is_held_for_the_scores_alone(phase):
    held = peaks("grpo", reference="offloaded", reward_model="own")[phase]
    assert (("reference", "parameters") in held) == (("reward_model", "parameters") in held) == (phase == SCORE)


def test_a_scorer_comes_to_the_device_without_the_rest():
    on_device, offloaded = (
        sum(peaks("grpo", lora_rank=2, reward_model="own", reference=where)[SCORE].values())
        for where in ("device", "offloaded")
    )
    assert on_device == offloaded


def test_the_reference_scores_by_itself_where_nothing_else_does():
    """The engine's log-probabilities are the policy's, there is no critic: what scores is the reference alone."""
    held = peaks("grpo", engine="shared", kl_coef=0.1)[SCORE]
    assert held["reference", "activations"] > 0
    assert ("policy", "activations") not in held


def test_an_engine_that_sleeps_is_held_for_the_rollout_alone():
    awake, asleep = (peaks("grpo", engine="copy", engine_sleeps=sleeps) for sleeps in (False, True))
    assert [("engine", "parameters") in awake[phase] for phase in ALL] == [True, True, True]
    assert [("engine", "parameters") in asleep[phase] for phase in ALL] == [True, False, False]
    assert ("engine", "kv_cache") in asleep[ALL[0]]


def test_under_lora_the_reference_costs_nothing():
    held = peaks("grpo", lora_rank=2)[ALL[-1]]
    assert ("reference", "parameters") not in held
    assert 0 < held["policy", "optimiser"] < held["policy", "parameters"]


def test_a_frozen_base_in_float32_is_cast_pass_by_pass():
    computed, wide = (
        peaks("grpo", lora_rank=2, precision="mixed", frozen_base=dtype)[ALL[-1]] for dtype in ("computed", "float32")
    )
    frozen = plan().parameter_counts()["policy"]
    assert wide["policy", "parameters"] - computed["policy", "parameters"] == 2 * frozen
    assert wide["policy", "optimiser"] == computed["policy", "optimiser"]
    assert wide["policy", "gathered"] > computed["policy", "gathered"]


def total(phase, *arguments, **changes):
    return sum(peaks(*arguments, **changes)[phase].values())


def test_what_saves_memory_saves_it():
    update, plain = ALL[-1], {"checkpointing": False}
    assert total(update, "grpo") < total(update, "grpo", **plain)
    assert total(update, "ppo") < total(update, "ppo", update_order="together")
    wide = {"geometry": TINY | {"vocab_size": 3000}}
    assert total(update, "grpo", logits_chunk=2, **wide) < total(update, "grpo", **wide)
    assert total(update, "ppo", critic="shared_trunk", **plain) < total(update, "ppo", **plain)
