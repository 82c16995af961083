"""Studies of reinforcement learning, and the sections that are built of them."""

from dataclasses import replace

from suite.records.record import Reading, Status
from tests.report.quality_records import in_memory
from tests.report.reading import rows_of, said
from tests.report.rl_records import evaluations
from tests.report.rl_records import rl_record as run


def failed(**axes):
    return run(status=Status.FAILED, **axes)


def arms(finals_by_algorithm, base=0.1, **more):
    """For each algorithm a run of two steps a final accuracy, seeds from 0."""
    return [
        run([base, 0.2, final], algorithm=algorithm, seed=seed, **more.get(algorithm, {}))
        for algorithm, finals in finals_by_algorithm.items()
        for seed, final in enumerate(finals)
    ]


def named(record, *, stages=None, teacher=None, started_at="", **extras):
    """The record with settings that somebody named, and the facts of its recipe."""
    facts = {name: fact for name, fact in {"stages": stages, "teacher": teacher}.items() if fact is not None}
    case = replace(record.case, extras={**record.case.extras, **extras})
    return replace(record, case=case, provenance={**record.provenance, **facts, "started_at": started_at})


def staged(recipe, accuracies, *kinds, teacher=None, **axes):
    """A run with as many steps in each of its stages."""
    each = (len(accuracies) - 1) // len(kinds)
    stages = [{"kind": kind, "steps": each} for kind in kinds]
    return named(run(accuracies, **axes), stages=stages, teacher=teacher, recipe=recipe)


def recipes(seeds=2, **axes):
    """Three recipes with two seeds each, or more that are like these in turn, and what they are held against."""
    return [
        record
        for seed in range(seeds)
        for odd in [seed % 2]
        for record in (
            staged("r1_zero", [0.0, 0.1, 0.2, 0.3, 0.4 + 0.1 * odd], "rl", seed=seed, **axes),
            staged("r1", [0.0, 0.1, 0.3 + 0.2 * odd, 0.6, 0.9], "sft", "rl", seed=seed, **axes),
            staged("sft", [0.0, 0.1, 0.1, 0.1, 0.2 - 0.2 * odd], "sft", seed=seed, more={"examples": 10}, **axes),
        )
    ]


def thinking(lengths, accuracies, corrections=None, sampled=3.0, **more):
    """A run whose held-out thoughts have these lengths."""
    record = run(accuracies, more={"thought_length": sampled, "corrections": 0.25}, **more)
    held_out = {"heldout_thought_length": lengths, "heldout_corrections": corrections or [0.0] * len(lengths)}
    return replace(record, readings=[*record.readings, *evaluations(held_out)])


def fed(setting, value, finals, **axes):
    return [named(run([0.1, 0.2, final], seed=seed, **axes), **{setting: value}) for seed, final in enumerate(finals)]


SORTED_ALREADY = 19 / 256
"""The held-out numbers of four digits that are in order as they stand."""


def noting_what_guessing_scores(record, share=SORTED_ALREADY):
    guessed = Reading(step=0, span="evaluate", metric="trivial_accuracy", value=share)
    return replace(record, readings=[*record.readings, guessed])


def of_older_settings(record, eval_prompts=256):
    """An older record, which holds the settings alone."""
    task = {"_target_": "suite.rl.tasks.sorting.Sorting", "digits": 4, "corrections": 0.5}
    return replace(record, settings={**record.settings, "task": task, "eval_prompts": eval_prompts})


def section_of(module, *records, lang="en"):
    return said(module.build(in_memory(*records)), lang)


def rows(module, *records, table=0):
    return rows_of(section_of(module, *records).tables[table])


def titled(section, title):
    """The rows of the first table of a title."""
    return next(rows_of(table) for table in section.tables if table.title == title)
