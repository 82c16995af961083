"""An attention case on a device that is not here: its closed forms against the specification's two ceilings.

The result is the least time that the published peaks allow and, where others measured such kernels on the device, the
time that is expected of a good one (calibration.py). It is no measurement and its records say so.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suite.configuration.values import one_of
from suite.theory.devices.calibration import Expected
from suite.theory.devices.calibration_file import load_calibration, read_calibration
from suite.theory.devices.hardware import hardware_from, hardware_names, load_hardware
from suite.theory.layers.attention_plan import AttentionPlan
from suite.theory.layers.parallel import WAYS


class ProjectionPlan(AttentionPlan):
    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        if settings.get("hardware") is None:
            raise ValueError(f"hardware must be one of {', '.join(hardware_names())}; got none")
        self.hardware = hardware = hardware_from(settings["hardware"])
        file = settings.get("calibration_file")
        self.calibration = load_calibration(hardware.name) if file is None else read_calibration(Path(str(file)))
        if self.calibration is not None and self.calibration.name != hardware.name:
            raise ValueError(
                f"calibration_file must be of the device that hardware names, {hardware.name}; got one of "
                f"{self.calibration.name}"
            )
        ceilings = hardware.ceilings(self.dtype)
        if ceilings is None:
            has = ", ".join(hardware.dense_flops_per_s)
            self.refusal = f"{hardware.name} has no published {self.dtype} peak; it has {has}"
        else:
            self.ceilings = ceilings

    @staticmethod
    def parallel_way(settings: Mapping[str, Any]) -> str:
        """The way in which devices share the layer, one of WAYS. Raises ValueError for another."""
        way: str = one_of(settings, "parallel", WAYS)
        return way

    def unknown(self) -> str | None:
        """The reason, in words, why no time is expected of a good kernel; None where one is."""
        if self.calibration is None:
            return "the device has no calibration"
        if self.is_ragged:
            return "no fit is of sequences of different lengths"
        if self.hardware != load_hardware(self.hardware.name):
            return "its calibration is of another specification"
        return self.calibration.unknown(self.shape, self.forward, self.dtype)

    def expected(self) -> dict[str, Expected]:
        """The times that are expected of good kernels, by span; empty where nothing is known of them."""
        if self.calibration is None or self.unknown():
            return {}
        calibration, case = self.calibration, (self.shape, self.forward, self.dtype)
        times = {"kernel": calibration.expected(*case), "layer": calibration.expected_layer(*case, self.around)}
        return {span: expected for span, expected in times.items() if expected is not None}

    def facts(self) -> dict[str, Any]:
        kernel = self.expected().get("kernel")
        return {**super().facts(), "expected_by": kernel.family if kernel else f"nothing: {self.unknown()}"}

    def constants(self) -> dict[str, dict[str, float]]:
        """The closed forms and, for each span, the ceilings, the least time and, if it is known, the expected time."""
        constants = super().constants()
        for span in self.spans:
            flops, traffic_bytes = constants[span]["flops"], constants[span]["traffic_bytes"]
            constants[span] |= {
                "ceiling_flops_per_s": self.ceilings.flops_per_s,
                "ceiling_bytes_per_s": self.ceilings.bytes_per_s,
                "bound_s": self.ceilings.bound_s(flops=flops, traffic_bytes=traffic_bytes),
            }
        for span, expected in self.expected().items():
            times_s = {"": expected.seconds, "_low": expected.low, "_high": expected.high}
            constants[span] |= {f"expected{end}_s": time_s for end, time_s in times_s.items() if time_s is not None}
        return constants
