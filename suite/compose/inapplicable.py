"""Settings that a point of a sweep, or a single run, has no use for, and what is said of those that were named.

Of the workload: what it uses is its axes, what its `only` and `uses` name, its own file of settings, and what the suite
itself reads of a case of its kind. Of an option beside others, as in `attention=mha,gqa,mla attention.kv_heads=2,4`:
those that do not have such a setting, or fix it, have it as null. What an option has is seen by composing it alone.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.compose.point import IS_FIXED, NO_SUCH_SETTING, Composed, group_of, leaves
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
OF_THE_COMMAND = ("leave_out", "parts", "resume", "report", "workers")
"""Settings that no case has."""
OF_A_COURSE = ("telemetry",)
OF_A_TIMED_CASE = ("measure", "telemetry", "seed", "profile", "price_per_device_hour")
"""What the suite reads of every case that repeats its step, whatever the workload."""
OF_EVERY_PLAN = ("device", "dtype", "threads", "seed")
"""Keep their values where they have no effect, since all plans are asked for them."""


def used_by(workload: Mapping[str, Any]) -> set[str]:
    """Return the settings and groups that a workload uses, by its YAML, beside those of its own file."""
    of_kind = () if "_target_" not in workload else OF_A_COURSE if workload.get("course") else OF_A_TIMED_CASE
    return {*workload["axes"], *workload.get("only", {}), *workload.get("uses", ()), *of_kind}


def has_use_for(point: Composed, key: str) -> bool:
    """Tell whether a setting can change what a point measures, or how; one that nobody knows is refused elsewhere."""
    place = _place(key)
    name, workload = group_of(place), point.settings["workload"]
    is_own = name in used_by(workload) or name in map(group_of, point.of_workload)
    if name in (*OF_THE_COMMAND, "hydra", "sweep", "workload") or not (is_own or name in _shared(point)):
        return True
    return is_own and not {name, place} & {*workload.get("unused", ())} and not unmet(point.settings, name)


def unused_of(point: Composed) -> list[str]:
    """Return the settings that are null in a case of this point, since its workload has no use for them."""
    used = used_by(point.settings["workload"]).union(map(group_of, point.of_workload))
    kept = {*used, *NEVER_IN_ID, *OF_EVERY_PLAN, "workload"}
    return [name for name in point.settings if name in _shared(point) and name not in kept]


def without_the_unused(points: Sequence[Composed]) -> list[Composed]:
    """Return the points with what was named in vain among `strange`. A null says that there is none."""
    return [replace(one, strange=[*one.strange, *filter(one.is_set, _in_vain(one))]) for one in points]


def without_strangers(points: Sequence[Composed], alone: Alone) -> list[Composed]:
    """The points without those settings that their own options do not know or fix; their keys are then in `strange`."""
    places = {(group_of(key), one.chosen.get(group_of(key))) for one in points for key in (*one.forced, *one.fixed)}
    known = {
        (group, name): alone(points[0].folder, group, name)
        for group, name in sorted((a, b) for a, b in places if b is not None)
    }
    return [_with_its_own(one, known) for one in points]


def strange_to_all(points: Sequence[Composed]) -> list[str]:
    return sorted(set.intersection(*(set(one.strange) for one in points))) if points else []


def is_why(typed: Collection[str], key: str, points: Sequence[Composed]) -> bool:
    """Tell whether what the command line sets can have made strange what a sweep's file names."""
    needs = {other for one in points for other in unmet(one.settings, group_of(key))}
    # What only a workload's own settings have, an option may set, as an algorithm its estimator.
    groups = {group for one in points for group in one.chosen} if needs - _of_run() else set()
    return bool({group_of(key), "workload", *needs, *groups} & set(typed) - {key})


def refusal_of(key: str, points: Sequence[Composed]) -> str:
    """Why a setting that is strange to all points must not be set."""
    if any(key in one.fixed for one in points):
        return IS_FIXED.format(key=key, option=points[0].chosen[group_of(key)])
    vain = [one for one in points if not has_use_for(one, key)]
    return _said_of(key, vain) if vain else no_such_setting(key)


def no_such_setting(key: str, known: Iterable[str] = ()) -> str:
    """Say that there is no such key, and who has it, or which of the `known` keys may have been meant."""
    if key in SETTINGS:
        return f"there is no setting {key!r}; did you mean {SETTINGS[key][0]}?"
    group, _, name = key.partition(".")
    of_options = {option: leaves(read_choice(group, option)) for option in choices(group)} if name else {}
    having = [option for option, names in of_options.items() if name in names]
    beside = [one for names in of_options.values() for one in names]
    beside += [one.partition(".")[2] for one in known if group_of(one) == group]
    meant = did_you_mean(name, beside, before=f"{group}.") if name else did_you_mean(key, known)
    owners = workloads_with(group) if group not in map(group_of, known) else []
    if owners:
        return f"there is no setting {key!r} of this workload; {_listed('workload', owners)} has it"
    if having:
        return f"there is no setting {key!r} of this {group}; {_listed(group, having)} has it"
    return f"there is no setting {key!r}{meant}" if meant else NO_SUCH_SETTING.format(key)


def workloads_with(name: str) -> list[str]:
    """Return those of the suite's workloads that use a setting or a group."""
    return [one for one in choices("workload") if name in used_by(workload_definition(one)) | set(_own_settings(one))]


def as_if_not_named(points: Sequence[Composed], keys: Collection[str]) -> list[Composed]:
    """The points with no word of settings that are strange to all of them."""

    def others(names: Sequence[str]) -> list[str]:
        return [name for name in names if name not in keys]

    return [
        replace(one, named=others(one.named), forced=others(one.forced), strange=others(one.strange)) for one in points
    ]


def _with_its_own(one: Composed, alone: Mapping[tuple[str, str], Any]) -> Composed:
    """A point with what its options have by themselves instead of what does not apply to them."""
    strange, settings = list(one.fixed), one.settings
    for key in one.forced:
        has = alone.get((group_of(key), one.chosen.get(group_of(key), "")))
        if has is not None and key not in leaves(has, f"{group_of(key)}."):
            strange.append(key)
            settings = without(settings, [key])
    for key in one.fixed:
        group, _, name = key.partition(".")
        settings = {**settings, group: {**settings[group], name: alone[group, one.chosen[group]][name]}}
    return replace(one, settings=settings, strange=strange)


def _in_vain(one: Composed) -> list[str]:
    return [key for key in dict.fromkeys(one.named) if key not in one.strange and not has_use_for(one, key)]


def _said_of(key: str, points: Sequence[Composed]) -> str:
    """Say why none of these points has a use for a setting, and what to set in its place."""
    place, point = _place(key), points[0]
    name, workload = group_of(place), point.settings["workload"]
    ours = _listed("workload", sorted({one.chosen["workload"] for one in points}))
    others = [one for one in workloads_with(name) if one != point.chosen["workload"]]
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
    if len({one.chosen["workload"] for one in points}) > 1:
        return f"{key} is no setting of {ours}"
    *some, last = dict.fromkeys([*workload["axes"], *sorted(used_by(workload))])
    more = f" and what conf/settings/{point.chosen['workload']}.yaml has" if point.of_workload else ""
    return f"{key} is no setting of {ours}, which has {', '.join(some)}{',' if more else ' and'} {last}{more}"


def _listed(name: str, values: Sequence[Any]) -> str:
    """Write `workload=rl`, `phase=decode or prefill`."""
    *some, last = map(as_typed, values)
    return f"{name}={', '.join(some)} or {last}" if some else f"{name}={last}"


def _place(key: str) -> str:
    """Return where a key's settings are: behind an @, if not under its own name."""
    return key.rpartition("@")[2]


def _shared(point: Composed) -> set[str]:
    """Return the names that workloads share: the keys of run.yaml, and the groups."""
    return {*_of_run(), *point.chosen}


@functools.cache
def _of_run() -> frozenset[str]:
    return groups() | set(read_yaml("run.yaml")) - {"defaults"}


def _own_settings(workload: str) -> Mapping[str, Any]:
    return read_settings(workload) if workload in choices("settings") else {}
