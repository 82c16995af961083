"""A stage of a recipe: how a policy is trained for some of a run's steps. Its kinds lie in suite/rl/stages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from suite.lm.decoder import Decoder
from suite.measure.memory_tracker import OwnedTensors
from suite.measure.meter import Meter
from suite.rl.plan import RlPlan
from suite.rl.recipe import PlannedStage


@dataclass(frozen=True, kw_only=True)
class StageBegin:
    """The plan and the models that a stage begins with."""

    plan: RlPlan
    planned: PlannedStage
    attention: Mapping[str, Any]
    """Settings, for decoders beside the policy."""
    policy: Decoder
    """The policy as the stage before left it, or the base model. It is trained in place."""
    teacher: Decoder | None
    """None where the recipe has none."""
    critic_base: Mapping[str, Tensor] | None = None
    """The weights that a critic of other sizes than the policy's begins with; None where there is none."""


class Stage(Protocol):
    """Some steps of training, with fresh optimisers: nothing but the policy comes from the stage before."""

    def step(self, meter: Meter, *, looks: bool) -> None:
        """Take the step of the meter's index. `looks`: an evaluation came before it, so that dear checks are due.

        Raises NotFiniteError.
        """
        ...

    def owned_tensors(self) -> Iterable[OwnedTensors]:
        """Name the tensors that it keeps from step to step."""
        ...

    def state(self) -> dict[str, Any]:
        """Return all that its next step depends on, the policy included, as tensors and plain data."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of a stage that began with the same policy."""
        ...


class BeginStage(Protocol):
    """The function `begin` of a file in suite/rl/stages."""

    def __call__(self, at: StageBegin) -> Stage: ...
