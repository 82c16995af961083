"""Experiments about one setting: arms that differ in it and in what belongs to it, and agree in everything else.

A terminal and a notebook compare arms of whatever setting they are asked for. Each chapter of the page has questions of
its own; it asks this one where its question is about one setting.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from suite.configuration.files import locate, workload_definition
from suite.records.labels import differences, differing
from suite.records.record import Record
from suite.report.model.experiment import Arm, Design, Experiment, R, drop_settings, grouped, make_arms, workload_runs
from suite.report.model.labels import option_sort_key
from suite.report.model.results import CurrentRecord
from suite.report.model.run import AS_BEFORE, LABEL, SEED, Pairs, Run, axis, resolved_setting


def workload_design(workload: str) -> Design[Any]:
    """The design that a workload's YAML names under `design`; a plain one where it names none."""
    dotted = workload_definition(workload).get("design")
    if dotted is not None:
        return replace(locate(dotted), workload=workload)
    return Design(workload=workload, read=lambda current, key: Run(current=current, key=key), is_factor=bool)


def belongs_to(design: Design[Any], by: str) -> Callable[[str], bool]:
    """A test of settings' names, true for those that may tell arms apart when runs are grouped by the setting `by`.

    These are `by`, its sizes (`by.…`), and what its values bring along: the settings that the design names under it,
    and those that apply under some values only.
    """
    definition = workload_definition(design.workload)
    needs = {**definition.get("only", {}), **definition.get("named_only", {})}
    names = {by, *design.belongs.get(by, ())}
    while followers := {name for name, under in needs.items() if name not in names and not names.isdisjoint(under)}:
        names |= followers
    return lambda name: name in names or name.startswith(f"{by}.")


def experiments_by(
    records: Sequence[CurrentRecord],
    workload: str,
    by: str,
    read: Callable[[CurrentRecord, Pairs], R],
    against: str | None = None,
) -> list[Experiment[R]]:
    """Make experiments of a workload's records whose arms differ in the setting `by`; some have a single arm.

    `read` makes a run of a record. Arms stand in the order of the options' own files, others as they come. An
    experiment's baseline is its first arm, or the one that `against` names, by its name or its value; None where there
    is no such arm.
    """
    design = workload_design(workload)

    def read_with(current: CurrentRecord, key: Pairs) -> R:
        # The setting that is asked about counts at its default, too, and where no case names it.
        value = dict(key).get(by) or resolve_setting(current.record, by, design)
        return read(current, ((by, value), *drop_settings(key, [by])) if value else key)

    by_design = replace(design, read=read_with, is_factor=belongs_to(design, by), repeats=SEED)
    groups = grouped(make_arms(workload_runs(records, by_design), by_design.is_factor), lambda arm: arm.setting)

    experiments = []
    for key, arms in groups.items():
        arms = _name_and_sort(arms, by)
        names = {arm: (None, arm.name, arm.value(by), f"{by}={arm.value(by) or 'null'}") for arm in arms}
        baseline = next((arm for arm in arms if against in names[arm]), None)
        experiments.append(Experiment(key=key, arms=arms, baseline=baseline))
    return experiments


def resolve_setting(record: Record, name: str, design: Design[Any]) -> str:
    """A setting as a record resolved it, else its value before the setting was introduced, else the design's default.

    Empty where none of these is known.
    """
    given = axis(record, name) or resolved_setting(record, name)
    return given or AS_BEFORE.get(name, "") or design.defaults.get(name, "")


def telling_settings(keys: Sequence[Pairs], design: Design[Any]) -> list[str]:
    """The settings in which experiments differ, without those that follow from another one of them.

    `keys`: the settings of each experiment. A setting follows from another where it belongs to that one by the design,
    and experiments with one value of that one agree in it.
    """
    names = differing(keys)
    followers: set[str] = set()
    for owner in names & design.belongs.keys():
        belongs = belongs_to(design, owner)
        determined = names - differing(keys, alike_in=[owner])
        followers |= {name for name in determined if belongs(name) and name != owner}
    return [name for name in names if name not in followers]


def _name_and_sort(arms: Sequence[Arm[R]], by: str) -> list[Arm[R]]:
    """Name arms by their value of `by` and the sizes that tell them apart; sort them by their places in the YAML."""
    keys = [arm.key for arm in arms]
    sizes = {name for name in differing(keys) if name.startswith(f"{by}.")}
    # What a value brings along is said where arms of one value differ in it.
    brought_along = differences(keys, alike_in=[by])
    named = []
    for arm, settings in zip(arms, brought_along, strict=True):
        value = arm.value(by)
        # `gqa (kv_heads=2)`, or `by=value` where the value is a number or none.
        is_name = by == LABEL or (value and not value.replace(".", "").isdecimal())
        head = value if is_name else f"{by}={value or 'null'}"
        in_brackets = [pair for pair in arm.key if pair[0] in sizes or pair[0] in settings]
        texts = ", ".join(f"{name.removeprefix(f'{by}.')}={size}" for name, size in in_brackets)
        named.append(replace(arm, name=f"{head} ({texts})" if texts else head))
    return sorted(named, key=lambda arm: option_sort_key(by, arm.value(by))[0])
