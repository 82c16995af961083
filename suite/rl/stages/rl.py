"""Reinforcement learning: each step is a rollout, its scores and the updates that they give."""

from collections.abc import Iterable, Mapping
from typing import Any

from suite.lm.decoder import Decoder
from suite.measure.memory_tracker import OwnedTensors
from suite.measure.meter import Meter
from suite.measure.workload import IncorrectError
from suite.records.metrics import EVALUATE
from suite.records.record import STEP
from suite.rl.base import decoder_with_weights
from suite.rl.critic import Critic
from suite.rl.learner import Learner, mean_kl
from suite.rl.rollout import Experience, collect_rollouts, rollout_readings
from suite.rl.rollout_correction import mismatch_readings
from suite.rl.sampler import Sampler
from suite.rl.stage import StageBegin

LARGEST_SAMPLING_ERROR = {"float32": 1e-4, "float64": 1e-9, "bfloat16": 0.5}
"""Nats by what is computed in. Seen: 2e-6 in float32, where a cache and a whole pass add up in other orders;
0.09 where products are made in bfloat16, whose eight bits round a logit of 8 to a 32nd."""
LARGER_FOR_CHECKPOINTS = 10
"""Factor: a published model's logits are tens, after 30 layers in float32. Seen: 6e-5 with SmolLM2."""


class RlStage:
    """A stage of reinforcement learning. The reference is the policy as the stage began. The critic begins as the same
    policy or, if it has other sizes, as a base model of these sizes.

    For the first `critic_warmup_steps` the policy samples and stays as it is, while the critic learns its values.
    """

    def __init__(self, at: StageBegin) -> None:
        self._plan = plan = at.plan
        self._policy_begins = at.planned.first + plan.critic_warmup_steps
        reference = _copy_policy(at, frozen=True).requires_grad_(False)
        critic = None
        if plan.shares_trunk:
            critic = Critic(at.policy, shares_trunk=True)
        elif plan.critic_base is not None:
            assert at.critic_base is not None
            critic = Critic(decoder_with_weights(plan.critic_base, at.attention, at.critic_base))
        elif plan.objective.has_critic:
            critic = Critic(_copy_policy(at))
        self._learner = Learner(plan, at.policy, reference, critic)
        self._sampler = Sampler(plan, at.attention, at.policy)

    def step(self, meter: Meter, *, looks: bool) -> None:
        """Sample completions, estimate their advantages, and update policy and critic; readings go to the meter. With
        `looks` it checks sampling against scoring and measures the distances from the reference and from the policy
        that sampled. Raises IncorrectError."""
        plan, learner = self._plan, self._learner
        if plan.rollouts.differ:
            with meter.span("rollout"):
                self._sampler.begin_step()
        rollouts = collect_rollouts(plan, self._sampler.decoder, meter)
        first = rollouts.sampled[0]
        meter.note(STEP, **rollout_readings(plan, rollouts.sampled))
        if looks:
            self._check_sampling(meter, first)
        readings = {"updates": 0.0}
        if rollouts.trainable is not None:
            with meter.span("score"):
                batch, score_readings = learner.compute_advantages(rollouts.trainable)
            with meter.span("update"):
                is_warmup = meter.step < self._policy_begins
                readings = learner.update(batch, plan.seed, meter.step, critic_alone=is_warmup)
            readings |= score_readings
        if looks and "kl_reference" not in readings:
            with meter.span(EVALUATE):
                readings["kl_reference"] = mean_kl(first, learner.reference_log_probs(first))
        meter.note(STEP, **readings)

    def owned_tensors(self) -> Iterable[OwnedTensors]:
        yield from self._learner.owned_tensors()
        yield from self._sampler.owned_tensors()

    def state(self) -> dict[str, Any]:
        return {**self._learner.state(), "sampler": self._sampler.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._learner.restore(state)
        self._sampler.restore(state["sampler"])

    def _check_sampling(self, meter: Meter, experience: Experience) -> None:
        """Note the largest gap between a token's log-probability at sampling and at scoring by the policy that sampled,
        and how far that policy is from the one that learns. Raises IncorrectError where the gap is more than rounding:
        every ratio would be wrong."""
        plan, rollouts, sampler = self._plan, self._plan.rollouts, self._sampler.decoder
        with meter.span(EVALUATE):
            scored_NT = self._learner.policy_log_probs(experience)
            sampled_NT = self._learner.policy_log_probs(experience, by=sampler) if rollouts.differ else scored_NT
            error = float(((sampled_NT - experience.log_probs_NT) * experience.mask_NT).abs().max())
        meter.note(STEP, sampling_error=error)
        if rollouts.differ and plan.correction is None:
            meter.note(STEP, **mismatch_readings(scored_NT - experience.log_probs_NT, experience.mask_NT))
        if rollouts.cache_dtype is not None:
            return  # whose rounding the score does not have: the gap is the very thing that is asked about
        computed_in = rollouts.dtype or ("bfloat16" if plan.autocasts else plan.dtype)
        allowed = LARGEST_SAMPLING_ERROR[computed_in]
        allowed *= 1 if plan.policy.checkpoint is None else LARGER_FOR_CHECKPOINTS
        if not error <= allowed:
            raise IncorrectError(
                f"step {meter.step}: log-probabilities at sampling and at scoring differ by up to {error:.2g}, "
                f"more than the {allowed:g} of {computed_in}'s rounding"
            )


begin = RlStage


def _copy_policy(at: StageBegin, *, frozen: bool = False) -> Decoder:
    return decoder_with_weights(at.plan, at.attention, at.policy.state_dict(), frozen=frozen)
