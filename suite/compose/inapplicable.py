"""Settings that do not apply to a point of a sweep or a single run, and the refusal of those that were named.

A workload uses its axes, the names in its `only` and `uses`, its own file of settings, and what the suite itself reads
of a case of its kind. Among options, as in `attention=mha,gqa,mla attention.kv_heads=2,4`, those that do not have such
a setting, or fix it, have it as null. Composing an option alone shows which settings it has.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.compose.point import IS_FIXED, NO_SUCH_SETTING, SweepPoint, group_of, leaves
from suite.compose.shorthand import ENGINE, LAUNCHER
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
from suite.records.case import NEVER_IN_ID, as_typed, unmet, without

Alone = Callable[[Path, str, str], Any]
"""The settings of a group under one of its options, with nothing else set, for a sweep into a folder."""
OF_THE_COMMAND = ("leave_out", "parts", "resume", "report", "workers", "spread", "launcher", "objective")
"""Settings of the command, which no case has."""
OF_A_COURSE = ("telemetry", "price_per_device_hour")
OF_A_TIMED_CASE = ("measure", "telemetry", "seed", "profile", "price_per_device_hour")
"""Settings that the suite reads of every case that repeats its step, of any workload."""
OF_EVERY_PLAN = ("device", "dtype", "threads", "seed")
"""Keep their values where they have no effect, since all plans are asked for them."""


def used_by(workload: Mapping[str, Any]) -> set[str]:
    """Return the settings and groups that a workload uses, by its YAML, beside those of its own file."""
    of_kind = () if "_target_" not in workload else OF_A_COURSE if workload.get("course") else OF_A_TIMED_CASE
    return {*workload["axes"], *workload.get("only", {}), *workload.get("uses", ()), *of_kind}


def has_use_for(point: SweepPoint, key: str) -> bool:
    """Tell whether a setting can change what a point measures, or how; one that nobody knows is refused elsewhere."""
    place = _place(key)
    name, workload = group_of(place), point.settings["workload"]
    is_own = name in used_by(workload) or name in map(group_of, point.of_workload)
    if name in (*OF_THE_COMMAND, "hydra", "sweep", "workload") or not (is_own or name in _shared(point)):
        return True
    return is_own and not {name, place} & {*workload.get("unused", ())} and not unmet(point.settings, name)


def unused_of(point: SweepPoint) -> list[str]:
    """Return the settings that are null in a case of this point, since its workload has no use for them."""
    used = used_by(point.settings["workload"]).union(map(group_of, point.of_workload))
    kept = {*used, *NEVER_IN_ID, *OF_EVERY_PLAN, "workload"}
    return [name for name in point.settings if name in _shared(point) and name not in kept]


def note_unused(points: Sequence[SweepPoint]) -> list[SweepPoint]:
    """Add to `inapplicable` the settings that were named in vain, unless they are null."""
    return [replace(point, inapplicable=[*point.inapplicable, *_in_vain(point)]) for point in points]


def drop_inapplicable(points: Sequence[SweepPoint], alone: Alone) -> list[SweepPoint]:
    """Return the points without settings that their options do not have or fix; these are then in `inapplicable`."""
    places = {
        (group_of(key), point.chosen.get(group_of(key))) for point in points for key in (*point.forced, *point.fixed)
    }
    known = {
        (group, name): alone(points[0].folder, group, name)
        for group, name in sorted((a, b) for a, b in places if b is not None)
    }
    return [_with_its_own(point, known) for point in points]


def inapplicable_to_all(points: Sequence[SweepPoint]) -> list[str]:
    """Return the named keys that apply to no point."""
    return sorted(set.intersection(*(set(point.inapplicable) for point in points))) if points else []


def is_why(typed: Collection[str], key: str, points: Sequence[SweepPoint]) -> bool:
    """Tell whether the command line can be why a setting that a sweep's file names does not apply."""
    needs = {other for point in points for other in unmet(point.settings, group_of(key))}
    # What only a workload's own settings have, an option may set, as an algorithm its estimator.
    groups = {group for point in points for group in point.chosen} if needs - _of_run() else set()
    return bool({group_of(key), "workload", *needs, *groups} & set(typed) - {key})


def refusal_of(key: str, points: Sequence[SweepPoint]) -> str:
    """Say why a setting that applies to no point must not be set."""
    if any(key in point.fixed for point in points):
        return IS_FIXED.format(key=key, option=points[0].chosen[group_of(key)])
    vain = [point for point in points if not has_use_for(point, key)]
    return _said_of(key, vain) if vain else no_such_setting(key)


def no_such_setting(key: str, known: Iterable[str] = ()) -> str:
    """Say that there is no such key, and who has it, or which of the `known` keys may have been meant."""
    if key in SETTINGS:
        return f"there is no setting {key!r}; did you mean {SETTINGS[key][0]}?"
    if key == "experiment":
        return (
            f"there is no setting {key!r}; yours is a sweep: sweep/NAME.yaml below --config-dir, run by -m sweep=NAME"
        )
    group, _, name = key.partition(".")
    of_options = {option: leaves(read_choice(group, option)) for option in choices(group)} if name else {}
    having = [option for option, names in of_options.items() if name in names]
    beside = [name for names in of_options.values() for name in names]
    beside += [key.partition(".")[2] for key in known if group_of(key) == group]
    meant = did_you_mean(name, beside, before=f"{group}.") if name else did_you_mean(key, known)
    owners = workloads_with(group) if group not in map(group_of, known) else []
    if owners:
        launchers = f", and a launcher is {' or '.join(choices(LAUNCHER))}" if key == ENGINE else ""
        return f"there is no setting {key!r} of this workload; {_listed('workload', owners)} has it{launchers}"
    if having:
        return f"there is no setting {key!r} of this {group}; {_listed(group, having)} has it"
    return f"there is no setting {key!r}{meant}" if meant else NO_SUCH_SETTING.format(key)


def workloads_with(name: str) -> list[str]:
    """Return those of the suite's workloads that use a setting or a group."""
    return [
        workload
        for workload in choices("workload")
        if name in used_by(workload_definition(workload))
        or (workload in choices("settings") and name in read_settings(workload))
    ]


def as_if_not_named(points: Sequence[SweepPoint], keys: Collection[str]) -> list[SweepPoint]:
    """Return the points without the keys, which apply to none of them."""

    def others(names: Sequence[str]) -> list[str]:
        return [name for name in names if name not in keys]

    return [
        replace(point, named=others(point.named), forced=others(point.forced), inapplicable=others(point.inapplicable))
        for point in points
    ]


def _with_its_own(point: SweepPoint, alone: Mapping[tuple[str, str], Any]) -> SweepPoint:
    """A point with its options' own values in place of those that do not apply to them."""
    inapplicable, settings = list(point.fixed), point.settings
    for key in point.forced:
        has = alone.get((group_of(key), point.chosen.get(group_of(key), "")))
        if has is not None and key not in leaves(has, f"{group_of(key)}."):
            inapplicable.append(key)
            settings = without(settings, [key])
    for key in point.fixed:
        group, _, name = key.partition(".")
        settings = {**settings, group: {**settings[group], name: alone[group, point.chosen[group]][name]}}
    return replace(point, settings=settings, inapplicable=inapplicable)


def _in_vain(point: SweepPoint) -> list[str]:
    unknown = [key for key in dict.fromkeys(point.named) if key not in point.inapplicable]
    return [key for key in unknown if point.is_set(key) and not has_use_for(point, key)]


def _said_of(key: str, points: Sequence[SweepPoint]) -> str:
    """Say why none of these points has a use for a setting, and what to set in its place."""
    place, point = _place(key), points[0]
    name, workload = group_of(place), point.settings["workload"]
    ours = _listed("workload", sorted({point.chosen["workload"] for point in points}))
    others = [other for other in workloads_with(name) if other != point.chosen["workload"]]
    if needs := unmet(point.settings, name):
        asked = " and ".join(_listed(other, values) for other, values in needs.items())
        got = ", ".join(f"{other}={as_typed(point.settings[other])}" for other in needs)
        return f"{key} applies to {asked} only; got {got}"
    if name in used_by(workload) and place in workload.get("unused", ()):
        return f"{key} changes nothing under {ours}, and must not be set"
    if instead := workload.get("instead", {}).get(name):
        return f"{key} is no setting of {ours}, which has {instead} in its place"
    if others and "workload" not in point.named:
        add = f"add {_listed('workload', others)}"
        return f"{key} is a setting of {_listed('workload', others)}, and none of {ours}, which is the default: {add}"
    if len({point.chosen["workload"] for point in points}) > 1:
        return f"{key} is no setting of {ours}"
    *some, last = dict.fromkeys([*workload["axes"], *sorted(used_by(workload))])
    more = f" and what conf/settings/{point.chosen['workload']}.yaml has" if point.of_workload else ""
    return f"{key} is no setting of {ours}, which has {', '.join(some)}{',' if more else ' and'} {last}{more}"


def _listed(name: str, values: Sequence[Any]) -> str:
    """Write `workload=rl`, `phase=decode or prefill`."""
    *some, last = map(as_typed, values)
    return f"{name}={', '.join(some)} or {last}" if some else f"{name}={last}"


def _place(key: str) -> str:
    """Where a key's settings are: behind an @, if not under its own name."""
    return key.rpartition("@")[2]


def _shared(point: SweepPoint) -> set[str]:
    """The names that workloads share: the keys of run.yaml, and the groups."""
    return {*_of_run(), *point.chosen}


@functools.cache
def _of_run() -> frozenset[str]:
    return groups() | set(read_yaml("run.yaml")) - {"defaults"}
