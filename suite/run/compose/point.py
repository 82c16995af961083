"""One point of a sweep, or the single run: its settings, those that do not apply to it, and whether it is left out.

A workload uses its axes, the names in its `only` and `uses`, its own file of settings, and what the suite itself reads
of a case of its kind. What is named and used by no point is refused.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suite.configuration import files
from suite.configuration.values import did_you_mean
from suite.records.aliases import SETTINGS
from suite.records.case import KEYS_NOT_IN_ID, as_typed, unmet, value_under

NO_SUCH_SETTING = "there is no setting {!r}; the settings are the keys of conf/run.yaml and of the chosen groups"
CODE = ("_target_", "shape")
IS_FIXED = "{key} is fixed by the option {option} and must not be set"
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

    @property
    def fixed(self) -> list[str]:
        """The named keys that the option taken in their group fixes, as MHA fixes its key-value heads."""
        return [key for key in self.named if key.partition(".")[2] in fixed_by(self.settings.get(group_name(key)))]

    @property
    def used(self) -> set[str]:
        """The settings and groups that its workload has a use for, its own file's included."""
        return used_by(self.settings["workload"]).union(map(group_name, self.of_workload))

    @property
    def shared(self) -> set[str]:
        """The names that workloads share: the keys of run.yaml, and the groups."""
        return {*_common_keys(), *self.chosen}


def fixed_by(option: Any) -> Sequence[str]:
    """The settings that an option fixes, and its keys for code if those differ by phase; empty for no mapping."""
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
    """The points that `leave_out` does not name. Raises ValueError for a name in it that is no setting of any point."""
    remaining = [point for point in points if not is_left_out(point)]
    dotted_names = {
        name for point in points for excluded in point.settings["leave_out"] for name in excluded if "." in name
    }
    settable = {key for point in points for key in (*point.named, *leaves(point.settings))}
    _refuse_unknown(dotted_names - settable, points[0])
    return remaining


def is_left_out(point: SweepPoint) -> bool:
    """Whether `leave_out` names this point of a sweep, by a few of its settings.

    A setting that the point's options do not have is null. Raises ValueError for a name of no setting.
    """
    left_out = point.settings["leave_out"]
    is_list = isinstance(left_out, list) and all(isinstance(excluded, dict) and excluded for excluded in left_out)
    if not is_list or not all(isinstance(name, str) for excluded in left_out for name in excluded):
        raise ValueError(
            f"leave_out must be a list of points, as [{{phase: prefill, seq_len: 16384}}]; got {left_out!r}"
        )
    for excluded in left_out if point.is_sweep else ():
        _refuse_unknown((name for name in excluded if group_name(name) not in point.settings | point.chosen), point)
        if all(point.chosen.get(name, value_under(point.settings, name)) == value for name, value in excluded.items()):
            return True
    return False


def _refuse_unknown(names: Iterable[str], point: SweepPoint) -> None:
    if point.is_sweep and (unknown := sorted(names)):
        raise ValueError(NO_SUCH_SETTING.format(unknown[0]))


def used_by(workload: Mapping[str, Any]) -> set[str]:
    """The settings and groups that a workload's YAML says it uses, without those of its own file of settings."""
    of_kind = () if "_target_" not in workload else OF_A_COURSE if workload.get("course") else OF_A_TIMED_CASE
    return {*workload["axes"], *workload.get("only", {}), *workload.get("uses", ()), *of_kind}


def has_use_for(point: SweepPoint, key: str) -> bool:
    """Whether a setting can change what a point measures, or how; one that nobody knows is refused elsewhere."""
    place = key.rpartition("@")[2]
    name = group_name(place)
    is_used = name in point.used
    if name in (*OF_THE_COMMAND, "hydra", "sweep", "workload") or not (is_used or name in point.shared):
        return True
    unused = point.settings["workload"].get("unused", ())
    return is_used and name not in unused and place not in unused and not unmet(point.settings, name)


def unused_settings(point: SweepPoint) -> list[str]:
    """The shared settings that are null in a case of this point, since its workload has no use for them."""
    with_value = {*point.used, *KEYS_NOT_IN_ID, *OF_EVERY_PLAN, "workload"}
    return [name for name in point.settings if name in point.shared and name not in with_value]


def inapplicable_keys(point: SweepPoint) -> list[str]:
    """The keys that do not apply to a point: those found so before, and named keys with a value but no use."""
    keys = list(point.inapplicable)
    for key in dict.fromkeys(point.named):
        is_set = key in point.chosen or value_under(point.settings, key.rpartition("@")[2]) is not None
        if key not in point.inapplicable and is_set and not has_use_for(point, key):
            keys.append(key)
    return keys


def typed_settings_decide(typed: Iterable[str], key: str, points: Sequence[SweepPoint]) -> bool:
    """Whether the command line can be why a setting that a sweep's file names does not apply."""
    conditions = {other for point in points for other in unmet(point.settings, group_name(key))}
    # What only a workload's own settings have, an option may set, as an algorithm its estimator.
    chosen = {group for point in points for group in point.chosen} if conditions - _common_keys() else set()
    return bool({group_name(key), "workload", *conditions, *chosen} & set(typed) - {key})


def refusal_sentence(key: str, points: Sequence[SweepPoint]) -> str:
    """The sentence that refuses a setting that applies to no point: why, and what to set in its place."""
    if any(key in point.fixed for point in points):
        return IS_FIXED.format(key=key, option=points[0].chosen[group_name(key)])
    points = [point for point in points if not has_use_for(point, key)]
    if not points:
        return no_such_setting(key)
    place, point = key.rpartition("@")[2], points[0]
    name, workload, its_name = group_name(place), point.settings["workload"], point.chosen["workload"]
    ours = _listed("workload", sorted({point.chosen["workload"] for point in points}))
    if conditions := unmet(point.settings, name):
        wanted = " and ".join(_listed(other, values) for other, values in conditions.items())
        got = ", ".join(f"{other}={as_typed(point.settings[other])}" for other in conditions)
        return f"{key} applies to {wanted} only; got {got}"
    if name in used_by(workload) and place in workload.get("unused", ()):
        return f"{key} changes nothing under {ours}, and must not be set"
    if instead := workload.get("instead", {}).get(name):
        return f"{key} is not a setting of {ours}; set {instead} instead"
    owners = [owner for owner in workloads_with(name) if owner != its_name]
    if owners and "workload" not in point.named:
        owner = _listed("workload", owners)
        return f"{key} is a setting of {owner}, not of {ours}, which is the default: add {owner}"
    of_file = [f"the keys of conf/settings/{its_name}.yaml"] if point.of_workload else []
    *first, last = dict.fromkeys([*workload["axes"], *sorted(used_by(workload)), *of_file])
    return f"{key} is not a setting of {ours}, which has {', '.join(first)} and {last}"


def no_such_setting(key: str) -> str:
    """The sentence that refuses a key that does not exist here: who has it, or which key may be meant."""
    absent, (group, _, name) = f"there is no setting {key!r}", key.partition(".")
    if key in SETTINGS:
        return f"{absent}; did you mean {SETTINGS[key][0]}?"
    if key == "experiment":  # as Hydra's own documentation calls it
        return f"{absent}; yours is a sweep: sweep/NAME.yaml below --config-dir, run by -m sweep=NAME"
    of_options = {option: leaves(files.read_choice(group, option), f"{group}.") for option in files.choices(group)}
    of_workloads = {workload: leaves(files.read_settings(workload)) for workload in files.choices("settings")}
    if options := [option for option, keys in of_options.items() if key in keys]:
        return f"{absent} of this {group}; it is a setting of {_listed(group, options)}"
    if owners := [owner for owner in workloads_with(group) if not name or key in of_workloads.get(owner, ())]:
        launchers = f", and a launcher is {' or '.join(files.choices('launcher'))}" if key == "engine" else ""
        return f"{absent} of this workload; it is a setting of {_listed('workload', owners)}{launchers}"
    keys = {*_common_keys(), *(key for names in (*of_options.values(), *of_workloads.values()) for key in names)}
    near = [other.partition(".")[2] for other in keys if group_name(other) == group] if name else map(group_name, keys)
    suggestion = did_you_mean(name or group, near, before=f"{group}." if name else "")
    return f"{absent}{suggestion}" if suggestion else NO_SUCH_SETTING.format(key)


def workloads_with(name: str) -> list[str]:
    """The suite's workloads that use a setting or a group."""
    used = {workload: used_by(files.workload_definition(workload)) for workload in files.choices("workload")}
    of_files = {workload: files.read_settings(workload) for workload in files.choices("settings")}
    return [workload for workload in used if name in used[workload] or name in of_files.get(workload, ())]


def _listed(name: str, values: Sequence[Any]) -> str:
    *first, last = map(as_typed, values)
    return f"{name}={', '.join(first)} or {last}" if first else f"{name}={last}"


@functools.cache
def _common_keys() -> frozenset[str]:
    return files.groups() | set(files.read_yaml("run.yaml")) - {"defaults"}
