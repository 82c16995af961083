"""Settings that do not apply to a point of a sweep or a single run, and the refusal of those that were named.

A workload uses its axes, the names in its `only` and `uses`, its own file of settings, and what the suite itself reads
of a case of its kind.
"""

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from suite.compose.point import IS_FIXED, NO_SUCH_SETTING, SweepPoint, group_of, leaves
from suite.configuration.files import (
    choices,
    did_you_mean,
    groups,
    read_choice,
    read_settings,
    read_yaml,
    workload_definition,
)
from suite.records.aliases import SETTINGS
from suite.records.case import NEVER_IN_ID, as_typed, unmet

OF_THE_COMMAND = ("leave_out", "parts", "resume", "report", "workers", "spread", "launcher", "objective")
"""Settings of the command, which no case has."""
OF_A_COURSE = ("telemetry", "price_per_device_hour")
OF_A_TIMED_CASE = ("measure", "telemetry", "seed", "profile", "price_per_device_hour")
"""Settings that the suite reads of every case that repeats its step, of any workload."""
OF_EVERY_PLAN = ("device", "dtype", "threads", "seed")
"""Keep their values where they have no effect, since all plans are asked for them."""


def used_by(workload: Mapping[str, Any]) -> set[str]:
    """The settings and groups that a workload uses, by its YAML, beside those of its own file."""
    of_kind = () if "_target_" not in workload else OF_A_COURSE if workload.get("course") else OF_A_TIMED_CASE
    return {*workload["axes"], *workload.get("only", {}), *workload.get("uses", ()), *of_kind}


def has_use_for(point: SweepPoint, key: str) -> bool:
    """Whether a setting can change what a point measures, or how; one that nobody knows is refused elsewhere."""
    place = key.rpartition("@")[2]
    name, workload = group_of(place), point.settings["workload"]
    is_own = name in used_by(workload) or name in map(group_of, point.of_workload)
    if name in (*OF_THE_COMMAND, "hydra", "sweep", "workload") or not (is_own or name in _shared(point)):
        return True
    return is_own and not {name, place} & {*workload.get("unused", ())} and not unmet(point.settings, name)


def unused_of(point: SweepPoint) -> list[str]:
    """The settings that are null in a case of this point, since its workload has no use for them."""
    used = used_by(point.settings["workload"]).union(map(group_of, point.of_workload))
    kept = {*used, *NEVER_IN_ID, *OF_EVERY_PLAN, "workload"}
    return [name for name in point.settings if name in _shared(point) and name not in kept]


def note_unused(points: Iterable[SweepPoint]) -> list[SweepPoint]:
    """Add to `inapplicable` the settings that were named in vain, unless they are null."""
    noted = []
    for point in points:
        applicable = [key for key in dict.fromkeys(point.named) if key not in point.inapplicable]
        unused = [key for key in applicable if point.is_set(key) and not has_use_for(point, key)]
        noted.append(replace(point, inapplicable=[*point.inapplicable, *unused]))
    return noted


def inapplicable_to_all(points: Sequence[SweepPoint]) -> list[str]:
    """The named keys that apply to no point."""
    return sorted(set.intersection(*(set(point.inapplicable) for point in points))) if points else []


def as_if_not_named(points: Sequence[SweepPoint], keys: Collection[str]) -> list[SweepPoint]:
    """The points without the keys, which apply to none of them."""
    return [
        replace(
            point,
            named=[name for name in point.named if name not in keys],
            inapplicable=[name for name in point.inapplicable if name not in keys],
        )
        for point in points
    ]


def is_why(typed: Collection[str], key: str, points: Sequence[SweepPoint]) -> bool:
    """Whether the command line can be why a setting that a sweep's file names does not apply."""
    needs = {other for point in points for other in unmet(point.settings, group_of(key))}
    # What only a workload's own settings have, an option may set, as an algorithm its estimator.
    groups = {group for point in points for group in point.chosen} if needs - _of_run() else set()
    return bool({group_of(key), "workload", *needs, *groups} & set(typed) - {key})


def refusal_of(key: str, points: Sequence[SweepPoint]) -> str:
    """Say why a setting that applies to no point must not be set, and what to set in its place."""
    if any(key in point.fixed for point in points):
        return IS_FIXED.format(key=key, option=points[0].chosen[group_of(key)])
    points = [point for point in points if not has_use_for(point, key)]
    if not points:
        return no_such_setting(key)
    place, point = key.rpartition("@")[2], points[0]
    name, workload, own = group_of(place), point.settings["workload"], point.chosen["workload"]
    ours = _listed("workload", sorted({point.chosen["workload"] for point in points}))
    others = [other for other in workloads_with(name) if other != own]
    if needs := unmet(point.settings, name):
        wanted = " and ".join(_listed(other, values) for other, values in needs.items())
        got = ", ".join(f"{other}={as_typed(point.settings[other])}" for other in needs)
        return f"{key} applies to {wanted} only; got {got}"
    if name in used_by(workload) and place in workload.get("unused", ()):
        return f"{key} changes nothing under {ours}, and must not be set"
    if instead := workload.get("instead", {}).get(name):
        return f"{key} is no setting of {ours}, which has {instead} in its place"
    if others and "workload" not in point.named:
        owners = _listed("workload", others)
        return f"{key} is a setting of {owners}, and none of {ours}, which is the default: add {owners}"
    of_file = [f"what conf/settings/{own}.yaml has"] if point.of_workload else []
    *some, last = dict.fromkeys([*workload["axes"], *sorted(used_by(workload)), *of_file])
    return f"{key} is no setting of {ours}, which has {', '.join(some)} and {last}"


def no_such_setting(key: str) -> str:
    """Say that there is no such key here, and who has it, or which one may have been meant."""
    absent, (group, _, name) = f"there is no setting {key!r}", key.partition(".")
    if key in SETTINGS:
        return f"{absent}; did you mean {SETTINGS[key][0]}?"
    if key == "experiment":  # as Hydra's own documentation calls it
        return f"{absent}; yours is a sweep: sweep/NAME.yaml below --config-dir, run by -m sweep=NAME"
    of_options = {option: leaves(read_choice(group, option), f"{group}.") for option in choices(group)}
    of_workloads = {workload: leaves(read_settings(workload)) for workload in choices("settings")}
    if having := [option for option, keys in of_options.items() if key in keys]:
        return f"{absent} of this {group}; {_listed(group, having)} has it"
    if having := [owner for owner in workloads_with(group) if not name or key in of_workloads.get(owner, ())]:
        launchers = f", and a launcher is {' or '.join(choices('launcher'))}" if key == "engine" else ""
        return f"{absent} of this workload; {_listed('workload', having)} has it{launchers}"
    keys = {*_of_run(), *(key for some in (*of_options.values(), *of_workloads.values()) for key in some)}
    near = [other.partition(".")[2] for other in keys if group_of(other) == group] if name else map(group_of, keys)
    meant = did_you_mean(name or group, near, before=f"{group}." if name else "")
    return f"{absent}{meant}" if meant else NO_SUCH_SETTING.format(key)


def workloads_with(name: str) -> list[str]:
    """The suite's workloads that use a setting or a group."""
    return [
        workload
        for workload in choices("workload")
        if name in used_by(workload_definition(workload))
        or (workload in choices("settings") and name in read_settings(workload))
    ]


def _listed(name: str, values: Sequence[Any]) -> str:
    """`workload=rl`, `phase=decode or prefill`"""
    *some, last = map(as_typed, values)
    return f"{name}={', '.join(some)} or {last}" if some else f"{name}={last}"


def _shared(point: SweepPoint) -> set[str]:
    """The names that workloads share: the keys of run.yaml, and the groups."""
    return {*_of_run(), *point.chosen}


@functools.cache
def _of_run() -> frozenset[str]:
    return groups() | set(read_yaml("run.yaml")) - {"defaults"}
