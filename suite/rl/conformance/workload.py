"""Are the estimators what they say? Exact expectations in place of a training run, in a second or two.

Everything is computed by the very functions that training calls, and compared with the true gradient in closed form.
Known biases are results to read, such as k3's in the loss; an unbiased estimator that has one makes the case incorrect.
tests/rl/conformance/ holds each formula, token by token, to plain Python, and tests that padding, micro-batches and
order do not matter.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from suite.measure.meter import Meter
from suite.records.record import Reading
from suite.rl.conformance.cases import Ledger
from suite.rl.conformance.gradients import check_divergences, check_gradients
from suite.rl.conformance.plan import ConformancePlan


class ConformanceWorkload:
    """A suite.measure.stateful.StatefulWorkload. Its one step is too short for a checkpoint."""

    steps = 1
    checkpoint_seconds = math.inf

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = ConformancePlan(settings)

    def prepare(self, shared: Path) -> None:
        """Allocate and share nothing."""

    def constants(self) -> Iterable[Reading]:
        return ()

    def facts(self) -> Mapping[str, Any]:
        return {}

    def step(self, meter: Meter) -> None:
        """Check everything. Raise IncorrectError where an expectation is broken, once all of the same objective or part
        were looked at: of formulas that are wrong token by token no expectation is worth its time."""
        device, ledger = torch.device(self.plan.device), Ledger(meter)
        for check in (check_divergences, check_gradients):
            check(ledger, self.plan.seed, device)
            ledger.settle()

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore nothing: there is no state."""
