"""One point of a sweep, or the single run: its settings, those that do not apply to it, and whether it is left out.

A workload uses its axes, the names in its `only` and `uses`, its own file of settings, and what the suite itself reads
of a case of its kind. What is named and used by no point is refused.
"""

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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
from suite.records.case import KEYS_NOT_IN_ID, as_typed, unmet, value_under

NO_SUCH_SETTING = "there is no setting {!r}; the settings are the keys of conf/run.yaml and of the chosen groups"
CODE = ("_target_", "shape")
IS_FIXED = "{key} is what makes {option} what it is, and must not be set"
OF_THE_COMMAND = ("leave_out", "parts", "resume", "report", "workers", "spread", "launcher", "objective")
"""Settings of the command, which no case has."""
OF_A_COURSE = ("telemetry", "price_per_device_hour")
OF_A_TIMED_CASE = ("measure", "telemetry", "seed", "profile", "price_per_device_hour")
"""Settings that the suite reads of every case that repeats its step, of any workload."""
OF_EVERY_PLAN = ("device", "dtype", "threads", "seed")
"""Keep their values where they have no effect, since all plans are asked for them."""


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """One point of a sweep, or the single run."""

    settings: dict[str, Any] = field(default_factory=dict)
    chosen: dict[str, str]
    """Options by group."""
    named: list[str]
    """Dotted keys that the command line or the sweep's file sets."""
    folder: Path = Path()
    is_sweep: bool = False
    inapplicable: Sequence[str] = ()
    """Named keys that do not apply."""
    of_workload: Sequence[str] = ()
    """Settings that only this workload has, from its file in the group `settings`."""
    of_task: Sequence[str] = ()
    """Settings that the task's file sets, which only its own workload may have."""
    summary: str | None = None
    """Dotted name of the function that summarises this workload's records."""
    overrides: Sequence[str] = ()
    """The point's overrides as Hydra has them, without paths."""

    def is_set(self, key: str) -> bool:
        """Whether a named key has a value, or an option is taken in a named group."""
        return key in self.chosen or value_under(self.settings, key.rpartition("@")[2]) is not None

    @property
    def fixed(self) -> list[str]:
        """The named keys that the option taken in their group fixes, as MHA fixes its key-value heads."""
        return [key for key in self.named if key.partition(".")[2] in fixed_by(self.settings.get(group_name(key)))]


def fixed_by(option: Any) -> Sequence[str]:
    """The settings that an option fixes, and the code that it puts in place by phase."""
    if not isinstance(option, Mapping):
        return ()
    return [*option.get("fixed", ()), *(CODE if "in_phase" in option else ())]


def group_name(key: str) -> str:
    """The first part of a dotted key."""
    return key.partition(".")[0]


def leaves(content: Mapping[Any, Any], above: str = "") -> list[str]:
    """The dotted keys of all values that are no mappings."""
    keys: list[str] = []
    for key, value in content.items():
        keys += leaves(value, f"{above}{key}.") if isinstance(value, Mapping) else [f"{above}{key}"]
    return keys


def without_left_out(points: Sequence[SweepPoint]) -> list[SweepPoint]:
    """The points that `leave_out` lets be. Raises ValueError for a name in it that is no setting of any."""
    left = [point for point in points if not is_left_out(point)]
    below_groups = {name for point in points for some in point.settings["leave_out"] for name in some if "." in name}
    _refuse_unknown(below_groups.difference(*((*point.named, *leaves(point.settings)) for point in points)), points[0])
    return left


def is_left_out(point: SweepPoint) -> bool:
    """Whether `leave_out` names this point of a sweep, by a few of its settings.

    A setting that the point's options do not have is null. Raises ValueError for a name of no setting.
    """
    left_out = point.settings["leave_out"]
    is_list = isinstance(left_out, list) and all(isinstance(some, dict) and some for some in left_out)
    if not is_list or not all(isinstance(name, str) for some in left_out for name in some):
        raise ValueError(
            f"leave_out must be a list of points, as [{{phase: prefill, seq_len: 16384}}]; got {left_out!r}"
        )
    for some in left_out if point.is_sweep else ():
        _refuse_unknown((name for name in some if group_name(name) not in point.settings | point.chosen), point)
        if all(point.chosen.get(name, value_under(point.settings, name)) == value for name, value in some.items()):
            return True
    return False


def _refuse_unknown(names: Iterable[str], point: SweepPoint) -> None:
    if point.is_sweep and (unknown := sorted(names)):
        raise ValueError(NO_SUCH_SETTING.format(unknown[0]))


def used_by(workload: Mapping[str, Any]) -> set[str]:
    """The settings and groups that a workload uses, by its YAML, beside those of its own file."""
    of_kind = () if "_target_" not in workload else OF_A_COURSE if workload.get("course") else OF_A_TIMED_CASE
    return {*workload["axes"], *workload.get("only", {}), *workload.get("uses", ()), *of_kind}


def has_use_for(point: SweepPoint, key: str) -> bool:
    """Whether a setting can change what a point measures, or how; one that nobody knows is refused elsewhere."""
    place = key.rpartition("@")[2]
    name, workload = group_name(place), point.settings["workload"]
    is_own = name in used_by(workload) or name in map(group_name, point.of_workload)
    if name in (*OF_THE_COMMAND, "hydra", "sweep", "workload") or not (is_own or name in _shared(point)):
        return True
    return is_own and not {name, place} & {*workload.get("unused", ())} and not unmet(point.settings, name)


def unused_settings(point: SweepPoint) -> list[str]:
    """The settings that are null in a case of this point, since its workload has no use for them."""
    used = used_by(point.settings["workload"]).union(map(group_name, point.of_workload))
    kept = {*used, *KEYS_NOT_IN_ID, *OF_EVERY_PLAN, "workload"}
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
    needs = {other for point in points for other in unmet(point.settings, group_name(key))}
    # What only a workload's own settings have, an option may set, as an algorithm its estimator.
    groups = {group for point in points for group in point.chosen} if needs - _of_run() else set()
    return bool({group_name(key), "workload", *needs, *groups} & set(typed) - {key})


def refusal_sentence(key: str, points: Sequence[SweepPoint]) -> str:
    """Say why a setting that applies to no point must not be set, and what to set in its place."""
    if any(key in point.fixed for point in points):
        return IS_FIXED.format(key=key, option=points[0].chosen[group_name(key)])
    points = [point for point in points if not has_use_for(point, key)]
    if not points:
        return no_such_setting(key)
    place, point = key.rpartition("@")[2], points[0]
    name, workload, own = group_name(place), point.settings["workload"], point.chosen["workload"]
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
    near = [other.partition(".")[2] for other in keys if group_name(other) == group] if name else map(group_name, keys)
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
