"""Settings of one option that stand beside others in a sweep, as in `attention=mha,gqa,mla attention.kv_heads=2,4`.

Those that do not have such a setting, or fix it, have it as null. What an option has is seen by composing it alone.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.composed import IS_FIXED, NO_SUCH_SETTING, Composed, group_of, leaves
from suite.records.case import without

Alone = Callable[[Path, str, str], Any]
"""The settings of a group under one of its options, with nothing else set, for a sweep into a folder."""


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


def refusal_of(key: str, points: Sequence[Composed]) -> str:
    """Why a setting that is strange to all points must not be set."""
    is_fixed = any(key in one.fixed for one in points)
    return IS_FIXED.format(key=key, option=points[0].chosen[group_of(key)]) if is_fixed else NO_SUCH_SETTING.format(key)


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
