"""The settings of a conformance case: next to nothing, since the problems are tiny and fixed.

No torch here.
"""

from collections.abc import Mapping
from typing import Any

from suite.configuration.devices import device_kind
from suite.configuration.values import one_of, whole_number


class ConformancePlan:
    """A suite.measure.stateful.StatefulPlan. Raises ValueError for settings that are wrong in themselves."""

    refusal: str | None = None

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.device: str = device_kind(settings)
        # In float32 a bias of 1e-7 and none at all look alike.
        self.dtype: str = one_of(settings, "dtype", ("float64",), where="workload=rl_conformance: ")
        self.threads = whole_number(settings, "threads", at_least=1)
        self.seed = whole_number(settings, "seed", at_least=0)

    def facts(self) -> dict[str, Any]:
        """What results are compared with, and which problems are enumerated."""
        return {
            "compared_with": "expectations enumerated in plain Python, with nothing of the code under test",
            "problems": "one choice of seven; and sequences of at most three tokens in groups of four completions",
        }

    def constants(self) -> dict[str, dict[str, float]]:
        """Empty: no quantity is known before the run."""
        return {}

    def least_bytes(self) -> float:
        """0: a case takes a few kilobytes, of which no closed form speaks."""
        return 0.0
