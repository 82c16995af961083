"""A sweep's parts and the points that it leaves out.

A sweep of several parts says what no single cross product says, such as five seeds of one task and three of another. A
part is a mapping from settings to a value or to several, comma-separated, as on the command line:
`{task: sort, attention: "mha,mla", attention.kv_lora_rank: "8,16"}`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from suite.compose.overrides import bare
from suite.compose.point import NO_SUCH_SETTING, SweepPoint, group_of, leaves
from suite.records.case import as_typed, value_under

OF_THE_WHOLE_SWEEP = ("hydra", "sweep", "parts")


def checked_parts(parts: Any) -> list[dict[str, Any]]:
    """Return the parts of a sweep. Raises ValueError unless they are a list of such mappings."""
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) and part for part in parts):
        raise ValueError(f"parts must be a list of settings, as [{{task: sort, seed: '0,1,2'}}]; got {parts!r}")
    for key, value in ((key, value) for part in parts for key, value in part.items()):
        if re.split(r"[./@]", bare(str(key)))[0] in OF_THE_WHOLE_SWEEP:
            raise ValueError(f"a part must not set {key}, which is of the whole sweep")
        if isinstance(value, list | Mapping) or value == "":
            raise ValueError(f"{key} in a part must be a value or several, as '0,1,2'; got {value!r}")
    return [{str(key): value for key, value in part.items()} for part in parts]


def overrides_of(part: Mapping[str, Any], *, typed: Collection[str]) -> list[str]:
    """Write a part as a command line has it, without the keys that the command line itself sets: `typed`."""
    return [f"{key}={as_typed(value)}" for key, value in part.items() if bare(key) not in typed]


def without_left_out(points: Sequence[SweepPoint]) -> list[SweepPoint]:
    """Return the points that `leave_out` lets be. Raises ValueError for a name in it that is no setting of any."""
    left = [point for point in points if not is_left_out(point)]
    below_groups = {name for point in points for some in point.settings["leave_out"] for name in some if "." in name}
    unknown = sorted(below_groups.difference(*((*point.named, *leaves(point.settings)) for point in points)))
    if unknown and points[0].is_sweep:
        raise ValueError(NO_SUCH_SETTING.format(unknown[0]))
    return left


def is_left_out(point: SweepPoint) -> bool:
    """Tell whether `leave_out` names this point of a sweep, by a few of its settings.

    A setting that the point's options do not have is null. Raises ValueError for a name of no setting.
    """
    left_out = point.settings["leave_out"]
    is_list = isinstance(left_out, list) and all(isinstance(some, dict) and some for some in left_out)
    if not is_list or not all(isinstance(name, str) for some in left_out for name in some):
        raise ValueError(
            f"leave_out must be a list of points, as [{{phase: prefill, seq_len: 16384}}]; got {left_out!r}"
        )
    for some in left_out if point.is_sweep else ():
        unknown = sorted(name for name in some if group_of(name) not in point.settings | point.chosen)
        if unknown:
            raise ValueError(NO_SUCH_SETTING.format(unknown[0]))
        if all(point.chosen.get(name, value_under(point.settings, name)) == value for name, value in some.items()):
            return True
    return False
