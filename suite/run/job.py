"""A case that is to run, known to be right in itself, and what is known of it before it does."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from suite.configuration.files import locate
from suite.configuration.values import one_of
from suite.console.summary import Summarise, plain, summary_by
from suite.measure.precision import MATMUL_PRECISIONS
from suite.measure.repeats import Effort
from suite.measure.telemetry.sampler import checked
from suite.records import numbers
from suite.records.case import Case, run_key
from suite.records.environment import gpu_memory_bytes
from suite.records.limits import capacity_bytes, most_threads
from suite.theory.roofline import MeasuredCeilings

LARGEST = 2**63 - 1
"""What an integer of a table, or a generator's seed, can hold."""


class PlannedWork(Protocol):
    """What is needed of a workload's plan here; see suite.measure.workload.Plan for all of it."""

    device: str
    dtype: str
    threads: int
    refusal: str | None
    """Why a case that is right in itself cannot be laid out."""

    def facts(self) -> Mapping[str, Any]: ...

    def constants(self) -> Mapping[str, Mapping[str, float]]: ...

    def least_bytes(self) -> float: ...

    def predicted_step_s(self, measured: MeasuredCeilings) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """A case with its settings, known to be right in themselves."""

    case: Case
    settings: Mapping[str, Any]
    plan: PlannedWork
    summarise: Summarise = plain
    """Tells what its record comes to."""

    @property
    def is_projection(self) -> bool:
        """A workload that names no code to run: its plan is all there is."""
        return "_target_" not in self.settings["workload"]

    @property
    def is_course(self) -> bool:
        """Its steps follow from one another: it is run once from end to end, and nothing in it is repeated."""
        return bool(self.settings["workload"].get("course", False))

    @property
    def projects(self) -> bool:
        """What it finds is no measurement: a projection, or a workload that simulates."""
        return self.is_projection or bool(self.settings["workload"].get("projects", False))

    @cached_property
    def run_key(self) -> str:
        return run_key(self.case, self.settings)

    @cached_property
    def refusal(self) -> str | None:
        """Why it cannot run here, as far as that is known before it starts."""
        plan = self.plan
        if plan.refusal is not None or self.is_projection:
            return plan.refusal
        if plan.threads > most_threads():
            # They would wait for each other: the figure would say nothing of the work.
            return f"threads={plan.threads} is more than the {most_threads()} CPUs that this process may use at once"
        least = plan.least_bytes()
        # Where NVML shows no GPU, the worker says what torch finds.
        most, whose = (gpu_memory_bytes(), "a GPU here") if self.stays else (capacity_bytes(), "this process")
        if most is not None and least > most:
            return (
                f"holds at least {numbers.bytes_iec(least)} at once, by the closed forms of its sizes; "
                f"{whose} can have {numbers.bytes_iec(most)}"
            )
        return None

    @property
    def stays(self) -> bool:
        """Whether its process takes the next case too: a context on a GPU takes seconds to make."""
        return self.plan.device == "cuda"


def job_for(case: Case, settings: Mapping[str, Any], summary: str | None = None) -> Job:
    """Raises ValueError, before anything is allocated, for settings that are wrong in themselves."""
    _check_numbers(settings)
    Effort.from_settings(settings)
    one_of(settings, "matmul_precision", (None, *MATMUL_PRECISIONS))
    checked(settings)
    plan = locate(settings["workload"]["plan"])(settings)
    return Job(case=case, settings=settings, plan=plan, summarise=summary_by(summary))


def _check_numbers(value: Any, key: str = "") -> None:
    """Raise ValueError for a number, however deep, that no table and no tensor's size can hold."""
    if isinstance(value, Mapping | list):
        for name, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            _check_numbers(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key} must be finite; got {value}")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError(f"{key} must be a number of at most 2^63 - 1; got {value}")
