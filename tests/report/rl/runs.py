"""Runs of reinforcement learning whose numbers can be added up by hand."""

from dataclasses import replace

from suite.records.case import Case
from suite.records.record import Reading, Status
from tests.report.reading import results_of, rows_of, said
from tests.report.rl_records import rl_record


def run(accuracies, *, cpu_s=(0.25, 0.25, 0.5), each=10, energy_j=None, forms=None, more=None, **axes):
    """Evaluated before each step and after the last; `cpu_s`: of rollout, score and update in each step."""
    steps = len(accuracies) - 1
    axes = {"steps": steps, "prompts_per_step": each // 2, "num_generations": 2} | axes
    readings = [Reading(step=0, span="case", metric="policy_parameter_count", value=1000)]
    for step, accuracy in enumerate(accuracies):
        readings.append(Reading(step=step, span="evaluate", metric="heldout_accuracy", value=accuracy))
        if forms:
            readings.append(Reading(step=step, span="evaluate", metric="heldout_format", value=forms[step]))
        readings.append(timing(step, "evaluate", 0.125))
    for step in range(steps):
        counted = {"completions": each, "sampled_tokens": 5 * each, "updates": 1, **(more or {})}
        counted |= {} if energy_j is None else {"energy_j": energy_j}
        readings += [Reading(step=step, span="step", metric=name, value=value) for name, value in counted.items()]
        readings += [timing(step, span, s) for span, s in zip(("rollout", "score", "update"), cpu_s, strict=True)]
    return replace(bare(**axes), status=Status.OK, readings=readings)


def timing(step, span, cpu_s):
    return Reading(step=step, span=span, metric="latency_s", value=cpu_s, wall_s=2 * cpu_s, process_cpu_s=cpu_s)


def bare(**axes):
    return rl_record(status=Status.FAILED, reason="it broke", **axes)


def failed(**axes):
    return bare(**{"steps": 2, "prompts_per_step": 5, "num_generations": 2} | axes)


def arms(finals_of, base=0.1, **more):
    """For each algorithm a run of two steps a final accuracy, seeds from 0."""
    return [
        run([base, 0.2, final], algorithm=algorithm, seed=seed, **more.get(algorithm, {}))
        for algorithm, finals in finals_of.items()
        for seed, final in enumerate(finals)
    ]


def named(record, *, stages=None, teacher=None, started_at="", **extras):
    """The record with settings that somebody named, and the facts of its recipe."""
    facts = {name: said for name, said in {"stages": stages, "teacher": teacher}.items() if said is not None}
    case = replace(record.case, extras={**record.case.extras, **extras})
    return replace(record, case=case, provenance={**record.provenance, **facts, "started_at": started_at})


def staged(recipe, accuracies, *kinds, seed=0, teacher=None, more=None, **axes):
    """A run with as many steps in each of its stages."""
    each = (len(accuracies) - 1) // len(kinds)
    stages = [{"kind": kind, "steps": each} for kind in kinds]
    return named(run(accuracies, seed=seed, more=more, **axes), stages=stages, teacher=teacher, recipe=recipe)


def recipes(seeds=2, **axes):
    """Three recipes with two seeds each, or more that are like these in turn, and what they are held against."""
    return [
        record
        for seed in range(seeds)
        for record in (
            staged("r1_zero", [0.0, 0.1, 0.2, 0.3, 0.4 + 0.1 * (seed % 2)], "rl", seed=seed, **axes),
            staged("r1", [0.0, 0.1, 0.3 + 0.2 * (seed % 2), 0.6, 0.9], "sft", "rl", seed=seed, **axes),
            staged(
                "sft", [0.0, 0.1, 0.1, 0.1, 0.2 - 0.2 * (seed % 2)], "sft", seed=seed, more={"examples": 10}, **axes
            ),
        )
    ]


def thinking(lengths, accuracies, corrections=None, sampled=3.0, **more):
    """A run whose held-out thoughts have these lengths."""
    record = run(accuracies, more={"thought_length": sampled, "corrections": 0.25}, **more)
    held = {"heldout_thought_length": lengths, "heldout_corrections": corrections or [0.0] * len(lengths)}
    readings = [
        Reading(step=step, span="evaluate", metric=metric, value=value)
        for metric, values in held.items()
        for step, value in enumerate(values)
    ]
    return replace(record, readings=[*record.readings, *readings])


def fed(setting, value, finals, **axes):
    return [named(run([0.1, 0.2, final], seed=seed, **axes), **{setting: value}) for seed, final in enumerate(finals)]


SORTED_ALREADY = 19 / 256
"""The held-out numbers of four digits that are in order as they stand."""


def noting_what_guessing_scores(record, share=SORTED_ALREADY):
    of_prompts = Reading(step=0, span="evaluate", metric="trivial_accuracy", value=share)
    return replace(record, readings=[*record.readings, of_prompts])


def of_older_settings(record, eval_prompts=256):
    """An older record, which holds the settings alone."""
    task = {"_target_": "suite.rl.tasks.sorting.Sorting", "digits": 4, "corrections": 0.5}
    return replace(record, settings={**record.settings, "task": task, "eval_prompts": eval_prompts})


def section_of(module, tmp_path, *records, lang="en"):
    return said(module.build(results_of(tmp_path, *records)), lang)


def rows(module, tmp_path, *records, table=0):
    return rows_of(section_of(module, tmp_path, *records).tables[table])


def details(section):
    return [headline.detail for headline in section.headlines]


CONFORMANCE = {
    "kl k1 in the loss": {"value_bias": 0.0, "gradient_norm_ratio": 0.0, "gradient_bias": 1.0},
    "kl k3 in the loss": {"value_bias": 0.25, "gradient_norm_ratio": 1.2, "gradient_bias": 0.4, "gradient_cosine": 0.6},
    "kl k3 in the reward": {"gradient_norm_ratio": 0.4, "gradient_bias": 1.2, "gradient_cosine": -0.5},
    "estimator rloo": {"gradient_norm_ratio": 1.0, "gradient_bias": 1e-16, "gradient_cosine": 1.0, "unheard_of": 7.0},
    "estimator grpo": {"gradient_norm_ratio": 0.5, "gradient_bias": 0.5, "gradient_cosine": 1.0},
    "padding ppo": {"largest_difference": 0.0},
    "order ppo": {"largest_difference": 0.125},
}


def conformance_record(spans, **axes):
    return replace(
        bare(),
        case=Case(workload="rl_conformance", axes={"seed": 0, "dtype": "float64"} | axes),
        status=Status.OK,
        readings=[
            Reading(step=0, span=span, metric=metric, value=value)
            for span, values in spans.items()
            for metric, value in values.items()
        ],
    )
