"""An attention case on a device that is not here: its closed forms against the specification's two ceilings.

The result is the least time that the published peaks allow. It is no measurement and its records say so.
"""

from collections.abc import Mapping
from typing import Any

from suite.theory.attention_plan import SPANS, AttentionPlan
from suite.theory.hardware import hardware_from, hardware_names


class ProjectionPlan(AttentionPlan):
    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        if settings.get("hardware") is None:
            raise ValueError(f"hardware must be one of {', '.join(hardware_names())}; got none")
        hardware = hardware_from(settings["hardware"])
        ceilings = hardware.ceilings(self.dtype)
        if ceilings is None:
            has = ", ".join(hardware.dense_flops_per_s)
            self.refusal = f"{hardware.name} has no published {self.dtype} peak; it has {has}"
        else:
            self.ceilings = ceilings

    def constants(self) -> dict[str, dict[str, float]]:
        """Return the closed forms with the ceilings, and the least time that both together allow."""
        constants = super().constants()
        for span in SPANS:
            flops, traffic_bytes = constants[span]["flops"], constants[span]["traffic_bytes"]
            constants[span] |= {
                "ceiling_flops_per_s": self.ceilings.flops_per_s,
                "ceiling_bytes_per_s": self.ceilings.bytes_per_s,
                "bound_s": self.ceilings.bound_s(flops=flops, traffic_bytes=traffic_bytes),
            }
        return constants
