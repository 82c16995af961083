"""What was found and what was expected: a broken expectation is kept until what belongs to it was looked at too."""

from suite.measure.meter import Meter
from suite.measure.workload import IncorrectError

ALLOWED = 1e-12
"""Float64 sums of some hundred terms differ by 1e-15; a wrong formula differs by 1e-8 at the least."""


class Ledger:
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
        """Raises IncorrectError with the first broken expectation and how many there were."""
        if self._broken:
            more = len(self._broken) - 1
            raise IncorrectError(self._broken[0] + (f", and {more} more" if more else ""))
