"""The objectives that are looked at, and the ledger of what was found and expected of them."""

import functools
from collections.abc import Mapping
from typing import Any

from suite.configuration.files import read_settings
from suite.measure.meter import Meter
from suite.measure.workload import IncorrectError
from suite.rl.objective import Objective, objective_from
from suite.rl.reward import reward_from

ALLOWED = 1e-12
"""Float64 sums of some hundred terms differ by 1e-15; a wrong formula differs by 1e-8 at the least."""


def objective(longest: int, **changes: Any) -> Objective:
    """Read the settings of workload=rl with these changes."""
    settings = {**_settings(), **changes}
    weights = reward_from(settings, longest_completion=longest).weights
    return objective_from(settings, longest_completion=longest, reward_weights=weights)


@functools.cache
def _settings() -> Mapping[str, Any]:
    return read_settings("rl")


class Ledger:
    """A record of the expectations: a broken one is kept until what belongs to it was looked at too."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._broken: list[str] = []

    def note(self, span: str, **values: float) -> None:
        self._meter.note(span, **values)

    def expect(self, span: str, what: str, difference: float, allowed: float = ALLOWED) -> None:
        """Keep a sentence where a difference from what must be is too large, or no number."""
        if not difference <= allowed:
            self._broken.append(f"{span}: {what} is off by {difference:.3g}")

    def settle(self) -> None:
        """Raise IncorrectError with the first broken expectation and how many there were."""
        if self._broken:
            more = len(self._broken) - 1
            raise IncorrectError(self._broken[0] + (f", and {more} more" if more else ""))
