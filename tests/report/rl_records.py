"""Records of reinforcement learning whose numbers can be added up by hand; nothing of it stands in results/."""

from suite.records.record import Reading, Status
from tests.report.quality_records import finished

AXES = {
    "algorithm": "grpo",
    "task": "sort",
    "policy": "small",
    "attention": "mha",
    "steps": 2,
    "prompts_per_step": 5,
    "num_generations": 2,
    "minibatch": 64,
    "lr": 3e-4,
    "critic_lr": None,
    "kl_coef": 0.04,
    "seed": 1,
    "dtype": "float32",
    "device": "cpu",
    "threads": 1,
}
PPO = {"critic_lr": 1e-3}


def rl_record(
    accuracies=(0.1, 0.5, 0.8),
    *,
    cpu_s=(0.25, 0.25, 0.5),
    each=10,
    energy_j=None,
    forms=None,
    more=None,
    status=Status.OK,
    extras=None,
    settings=None,
    provenance=None,
    **axes,
):
    """Evaluated before each step and after the last; `cpu_s`: of rollout, score and update in each step of `each`
    completions."""
    steps = len(accuracies) - 1
    axes = AXES | {"steps": steps, "prompts_per_step": each // 2} | axes
    counted = {"completions": each, "sampled_tokens": 5 * each, "updates": 1, **(more or {})}
    counted |= {} if energy_j is None else {"energy_j": energy_j}
    held_out = {"heldout_accuracy": accuracies, "heldout_format": forms or ()}
    readings = [
        Reading(step=0, span="case", metric="policy_parameter_count", value=1000),
        *evaluations(held_out),
        *(timing(step, "evaluate", 0.125) for step in range(steps + 1)),
        *(
            Reading(step=step, span="step", metric=name, value=value)
            for step in range(steps)
            for name, value in counted.items()
        ),
        *(
            timing(step, span, s)
            for step in range(steps)
            for span, s in zip(("rollout", "score", "update"), cpu_s, strict=True)
        ),
    ]
    facts = {"clock": "process_cpu"} | (provenance or {})
    return finished("rl", axes, readings, status=status, extras=extras, settings=settings, provenance=facts)


def evaluations(values_by_metric):
    return [
        Reading(step=step, span="evaluate", metric=metric, value=value)
        for metric, values in values_by_metric.items()
        for step, value in enumerate(values)
    ]


def timing(step, span, cpu_s):
    return Reading(step=step, span=span, metric="latency_s", value=cpu_s, wall_s=2 * cpu_s, process_cpu_s=cpu_s)
