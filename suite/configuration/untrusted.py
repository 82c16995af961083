"""JSON and YAML from people and other machines, as plain values: nothing in them is run.

What cannot be read is refused in a few words that follow the file's name. Python's own readers take NaN and one key
twice, which would hide a mistake.
"""

import json
import math
import sys
from typing import Any

import yaml

MOST_DIGITS = 20
"""Of a whole number: a longer one fits into no column and no float."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_json(content: bytes) -> Any:
    """The parsed value. Raises ValueError for what is not plain JSON in UTF-8."""
    try:
        return json.loads(
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
        raise ValueError("has too many levels") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a mapping, whose texts are shared: thousands of records repeat them. Raises ValueError for a key
    that stands twice."""
    content = {sys.intern(name): sys.intern(value) if type(value) is str else value for name, value in pairs}
    if len(content) < len(pairs):
        raise ValueError("has one key twice in an object")
    return content


def whole_number(text: str) -> int:
    """Read a whole number. Raises ValueError for one of more than MOST_DIGITS digits."""
    if len(text) > MOST_DIGITS:
        raise ValueError(f"has a whole number of more than {MOST_DIGITS} digits")
    return int(text)


def finite_number(text: str) -> float:
    """Read a number. Raises ValueError for NaN and infinity."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("has a number that is not finite")
    return value


def parse_yaml(content: bytes, *, as_texts: bool = False) -> Any:
    """The value of one document; None of an empty one. Raises ValueError for what is no YAML, and for a key that stands
    twice. `as_texts`: nothing is a number, a time or null."""
    try:
        return yaml.load(content, Loader=_Texts if as_texts else _Plain)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"is not YAML ({' '.join(str(error).split())[:200]})") from error


class _Texts(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A YAML mapping. Raises YAMLError for a key that stands twice."""
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.YAMLError("it has one key twice in a mapping")
        return mapping


class _Plain(_Texts, _LOADER):  # type: ignore[misc, valid-type]
    """As a safe loader reads it."""
