"""Reinforcement learning: each step is a rollout, its scores and the updates that they give."""

from collections.abc import Iterable, Mapping
from typing import Any

from suite.lm.decoder import Decoder
from suite.measure.holdings import Held
from suite.measure.meter import Meter
from suite.measure.workload import IncorrectError
from suite.records.metrics import EVALUATE
from suite.records.record import STEP
from suite.rl.base import new_decoder
from suite.rl.critic import Critic
from suite.rl.experience import Experience, gather
from suite.rl.learner import Learner, mean_kl
from suite.rl.rollout_readings import of_rollouts
from suite.rl.stage import StageBegin

LARGEST_SAMPLING_ERROR = {"float32": 1e-4, "float64": 1e-9}
"""In nats. Seen: 2e-6 in float32, where a cache and a whole pass add up in other orders."""
LARGER_FOR_CHECKPOINTS = 10
"""Times as much: a published model's logits are tens, after 30 layers in float32. Seen: 6e-5 with SmolLM2."""


def begin(at: StageBegin) -> "RlStage":
    return RlStage(at)


class RlStage:
    """The reference is the policy as the stage began, and the critic begins as it."""

    def __init__(self, at: StageBegin) -> None:
        self._plan = plan = at.plan
        reference = _copy(at).requires_grad_(False)
        critic = None
        if plan.objective.has_critic:
            critic = Critic(at.policy, shares_trunk=True) if plan.shares_trunk else Critic(_copy(at))
        self._learner = Learner(plan, at.policy, reference, critic)

    def step(self, meter: Meter, *, looks: bool) -> None:
        plan, learner = self._plan, self._learner
        gathered = gather(plan, learner.policy, meter)
        meter.note(STEP, **of_rollouts(plan, gathered.sampled))
        if looks:
            self._check(meter, gathered.sampled[0])
        seen = {"updates": 0.0}
        if gathered.kept is not None:
            with meter.span("score"):
                learnable, of_scores = learner.scored(gathered.kept)
            with meter.span("update"):
                seen = learner.update(learnable, plan.seed, meter.step)
            seen |= of_scores
        if looks and "kl_reference" not in seen:
            with meter.span(EVALUATE):
                one = gathered.sampled[0]
                seen["kl_reference"] = mean_kl(one, learner.reference_log_probs(one))
        meter.note(STEP, **seen)

    def holds(self) -> Iterable[Held]:
        return self._learner.holds()

    def state(self) -> dict[str, Any]:
        return self._learner.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._learner.restore(state)

    def _check(self, meter: Meter, experience: Experience) -> None:
        """Sampling and scoring must agree on what a token's probability is, or every ratio is wrong."""
        with meter.span(EVALUATE):
            scored_NT = self._learner.policy_log_probs(experience)
            error = float(((scored_NT - experience.log_probs_NT) * experience.mask_NT).abs().max())
        meter.note(STEP, sampling_error=error)
        allowed = LARGEST_SAMPLING_ERROR[self._plan.dtype]
        allowed *= 1 if self._plan.policy.checkpoint is None else LARGER_FOR_CHECKPOINTS
        if not error <= allowed:
            raise IncorrectError(
                f"step {meter.step}: log-probabilities at sampling and at scoring differ by up to {error:.2g}, "
                f"more than the {allowed:g} of {self._plan.dtype}'s rounding"
            )


def _copy(at: StageBegin) -> Decoder:
    decoder = new_decoder(at.plan, at.attention)
    decoder.load_state_dict(at.policy.state_dict())
    return decoder
