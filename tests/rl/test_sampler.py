"""The policy that samples: how old it is, what it rounds, and that a run with it goes on as it was."""

import pytest
import torch

from suite.attention.cache import DTYPES, quantised, restored
from suite.configuration.files import read_choice
from suite.measure.workload import UnsupportedError
from suite.records.record import Status
from suite.rl.base import new_decoder
from suite.rl.plan import RlPlan
from suite.rl.sampler import Sampler
from tests.rl.cases import settings
from tests.rl.test_workload import in_process


def sampler(**changes):
    chosen = settings("grpo", **changes)
    plan = RlPlan(chosen)
    policy = new_decoder(plan, chosen["attention"])
    return Sampler(plan, chosen["attention"], policy), policy


def move(policy, step):
    """As an update would: every weight becomes the step's number."""
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.fill_(float(step))


@pytest.mark.parametrize("lag", [1, 3])
def test_the_sampling_policy_is_so_many_steps_old(lag):
    one, policy = sampler(rollout_lag=lag)
    ages = []
    for step in range(6):
        move(policy, step)
        one.begin_step()
        ages.append(step - int(one.decoder.norm[0]))
        assert one.decoder is not policy
    assert ages == [min(step, lag) for step in range(6)]
    held = [
        x for tensors, owner, kind in one.owned_tensors() if (owner, kind) == ("engine", "parameters") for x in tensors
    ]
    assert sum(x.numel() for x in held) == (lag + 1) * sum(x.numel() for x in policy.parameters())


def test_without_lag_and_rounding_the_policy_itself_samples():
    one, policy = sampler()
    one.begin_step()
    assert one.decoder is policy
    assert not list(one.owned_tensors())


@pytest.mark.parametrize("attention", ["mha", "mla"])
@pytest.mark.parametrize("cache_dtype", ["int8", "fp8"])
def test_cached_rows_are_what_eight_bits_hold(attention, cache_dtype):
    chosen = settings("grpo", rollout_cache_dtype=cache_dtype, attention=read_choice("attention", attention))
    plan = RlPlan(chosen)
    policy = new_decoder(plan, chosen["attention"])
    one = Sampler(plan, chosen["attention"], policy)
    one.begin_step()
    tokens = torch.arange(12).view(2, 6) % plan.shape.vocab_size
    plain, rounded = policy.new_caches(2, 6), one.decoder.new_caches(2, 6)
    with torch.no_grad():
        policy.decode(tokens, plain, 0, None)
        one.decoder.decode(tokens, rounded, 0, None)
    rotary = sum(rows.elements for rows in plan.shape.layer.cache_rows if rows.is_wide)
    for index, (before, after) in enumerate(zip(plain[0].views(), rounded[0].views(), strict=True)):
        width = before.shape[-1] - (rotary if index == 0 else 0)
        held = restored(*quantised(before[..., :width], DTYPES[cache_dtype]), before.dtype)
        assert torch.equal(after[..., :width], held)
        assert torch.equal(after[..., width:], before[..., width:])
        assert not torch.equal(held, before[..., :width])


def test_a_cache_that_is_not_read_as_it_lies_is_not_rounded():
    with pytest.raises(UnsupportedError, match="supports grouped attention and absorbed MLA; got ReexpandingLatent"):
        sampler(rollout_cache_dtype="int8", attention=read_choice("attention", "mla_latent"))


def test_a_lag_begins_as_the_run_without_it(tmp_path):
    """All policies are one in the first step; later ones are not, and the run's numbers follow from its seed."""
    _, plain, _ = in_process(tmp_path / "plain", steps=3)
    outcome, late, _ = in_process(tmp_path / "late", steps=3, rollout_lag=2)
    assert outcome == (Status.OK, None)
    known = {(r.step, r.span, r.metric): r.value for r in plain}
    late = {(r.step, r.span, r.metric): r.value for r in late}
    assert all(late[key] == value for key, value in known.items() if key[0] == 0)
    assert any(late[key] != value for key, value in known.items() if key[0] == 2)


@pytest.mark.parametrize("changes", [{}, {"rollout_correction": "sequence_mis"}, {"rollout_dtype": "bfloat16"}])
def test_what_waits_belongs_to_a_runs_state(tmp_path, changes):
    changes = {"steps": 4, "rollout_lag": 2, "checkpoint_seconds": 1e-9, **changes}
    _, unbroken, _ = in_process(tmp_path / "unbroken", **changes)
    in_process(tmp_path / "broken", until=4, **changes)
    _, resumed, facts = in_process(tmp_path / "broken", **changes)
    assert facts["resumed_at_steps"] == [2]
    assert resumed == unbroken


@pytest.mark.parametrize(
    ("changes", "differs"), [({}, False), ({"rollout_lag": 1}, True), ({"rollout_correction": "recomputed"}, True)]
)
def test_the_distance_from_the_sampling_policy_is_recorded(tmp_path, changes, differs):
    _, readings, _ = in_process(tmp_path, steps=2, **changes)
    assert any(reading.metric == "rollout_kl" for reading in readings) == differs
