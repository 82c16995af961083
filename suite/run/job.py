"""A case that is to run, known to be right in itself, with all that is known of it beforehand."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from suite.configuration.files import locate, read_yaml
from suite.configuration.values import one_of, true_or_false
from suite.machine.environment import gpu_memory_bytes
from suite.machine.limits import capacity_bytes, most_threads
from suite.measure.precision import MATMUL_PRECISIONS
from suite.measure.repeats import Effort
from suite.measure.telemetry.sampler import checked
from suite.records import numbers
from suite.records.case import Case, case_from, comparison_key, run_key, run_key_on, without_inapplicable
from suite.run.compose.point import IS_FIXED, OF_THE_COMMAND, SweepPoint, group_name, no_such_setting, unused_settings

if TYPE_CHECKING:
    from suite.measure.workload import Plan  # whose module imports torch

LARGEST = 2**63 - 1
"""The largest integer of a table, and the largest seed of a generator."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A case with its settings, known to be right in themselves."""

    case: Case
    settings: Mapping[str, Any]
    plan: "Plan"
    overrides: Sequence[str] = ()
    """The overrides that repeat it, as Hydra has them, without paths."""
    spread: bool = False
    """True if machines alike share the case: what one has recorded is not run by another."""

    @property
    def is_projection(self) -> bool:
        """True if the workload names no code to run: its plan is all there is."""
        return "_target_" not in self.settings["workload"]

    @property
    def is_course(self) -> bool:
        """Its steps follow from one another: it is run once from end to end, and nothing in it is repeated."""
        return bool(self.settings["workload"].get("course", False))

    @property
    def projects(self) -> bool:
        """True if results are projected or simulated."""
        return self.is_projection or bool(self.settings["workload"].get("projects", False))

    @cached_property
    def run_key(self) -> str:
        return run_key(self.case, self.settings, spread=self.spread)

    def run_key_on(self, machine: str, code: str) -> str:
        """The case's run key on the machine with this id, by code of this digest; `run_key` is that on this machine."""
        return run_key_on(machine, code, self.case, self.settings)

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
        most, owner = (gpu_memory_bytes(), "a GPU here") if self.stays else (capacity_bytes(), "this process")
        if most is None or least <= most:
            return None
        return (
            f"needs at least {numbers.bytes_iec(least)} of memory at once, computed from its sizes; "
            f"{owner} can have {numbers.bytes_iec(most)}"
        )

    @cached_property
    def comparison(self) -> Hashable:
        """Equal for cases that are compared with one another, which one machine should therefore run."""
        return comparison_key(self.case, self.settings)

    @property
    def stays(self) -> bool:
        """True if its process takes the next case too: a context on a GPU takes seconds to make."""
        return self.plan.device == "cuda"


def job_of(point: SweepPoint) -> Job:
    """Make the job of a point, after checking its names and values. Raises ValueError, before anything is allocated,
    for names that do not exist and for values that are wrong in themselves."""
    _check_names(point)
    case_settings = {key: value for key, value in point.settings.items() if key not in OF_THE_COMMAND}
    # First: an option is as the phase has it, and a workload may have none.
    settings = without_inapplicable({**case_settings, **dict.fromkeys(unused_settings(point))})
    case = case_from(settings, chosen=point.chosen, named=point.named, inapplicable=point.inapplicable)
    _check_numbers(settings)
    Effort.from_settings(settings)
    one_of(settings, "matmul_precision", (None, *MATMUL_PRECISIONS))
    checked(settings)
    return replace(planned(case, settings, point.overrides), spread=true_or_false(point.settings, "spread"))


def planned(case: Case, settings: Mapping[str, Any], overrides: Sequence[str]) -> Job:
    """Make the job of a case whose settings are known to be right, by the plan that its workload names here."""
    plan = locate(settings["workload"]["plan"])(settings)
    return Job(case=case, settings=settings, plan=plan, overrides=overrides)


def _check_names(point: SweepPoint) -> None:
    """Raise ValueError for settings that do not exist, that are missing, that an option fixes, or that are lists."""
    named_in_file = set(read_yaml("run.yaml")) - {"defaults", "hydra"} | set(map(group_name, point.of_workload))
    for key in sorted(set(point.settings) - named_in_file - set(point.chosen)):
        if key not in point.of_task:
            raise ValueError(no_such_setting(key))
        task, workload = (f"{group}={point.chosen[group]}" for group in ("task", "workload"))
        raise ValueError(f"{task} sets {key}, which {workload} does not have: the task belongs to another workload")
    if missing := sorted(named_in_file - set(point.settings)):
        raise ValueError(f"{missing[0]} must have a value; got none")
    for key in point.fixed if not point.is_sweep else ():
        raise ValueError(IS_FIXED.format(key=key, option=point.chosen[group_name(key)]))
    for name in point.settings["workload"]["axes"]:
        if name not in point.chosen and isinstance(value := point.settings.get(name), list | dict):
            raise ValueError(f"{name} must be one value; got {value!r}")
    true_or_false(point.settings, "profile")


def _check_numbers(value: Any, key: str = "") -> None:
    """Raise ValueError for a number, however deep, that no table and no tensor's size can hold."""
    if isinstance(value, Mapping | list):
        for name, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            _check_numbers(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key} must be finite; got {value}")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError(f"{key} must be a number of at most 2^63 - 1; got {value}")
