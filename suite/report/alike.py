"""What cases have in common and what tells them apart: names with values, as cases and what is compared have them."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from suite.records.case import CAME_LATER, as_typed, value_under
from suite.records.record import Record
from suite.report.watched import cut

Pairs = tuple[tuple[str, str], ...]
T = TypeVar("T")
AS_BEFORE = {name: as_typed(value) for name, value in CAME_LATER.items() if not isinstance(value, Mapping)}
NO_DEFAULTS: Mapping[str, str] = {}


def case_key(record: Record, named: Iterable[str], defaults: Mapping[str, str] = NO_DEFAULTS) -> Pairs:
    """Return the axes of a case, and the settings that it or another case names, without those that say nothing.

    A setting says nothing where it is absent, null, at its default, or at what it was before it came: two cases that
    differ in which of these it is are one experiment.
    """
    axes = record.case.axes
    said = [(name, _text(axes[name])) for name in axes]
    said += [(name, setting_of(record, name, defaults)) for name in sorted(set(named) - set(axes))]
    return tuple((name, value) for name, value in said if value)


def named_in(records: Iterable[Record], *, ignored: Iterable[str] = ()) -> set[str]:
    """Return the settings besides the axes that at least one of the cases names."""
    return {name for record in records for name in record.case.extras} - set(ignored)


def defaults_in(records: Collection[Record], named: Iterable[str]) -> dict[str, str]:
    """Return the value that each of these settings has wherever no case names it, of those that have one."""
    found = {}
    for name in named:
        values = {setting_of(record, name) for record in records if name not in record.case.extras} - {""}
        if len(values) == 1:
            found[name] = values.pop()
    return found


def setting_of(record: Record, name: str, defaults: Mapping[str, str] = NO_DEFAULTS) -> str:
    """Return a setting as the record resolved it, whether its case names it or not; empty where it says nothing."""
    value = record.case.extras.get(name)
    if value is None:
        value = value_under(record.settings, name)
        group, _, field = name.partition(".")
        # A size that makes the variant what it is, as MQA's single head, is none that somebody chose.
        if group == "attention" and field in _fixed(record):
            return ""
    text = _text(value)
    return "" if text in (defaults.get(name), AS_BEFORE.get(name)) else text


def _fixed(record: Record) -> Sequence[Any]:
    fixed = value_under(record.settings, "attention.fixed")
    return fixed if isinstance(fixed, list) else ()


def _text(value: Any) -> str:
    return cut(as_typed(value)) if isinstance(value, str | int | float | bool) else ""


def differing(keys: Sequence[Pairs]) -> set[str]:
    """Names whose values are not the same in all."""
    names = {name for key in keys for name, _ in key}
    return {name for name in names if len({dict(key).get(name, "") for key in keys}) > 1}


def grouped(items: Iterable[T], key: Callable[[T], Pairs]) -> dict[Pairs, list[T]]:
    found: dict[Pairs, list[T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return dict(found)
