"""A recipe's teacher: a stronger decoder, trained by a recipe of its own with the learner's seed, task and algorithm.

The first case that needs it trains it and leaves it beside the runs, as base models are left; what that cost is said in
the record of each case that learns from it.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from suite.lm.decoder import Decoder
from suite.measure.course import CourseFailedError
from suite.measure.made_once import made_once
from suite.measure.meter import Meter
from suite.records.case import comparable
from suite.records.code import code_digest, code_named_in
from suite.records.metrics import EVALUATE
from suite.records.record import Reading
from suite.rl.base import new_decoder
from suite.rl.plan import RlPlan
from suite.rl.recipe import taught

FOLDER = "teachers"
NOT_LEARNT_FROM = ("checkpoint_seconds", "trial")
"""Settings of a run that its policy does not depend on."""


class TeachersCourse(Protocol):
    """See suite.rl.workload.RlWorkload."""

    steps: int
    policy: Decoder

    def prepare(self, shared: Path) -> None: ...

    def step(self, meter: Meter) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Teacher:
    decoder: Decoder
    facts: Mapping[str, Any]
    """Its key, how it did on the held-out prompts and what its training took, its base model's aside."""


def teacher_of(
    settings: Mapping[str, Any], shared: Path, course: Callable[[Mapping[str, Any]], TeachersCourse]
) -> Teacher:
    """Trained here by the course of its settings, or read from where another case left it."""
    of_teacher = taught(settings)
    plan, key = RlPlan(of_teacher), _key(of_teacher)
    found = made_once(shared / FOLDER, key, device=plan.device, make=lambda: _trained(course(of_teacher), shared))
    decoder = new_decoder(plan, of_teacher["attention"])
    decoder.load_state_dict(found.pop("weights"))
    return Teacher(decoder=decoder.requires_grad_(False), facts={"key": key[:16], **found})


def _trained(course: TeachersCourse, shared: Path) -> dict[str, Any]:
    meter = Meter()
    try:
        course.prepare(shared)
        begun_s = time.process_time()
        for meter.step in range(course.steps):
            course.step(meter)
    except CourseFailedError as error:
        raise CourseFailedError(f"teacher: {error}") from error
    took_s = time.process_time() - begun_s
    return {
        "weights": course.policy.state_dict(),
        "heldout_accuracy": _last_accuracy(meter.readings),
        "process_cpu_s": took_s,
    }


def _last_accuracy(readings: list[Reading]) -> float:
    return [one.value for one in readings if (one.span, one.metric) == (EVALUATE, "heldout_accuracy")][-1]


def _key(settings: Mapping[str, Any]) -> str:
    of_case = {name: value for name, value in comparable(settings).items() if name not in NOT_LEARNT_FROM}
    parts = [json.dumps(of_case, sort_keys=True), *sorted(code_named_in(settings)), code_digest(settings)]
    return hashlib.sha256("\n".join([*parts, torch.__version__]).encode()).hexdigest()
