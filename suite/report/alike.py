"""What cases have in common and what tells them apart: names with values, as cases and what is compared have them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Pairs = tuple[tuple[str, str], ...]
T = TypeVar("T")


def differing(keys: Sequence[Pairs]) -> set[str]:
    """Names whose values are not the same in all."""
    names = {name for key in keys for name, _ in key}
    return {name for name in names if len({dict(key).get(name, "") for key in keys}) > 1}


def grouped(items: Iterable[T], key: Callable[[T], Pairs]) -> dict[Pairs, list[T]]:
    found: dict[Pairs, list[T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return dict(found)
