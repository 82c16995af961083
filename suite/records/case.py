"""The name of a case, and the key that two runs of the same case share.

The id names what was measured, is equal on every machine and commit, and reads as the command line that repeats it.
The run key adds everything that could change the numbers: settings, the code that the case reaches, the machine. Only
resuming uses it.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from suite.configuration.devices import kind_of
from suite.configuration.files import in_phase
from suite.machine.code import code_digest
from suite.machine.environment import machine_id, machine_kind
from suite.machine.privacy import clean_setting
from suite.records import aliases, labels

KEYS_NOT_IN_ID = (
    "measure",
    "telemetry",
    "resume",
    "profile",
    "price_per_device_hour",
    "launcher",
    "hydra",
    "sweep",
    "leave_out",
    "parts",
    "report",
    "workers",
    "spread",
    "objective",
)
"""Settings that say how, not what, is measured; they and all below them stay out of the id."""

CONFIG_ONLY_KEYS = ("axes", "only", "named_only", "uses", "unused", "instead", "fixed", "reaches", "aliases")
"""Keys of an option's file about settings or code. They are no settings themselves."""
OWN_CODE = re.compile(r"suite(\.[A-Za-z_]\w*)+")
"""A dotted name of this package's code, such as a `_target_`, a `shape` or a `plan`."""
OF_A_COURSE = ("workload", "task", "seed")
"""Settings that courses which are compared have in common, as `task.digits` is one of `task`."""
ARMS = ("attention", "backend", "match", "cache_dtype", "page_size")
"""Settings in which timed cases that are compared differ."""
_NOTHING = object()


@dataclass(frozen=True, kw_only=True)
class Case:
    """A workload's name, its named axes in their fixed order, and further settings that somebody named."""

    workload: str
    axes: Mapping[str, Any]
    extras: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """All settings as a command line has them: `workload=attention attention=mla seq_len=4096`."""
        return " ".join(f"{name}={as_typed(value)}" for name, value in self.values.items())

    @property
    def values(self) -> dict[str, Any]:
        """All that the id says, in its order: workload, axes, further settings by name."""
        return {"workload": self.workload, **self.axes, **dict(sorted(self.extras.items()))}

    @property
    def settings(self) -> dict[str, str]:
        """The values of the id as they are typed; empty where a setting does not apply."""
        return {name: "" if value is None else as_typed(value) for name, value in self.values.items()}

    def cell(self, name: str) -> str:
        """A setting as a table shows it; `-` where the case has none."""
        return self.settings.get(name) or "-"

    def today(self, settings: Mapping[str, Any]) -> "Case":
        """The case under the names of today; it and its settings may be older."""
        return replace(self, axes=aliases.axes_today(self.axes, settings), extras=aliases.pairs_today(self.extras))


def comparison_key(case: Case, settings: Mapping[str, Any]) -> Hashable:
    """Equal for cases that are compared with one another, which one machine should therefore run.

    Timed cases are compared where they differ in ARMS alone, and courses where they have a task and a seed in common.
    What is computed is the same on each machine.
    """
    workload = settings.get("workload")
    if not isinstance(workload, Mapping) or "_target_" not in workload:
        return case.id
    is_course, values = bool(workload.get("course", False)), case.values
    return tuple(
        (name, values[name])
        for name in values
        if (name.partition(".")[0] in OF_A_COURSE if is_course else name.partition(".")[0] not in ARMS)
    )


def command_line(case: Case) -> str:
    """The command line that runs a case again, without what does not apply to it."""
    settings = [f"{name}={as_typed(value)}" for name, value in case.values.items() if value is not None]
    return shlex.join(["suite", "run", *settings])


def commands_again(cases: Sequence[Case]) -> list[str]:
    """One command line for cases that differ in a single axis, as in their seed; else one for each."""
    names = list(labels.differing(case.settings for case in cases))
    if len(names) != 1 or names[0] not in cases[0].axes:
        return list(dict.fromkeys(map(command_line, cases)))
    values = ",".join(dict.fromkeys(as_typed(case.axes[names[0]]) for case in cases))
    return [command_line(replace(cases[0], axes={**cases[0].axes, names[0]: values})).replace("run", "run -m", 1)]


def without_inapplicable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with null for each axis that does not apply and with each option as it is in the case's
    phase, so that equal cases have equal settings."""
    workload = settings["workload"]
    inapplicable = [axis for axis in workload.get("only", {}) if unmet(settings, axis)]
    unused = [name for name in workload.get("unused", ()) if name in settings]
    applied = {**settings, **dict.fromkeys([*inapplicable, *unused])}
    phase = applied.get("phase")
    return {key: in_phase(value, phase) if isinstance(value, Mapping) else value for key, value in applied.items()}


def unmet(settings: Mapping[str, Any], name: str) -> dict[str, list[Any]]:
    """Conditions of a setting, by the workload's `only` and `named_only`, that the settings do not meet: accepted
    values by the name of the other setting."""
    workload = settings["workload"]
    conditions = {**workload.get("only", {}), **workload.get("named_only", {})}.get(name, {})
    accepted = {other: value if isinstance(value, list) else [value] for other, value in conditions.items()}
    kinds = {**settings, "device": kind_of(settings.get("device"))}  # what cuda has, cuda:1 has
    return {other: values for other, values in accepted.items() if kinds.get(other) not in values}


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record's settings that two records of one id must have alike.

    How a case was measured does not count, nor does the place of the suite's own code, which the code digest covers. A
    setting that does not apply, or is at the value it had before it came, counts as one that an older record does not
    have yet. An older record has the mode that its code had.
    """
    return {
        key: {
            name: inner
            for name, inner in value.items()
            if name not in CONFIG_ONLY_KEYS and aliases.EARLIER_DEFAULTS.get(f"{key}.{name}", _NOTHING) != inner
        }
        if isinstance(value, Mapping)
        else value
        for key, value in _without_own_code(aliases.settings_today(settings)).items()
        if key not in KEYS_NOT_IN_ID and value is not None and aliases.EARLIER_DEFAULTS.get(key) != value
    }


def _without_own_code(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out every setting that is a dotted name within this package; another package's names stay."""
    return {
        key: _without_own_code(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if not (isinstance(value, str) and OWN_CODE.fullmatch(value))
    }


def without(settings: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The settings without these dotted keys."""
    result = dict(settings)
    for key in keys:
        first, _, rest = key.partition(".")
        if rest and isinstance(result.get(first), Mapping):
            result[first] = without(result[first], [rest])
        elif not rest:
            result.pop(first, None)
    return result


def case_from(
    settings: Mapping[str, Any], *, chosen: Mapping[str, str], named: Iterable[str], inapplicable: Collection[str] = ()
) -> Case:
    """Build a case from resolved settings.

    `chosen`: the option taken in each configuration group. `named`: the settings that the command line or the sweep
    names, as dotted keys. `inapplicable`: those of them that do not apply, and so are null.
    """
    workload = settings["workload"]
    axes = {axis: _plain(axis, chosen.get(axis, settings.get(axis))) for axis in workload["axes"]}
    extras = {}
    for key in named:
        if key in (*axes, "workload") or key.split(".")[0] in KEYS_NOT_IN_ID:
            continue
        # Behind an @ stands where a group's settings are, if not under its name. Null: the workload has no use for it.
        value = value_under(settings, key.rpartition("@")[2])
        is_option = key in chosen and value is not None
        extras[key] = None if key in inapplicable else _plain(key, chosen[key] if is_option else value)
    return Case(workload=workload["name"], axes=aliases.axes_by_one_name(axes), extras=extras)


def run_key(case: Case, settings: Mapping[str, Any], *, spread: bool = False) -> str:
    """The sha256 over the case, its resolved settings, the code that it reaches and this machine.

    `spread`: over this machine's kind in its place, so that machines alike have one key and share the case.
    """
    machine = machine_kind() if spread else machine_id()
    return run_key_on(machine, code_digest(settings), case, settings)


def run_key_on(machine: str, code: str, case: Case, settings: Mapping[str, Any]) -> str:
    """The run key that a case has on a machine of this id, with code of this digest."""
    parts = [case.id, json.dumps(settings, sort_keys=True), code, machine]  # sorted: order is no difference
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def value_under(settings: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key; None where the command line took it away."""
    value: Any = settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _plain(name: str, value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value) if isinstance(value, list | dict) else None
    return value if text is None else clean_setting(name, " ".join(text.split()))


def as_typed(value: Any) -> str:
    """A setting as an id and a command line write it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
