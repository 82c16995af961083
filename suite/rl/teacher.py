"""A recipe's teacher: a stronger decoder, trained by a recipe of its own with the learner's seed, task and algorithm.

The first case that needs it trains it and leaves it beside the runs, as base models are left; what that cost is said in
the record of each case that learns from it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from suite.lm.decoder import Decoder
from suite.measure.artifact_cache import cached_artifact
from suite.measure.meter import Meter
from suite.measure.stateful import WorkloadFailedError
from suite.records.case import comparable
from suite.records.machine.code import code_named_in
from suite.records.metrics import EVALUATE
from suite.rl.base import artifact_key, new_decoder
from suite.rl.plan import RlPlan
from suite.rl.recipe import teacher_settings

FOLDER = "teachers"
NOT_LEARNT_FROM = ("checkpoint_seconds", "trial", "rank")
"""Settings of a run that its policy does not depend on."""


class TeachersCourse(Protocol):
    """The part of suite.rl.workload.RlWorkload that trains a teacher."""

    steps: int
    policy: Decoder

    def prepare(self, shared: Path) -> None: ...

    def step(self, meter: Meter) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A trained teacher, and how it came to be."""

    decoder: Decoder
    facts: Mapping[str, Any]
    """Its key, its accuracy on the held-out prompts and what its training took, its base model's aside."""


def load_teacher(
    settings: Mapping[str, Any], shared: Path, course: Callable[[Mapping[str, Any]], TeachersCourse]
) -> Teacher:
    """Train it here by the course of its settings, or read it from where another case left it."""
    of_teacher = teacher_settings(settings)
    of_case = {name: value for name, value in comparable(of_teacher).items() if name not in NOT_LEARNT_FROM}
    of_case["code"] = sorted(code_named_in(of_teacher))
    plan, key = RlPlan(of_teacher), artifact_key(of_case, of_teacher)
    teacher = cached_artifact(
        shared / FOLDER, key, device=plan.device, make=lambda: _trained(course(of_teacher), shared)
    )
    decoder = new_decoder(plan, of_teacher["attention"])
    decoder.load_state_dict(teacher.pop("weights"))
    return Teacher(decoder=decoder.requires_grad_(False), facts={"key": key[:16], **teacher})


def _trained(course: TeachersCourse, shared: Path) -> dict[str, Any]:
    meter = Meter()
    try:
        course.prepare(shared)
        begun_s = time.process_time()
        for meter.step in range(course.steps):
            course.step(meter)
    except WorkloadFailedError as error:
        raise WorkloadFailedError(f"teacher: {error}") from error
    took_s = time.process_time() - begun_s
    wanted = EVALUATE, "heldout_accuracy"
    accuracies = [reading.value for reading in meter.readings if (reading.span, reading.metric) == wanted]
    return {"weights": course.policy.state_dict(), "heldout_accuracy": accuracies[-1], "process_cpu_s": took_s}
