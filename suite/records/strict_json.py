"""JSON from strangers: what Python's reader takes and later breaks on is refused where it is read.

That reader takes NaN, numbers of any length, one key twice and objects within objects as deep as the stack goes.
"""

import json
import math
from typing import Any

MOST_LEVELS, MOST_VALUES, MOST_DIGITS = 32, 50_000, 20
"""Records of ours have 7 levels, 400 values and 11 digits."""


def strict_json(content: bytes, *, most_values: int = MOST_VALUES) -> tuple[Any, int]:
    """Return the value and how many values it holds. Raises ValueError, in a few words, for what is not plain JSON in
    UTF-8 or holds more than ours ever do."""
    try:
        found = json.loads(
            content.decode(),
            parse_int=whole_number,
            parse_float=finite_number,
            parse_constant=finite_number,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError("is not JSON") from error
    except RecursionError as error:
        raise ValueError(f"has more than {MOST_LEVELS} levels") from error
    return found, _count(found, most_values)


def _count(value: Any, most_values: int) -> int:
    count, level, levels = 0, [value], 0
    while level:
        count, levels = count + len(level), levels + 1
        if levels > MOST_LEVELS:
            raise ValueError(f"has more than {MOST_LEVELS} levels")
        if count > most_values:
            raise ValueError(f"has more than {most_values} values")
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return count


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("has one key twice in an object")
    return found


def whole_number(text: str) -> int:
    """Read a whole number. Raises ValueError for one of more than MOST_DIGITS digits, which takes quadratic time."""
    if len(text) > MOST_DIGITS:
        raise ValueError(f"has a whole number of more than {MOST_DIGITS} digits")
    return int(text)


def finite_number(text: str) -> float:
    """Read a number. Raises ValueError for NaN and infinity."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("has a number that is not finite")
    return value
