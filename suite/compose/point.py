"""One point of a sweep, or the single run, as its settings were composed."""

from collections.abc import Mapping, Sequence
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
    named: list[str]
    forced: list[str]
    """Named keys that were written with ++, which the chosen options may not know."""
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
        """Return whether a named key has a value, or an option is taken in a named group."""
        return key in self.chosen or value_under(self.settings, key.rpartition("@")[2]) is not None

    @property
    def fixed(self) -> list[str]:
        """Return the named keys that the option taken in their group fixes, as MHA fixes its key-value heads."""
        return [key for key in self.named if key.partition(".")[2] in _fixed_by(self.settings.get(group_of(key)))]


def group_of(key: str) -> str:
    """Return the first part of a dotted key."""
    return key.partition(".")[0]


def leaves(content: Mapping[Any, Any], above: str = "") -> list[str]:
    """Return the dotted keys of all values that are no mappings."""
    found: list[str] = []
    for key, value in content.items():
        found += leaves(value, f"{above}{key}.") if isinstance(value, Mapping) else [f"{above}{key}"]
    return found


def _fixed_by(option: Any) -> Sequence[str]:
    """The settings that an option fixes, and the code that it puts in place by phase."""
    if not isinstance(option, Mapping):
        return ()
    return [*option.get("fixed", ()), *(CODE if "in_phase" in option else ())]
