"""A stage of a recipe: how a policy is trained for some of a run's steps. Its kinds lie in suite/rl/stages."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from suite.lm.decoder import Decoder
from suite.lm.training import Limits, Optimiser
from suite.measure.memory_tracker import OwnedTensors
from suite.measure.meter import Meter
from suite.records.holdings import OPTIMISER, OTHER, PARAMETERS, POLICY
from suite.rl.plan import RlPlan
from suite.rl.recipe import PlannedStage


@dataclass(frozen=True, kw_only=True)
class StageBegin:
    plan: RlPlan
    planned: PlannedStage
    attention: Mapping[str, Any]  # settings, for decoders beside the policy
    policy: Decoder  # the policy as the stage before left it, or the base model. It is trained in place.
    teacher: Decoder | None  # None where the recipe has none
    critic_base: Mapping[str, Tensor] | None = None
    """The weights that a critic of other sizes than the policy's begins with; None where there is none."""

    def new_optimiser(self, lr: float | None = None) -> Optimiser:
        """A fresh optimiser for the policy, at the plan's learning rate unless another is given."""
        limits = Limits(warmup_updates=self.plan.warmup_updates, max_grad_norm=self.plan.max_grad_norm)
        return Optimiser(self.policy, lr=self.plan.lr if lr is None else lr, limits=limits)


def policy_tensors(policy: Decoder, optimiser: Optimiser) -> Iterator[OwnedTensors]:
    """Yield the tensors that a policy and its optimiser keep from step to step, with owner and kind."""
    yield list(policy.parameters()), POLICY, PARAMETERS
    yield policy.rotary_tables(), POLICY, OTHER
    yield optimiser.state_tensors(), POLICY, OPTIMISER


class Stage(Protocol):
    """Some steps of training, with fresh optimisers: nothing but the policy comes from the stage before."""

    def step(self, meter: Meter, *, looks: bool) -> None:
        """Take the step of the meter's index and note its readings. Raises NotFiniteError. `looks`: an evaluation came
        before this step, so that costly checks are due."""

    def owned_tensors(self) -> Iterable[OwnedTensors]:
        """The tensors that the stage keeps from step to step, with owner and kind."""

    def state(self) -> dict[str, Any]:
        """All that the stage's next step depends on, the policy included, as tensors and plain data."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state; this stage must have begun with the same policy as the saved one."""


BeginStage = Callable[[StageBegin], Stage]  # the function `begin` of a file in suite/rl/stages
