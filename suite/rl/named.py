"""Advantage estimators, policy losses and stages by name: a file of this package, or a dotted name of another's.

No torch here, so that the parent can check a name before a worker starts: loading one brings torch.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from suite.configuration.files import locate

if TYPE_CHECKING:
    from torch import Tensor

    from suite.rl.objective import Objective
    from suite.rl.policy_term import PolicyTerm
    from suite.rl.rollout import Estimated, Scored
    from suite.rl.stage import Stage, StageBegin


class Estimator(Protocol):
    def __call__(self, scored: Scored, objective: Objective) -> Estimated: ...


class PolicyLoss(Protocol):
    def __call__(
        self, log_p_NT: Tensor, log_p_old_NT: Tensor, advantages_NT: Tensor, mask_NT: Tensor, objective: Objective
    ) -> PolicyTerm: ...


class BeginStage(Protocol):
    def __call__(self, at: StageBegin) -> Stage: ...


def estimator(name: str) -> Estimator:
    """`advantages` of suite/rl/estimators/<name>.py, or the function behind a dotted name. Raises ValueError, naming
    the choices, where there is none."""
    check_estimator(name)
    loaded: Estimator = locate(name if "." in name else f"suite.rl.estimators.{name}.advantages")
    return loaded


def policy_loss(name: str) -> PolicyLoss:
    """`token_losses` of suite/rl/policy_losses/<name>.py, or the function behind a dotted name. Raises ValueError,
    naming the choices, where there is none."""
    check_policy_loss(name)
    loaded: PolicyLoss = locate(name if "." in name else f"suite.rl.policy_losses.{name}.token_losses")
    return loaded


def begin_stage(kind: str) -> BeginStage:
    """`begin` of suite/rl/stages/<kind>.py, or the function behind a dotted name. Raises ValueError, naming the
    choices, where there is none."""
    check_stage(kind)
    loaded: BeginStage = locate(kind if "." in kind else f"suite.rl.stages.{kind}.begin")
    return loaded


def check_estimator(name: str) -> None:
    """Raises ValueError for a name that `estimator` would not find, without loading it. Of a dotted name only the
    package is looked for."""
    _check("adv_estimator", "estimators", name)


def check_policy_loss(name: str) -> None:
    """Raises ValueError for a name that `policy_loss` would not find, as `check_estimator` does."""
    _check("policy_loss", "policy_losses", name)


def check_stage(kind: str) -> None:
    """Raises ValueError for a kind that `begin_stage` would not find, as `check_estimator` does."""
    _check("the kind of a stage", "stages", kind)


@functools.cache
def names_in(folder: str) -> tuple[str, ...]:
    """Names of the modules in a folder of this package, sorted."""
    paths = (Path(__file__).resolve().parent / folder).glob("*.py")
    return tuple(sorted(path.stem for path in paths if path.stem != "__init__"))


def _check(setting: str, folder: str, name: Any) -> None:
    package, dot, _ = name.partition(".") if isinstance(name, str) else ("", "", "")
    found = bool(package) and importlib.util.find_spec(package) is not None if dot else name in names_in(folder)
    if not found:
        raise ValueError(
            f"{setting} must be one of {', '.join(names_in(folder))}, or the dotted name of a function in an installed "
            f"package; got {name!r}"
        )
