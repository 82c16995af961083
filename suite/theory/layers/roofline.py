"""The least time a piece of work can take on a device that has two ceilings: arithmetic and memory traffic.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (CACM 2009).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """Rates that a device reaches at best, measured or by specification."""

    flops_per_s: float
    bytes_per_s: float

    @property
    def ridge_flops_per_byte(self) -> float:
        """The intensity above which arithmetic, not memory, sets the limit."""
        return self.flops_per_s / self.bytes_per_s

    def bound_s(self, *, flops: float, traffic_bytes: float) -> float:
        """The least time in seconds: of arithmetic or of traffic, whichever takes longer."""
        return max(flops / self.flops_per_s, traffic_bytes / self.bytes_per_s)

    def regime(self, *, flops: float, traffic_bytes: float) -> str:
        """The ceiling that sets the limit: `compute` or `memory`."""
        return "compute" if flops / self.flops_per_s > traffic_bytes / self.bytes_per_s else "memory"


@dataclass(frozen=True, kw_only=True)
class MeasuredCeilings:
    """Rates that one device reached, for one dtype and number of threads.

    Memory is as fast as the cache level that holds what is read, so the rate is kept by size.
    """

    flops_per_s: float
    bytes_per_s_by_size: Mapping[int, float]

    def at(self, traffic_bytes: float) -> Ceilings:
        """The ceilings for work of this traffic. The bandwidth is the best of all probes from the largest that is no
        larger than `traffic_bytes` upwards."""
        fitting = max((size for size in self.bytes_per_s_by_size if size <= traffic_bytes), default=0)
        rates = [rate for size, rate in self.bytes_per_s_by_size.items() if size >= fitting]
        return Ceilings(flops_per_s=self.flops_per_s, bytes_per_s=max(rates))
