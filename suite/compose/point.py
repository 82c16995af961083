"""One point of a sweep, or the single run, as its settings were composed; and the points that a sweep leaves out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.records.case import value_under

NO_SUCH_SETTING = "there is no setting {!r}; the settings are the keys of conf/run.yaml and of the chosen groups"
CODE = ("_target_", "shape")
IS_FIXED = "{key} is what makes {option} what it is, and must not be set"


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """One point of a sweep, or the single run."""

    settings: dict[str, Any]
    chosen: dict[str, str]
    """Options by group."""
    named: list[str]
    """Dotted keys that the command line or the sweep's file sets."""
    folder: Path
    is_sweep: bool
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
        return [key for key in self.named if key.partition(".")[2] in fixed_by(self.settings.get(group_of(key)))]


def fixed_by(option: Any) -> Sequence[str]:
    """The settings that an option fixes, and the code that it puts in place by phase."""
    if not isinstance(option, Mapping):
        return ()
    return [*option.get("fixed", ()), *(CODE if "in_phase" in option else ())]


def group_of(key: str) -> str:
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
        _refuse_unknown((name for name in some if group_of(name) not in point.settings | point.chosen), point)
        if all(point.chosen.get(name, value_under(point.settings, name)) == value for name, value in some.items()):
            return True
    return False


def _refuse_unknown(names: Iterable[str], point: SweepPoint) -> None:
    if point.is_sweep and (unknown := sorted(names)):
        raise ValueError(NO_SUCH_SETTING.format(unknown[0]))
