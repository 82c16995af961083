"""The name of a case, and the key that two runs of the same case share.

The id names what was measured, is equal on every machine and commit, and reads as the command line that repeats it.
The run key adds everything that could change the numbers: settings, the code that the case reaches, the machine. Only
resuming uses it.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from suite.configuration.files import in_phase
from suite.records import labels
from suite.records.aliases import CAME_LATER, axes_by_one_name, axes_today, pairs_today, settings_today
from suite.records.machine.code import code_digest
from suite.records.machine.environment import machine_id, machine_kind
from suite.records.machine.privacy import of_setting

NEVER_IN_ID = (
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


OF_CONFIGURATION = ("axes", "only", "named_only", "uses", "unused", "instead", "fixed", "reaches", "aliases")
"""Keys of an option's file about settings or code. They are no settings themselves."""
OWN_CODE = re.compile(r"suite(\.[A-Za-z_]\w*)+")
"""A dotted name of this package's code, such as a `_target_`, a `shape` or a `plan`."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A workload's name, its named axes in their fixed order, and further settings that somebody named."""

    workload: str
    axes: Mapping[str, Any]
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return " ".join(f"{name}={as_typed(value)}" for name, value in _pairs(self).items())

    def today(self, settings: Mapping[str, Any]) -> "Case":
        """The same under the names of today; it and its settings may be older."""
        return replace(self, axes=axes_today(self.axes, settings), extras=pairs_today(self.extras))

    @property
    def settings(self) -> dict[str, str]:
        """All that the id says, each value as it is typed; empty where a setting does not apply."""
        return {name: "" if value is None else as_typed(value) for name, value in _pairs(self).items()}

    def shown(self, name: str) -> str:
        """A setting's value as a table shows it: a dash where the case has none."""
        return self.settings.get(name) or "-"


def _pairs(case: Case) -> dict[str, Any]:
    """All that the id says, in its order."""
    return {"workload": case.workload, **case.axes, **dict(sorted(case.extras.items()))}


def command_of(case: Case) -> str:
    """The command line that runs a case again; what does not apply to it is left unsaid."""
    pairs = [(name, value) for name, value in _pairs(case).items() if value is not None]
    return shlex.join(["suite", "run", *(f"{name}={as_typed(value)}" for name, value in pairs)])


def commands_again(cases: Sequence[Case]) -> list[str]:
    """One command line for cases that differ in a single axis, as in their seed; else one for each."""
    names = list(labels.differing(case.settings for case in cases))
    if len(names) != 1 or names[0] not in cases[0].axes:
        return list(dict.fromkeys(map(command_of, cases)))
    every = ",".join(dict.fromkeys(as_typed(case.axes[names[0]]) for case in cases))
    return [command_of(replace(cases[0], axes={**cases[0].axes, names[0]: every})).replace("run", "run -m", 1)]


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
    """What the workload's `only` or `named_only` asks of other settings for this one to apply, and is not so:
    their values, any of which will do."""
    workload = settings["workload"]
    needs = {**workload.get("only", {}), **workload.get("named_only", {})}.get(name, {})
    asked = {other: value if isinstance(value, list) else [value] for other, value in needs.items()}
    return {other: values for other, values in asked.items() if settings[other] not in values}


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What two records of one id must agree in.

    How a case was measured does not count, nor does the place of the suite's own code, which the code digest covers. A
    setting that does not apply, or is at the value it had before it came, counts as one that an older record does not
    have yet. An older record has the mode that its code had.
    """
    return {
        key: {
            name: inner
            for name, inner in value.items()
            if name not in OF_CONFIGURATION and CAME_LATER.get(f"{key}.{name}", _NOTHING) != inner
        }
        if isinstance(value, Mapping)
        else value
        for key, value in _without_own_code(settings_today(settings)).items()
        if key not in NEVER_IN_ID and value is not None and CAME_LATER.get(key) != value
    }


def _without_own_code(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out every setting that is a dotted name within this package; another package's names stay."""
    return {
        key: _without_own_code(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if not (isinstance(value, str) and OWN_CODE.fullmatch(value))
    }


_NOTHING = object()


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
    told_apart = [key for key in named if key not in (*axes, "workload") and key.split(".")[0] not in NEVER_IN_ID]
    extras = {
        key: None if key in inapplicable else _plain(key, _chosen_or_set(settings, chosen, key)) for key in told_apart
    }
    return Case(workload=workload["name"], axes=axes_by_one_name(axes), extras=extras)


def run_key(case: Case, settings: Mapping[str, Any], *, spread: bool = False) -> str:
    """The sha256 over the case, its resolved settings, the code that it reaches and this machine.

    `spread`: over this machine's kind in its place, so that machines alike have one key and share the case.
    """
    machine = machine_kind() if spread else machine_id()
    return run_key_on(machine, code_digest(settings), case, settings)


def run_key_on(machine: str, code: str, case: Case, settings: Mapping[str, Any]) -> str:
    """The run key that a case has on a machine of this id, with code of this digest."""
    parts = [case.id, json.dumps(settings, sort_keys=True), code, machine]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _chosen_or_set(settings: Mapping[str, Any], chosen: Mapping[str, str], key: str) -> Any:
    """A group's option by its name; null where the workload has no use for it. Behind an @ stands where its
    settings are, if not under the group's name."""
    found = value_under(settings, key.rpartition("@")[2])
    return chosen[key] if key in chosen and found is not None else found


def value_under(settings: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key; None where the command line took it away."""
    value: Any = settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _plain(name: str, value: Any) -> Any:
    """A value that may stand in an id: one line, and the same on every machine, so without its paths."""
    text = value if isinstance(value, str) else json.dumps(value) if isinstance(value, list | dict) else None
    return value if text is None else of_setting(name, " ".join(text.split()))


def as_typed(value: Any) -> str:
    """A setting as an id and a command line write it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
