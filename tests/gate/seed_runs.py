"""Stored runs of one arm of reinforcement learning, a run for each seed."""

from dataclasses import replace

from suite.gate.stored.seed_arms import without_seed
from suite.records.case import Case
from suite.records.metrics import PHASES
from suite.records.record import Reading, Status
from tests.records.factory import build

STEPS = 4
AXES = {"algorithm": "grpo", "task": "sort", "attention": "mha", "steps": STEPS, "lr": 3e-4, "critic_lr": None}
SETTINGS = {"device": "cpu", "threads": 1, "steps": STEPS}
ARM = without_seed(Case(workload="rl", axes={**AXES, "seed": 0, "device": "cpu"})).id


def rl_run(seed, accuracy, *, minute=0, cost_s=1.0, settings=None, status=Status.OK, reason=None, environment=None):
    """A run that ends at this accuracy, with phases that take ever longer, as completions grow."""
    case = Case(workload="rl", axes={**AXES, "seed": seed, "device": "cpu"})
    at = {"started_at": f"2026-03-01T10:{minute:02}:{int(seed):02}+00:00", "clock": "thread_cpu"}
    made = build(
        provenance=at, environment=environment, settings=SETTINGS | {"seed": seed} | (settings or {}), reason=reason
    )
    readings = [
        Reading(step=0, span="case", metric="policy_parameter_count", value=98_624.0),
        *(Reading(step=step, span="step", metric="reward", value=accuracy * step / STEPS) for step in range(STEPS)),
        *(
            Reading(step=step, span="evaluate", metric="heldout_accuracy", value=accuracy * step / STEPS)
            for step in range(0, STEPS + 1, 2)
        ),
        *(
            timed(step, span, cost_s * (1 + step / 10 + seed / 50 + minute * 1e-9))
            for step in range(STEPS)
            for span in PHASES
        ),
        timed(STEPS, "evaluate", 5.0),
    ]
    return replace(made, case=case, status=status, readings=readings if status is Status.OK else [])


def timed(step, span, taken_s):
    """Its own thread's time is half of the process's."""
    clocks = {"wall_s": 9 * taken_s, "thread_cpu_s": taken_s / 2, "process_cpu_s": taken_s}
    return Reading(step=step, span=span, metric="latency_s", value=taken_s / 2, **clocks)


def arm(accuracies, **changed):
    """A run of each seed, from 0 on."""
    return [rl_run(seed, accuracy, **changed) for seed, accuracy in enumerate(accuracies)]
