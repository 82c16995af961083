"""What a stranger may have written, read at a cost that is bounded before it is paid.

Python's own readers wait for a pipe without end, take NaN, numbers of any length, one key twice and lists as deep as
the stack goes, and make 4.6 GB of 305 bytes of YAML. All that is refused here, where it is read, in a few words that
follow the file's name. Only what this package brings itself (suite.configuration.files) and what the system says of
this machine may be read in another way; a test lists those places.
"""

import json
import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MOST_LEVELS, MOST_VALUES, MOST_DIGITS = 32, 50_000, 20
"""Records of ours have 7 levels, 400 values and 11 digits."""
LONGEST_NUMBER, BLOCK_BYTES = 40, 1 << 20
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_bounded(path: Path, most_bytes: int, *, may_be_link: bool = False) -> bytes:
    """A file's whole content. Raises what `bounded_blocks` raises, as for a file of more than `most_bytes`."""
    return b"".join(bounded_blocks(path, most_bytes, may_be_link=may_be_link))


def bounded_blocks(path: Path, most_bytes: int, *, may_be_link: bool = False) -> Iterator[bytes]:
    """Yield a file's content in blocks. Raises OSError, and ValueError for what is no file, a link, or larger than
    `most_bytes`.

    `may_be_link`: a person named it, or keeps it elsewhere.
    """
    status = path.stat() if may_be_link else path.lstat()
    if stat.S_ISLNK(status.st_mode):  # it may lead anywhere
        raise ValueError("is a link")
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
        raise ValueError("is no file")
    left = most_bytes if status.st_size <= most_bytes else -1
    with path.open("rb") as file:
        while left >= 0 and (block := file.read(min(BLOCK_BYTES, left + 1))):  # it may grow meanwhile
            left -= len(block)
            if left >= 0:
                yield block
    if left < 0:
        raise ValueError(f"is larger than {most_bytes} bytes")


def parse_json(content: bytes, *, most_values: int = MOST_VALUES) -> tuple[Any, int]:
    """The parsed value, and the number of values in it. Raises ValueError for what is not plain JSON in UTF-8 or holds
    more than ours ever do."""
    # Both are counted before they take memory; in a text they count too.
    if content.count(b"{") + content.count(b"[") > most_values:
        raise ValueError(f"holds more than {most_values:,} objects and lists")
    if content.count(b",") > most_values:
        raise ValueError(f"has more than {most_values:,} values")
    try:
        value = json.loads(
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
    return value, _count(value, most_values)


def _count(value: Any, most_values: int) -> int:
    """The number of values in nested lists and mappings. Raises ValueError for more values or levels than allowed."""
    count, level, levels = 0, [value], 0  # level by level: recursion would end at a depth of its own
    while level:
        count, levels = count + len(level), levels + 1
        if levels > MOST_LEVELS:
            raise ValueError(f"has more than {MOST_LEVELS} levels")
        if count > most_values:
            raise ValueError(f"has more than {most_values:,} values")
        containers = [inner for inner in level if type(inner) is dict or type(inner) is list]
        level = [value for inner in containers for value in (inner.values() if type(inner) is dict else inner)]
    return count


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a mapping. Raises ValueError for a key that stands twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("has one key twice in an object")
    return content


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


def parse_yaml(content: bytes, *, most_values: int = MOST_VALUES, as_texts: bool = False) -> Any:
    """The value of one plain document; None of an empty one. Raises ValueError for what is no YAML, and for
    anchors, aliases, tags and keys that stand twice. `as_texts`: nothing is a number, a time or null."""
    count = levels = 0
    try:
        for event in yaml.parse(content, Loader=_LOADER):  # stops at the first that is not plain
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or getattr(event, "tag", None):
                raise ValueError("has an anchor, an alias or a tag")
            count += isinstance(event, yaml.NodeEvent)
            levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if levels > MOST_LEVELS or count > most_values:
                raise ValueError(f"has more than {MOST_LEVELS} levels or {most_values:,} values")
        return yaml.load(content, Loader=_Texts if as_texts else _Plain)
    except (yaml.YAMLError, OverflowError) as error:
        raise ValueError(f"is not YAML ({' '.join(str(error).split())[:200]})") from error


class _Texts(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A YAML mapping. Raises ValueError for a key that stands twice."""
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise ValueError("has one key twice in a mapping")
        return mapping


class _Plain(_Texts, _LOADER):  # type: ignore[misc, valid-type]
    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A YAML whole number. Raises ValueError for one of too many letters."""
        if len(node.value) > LONGEST_NUMBER:  # 1:1:1:... is a number to the base of 60, and takes quadratic time
            raise ValueError(f"has a whole number of more than {LONGEST_NUMBER} letters")
        return int(super().construct_yaml_int(node))


_Plain.add_constructor("tag:yaml.org,2002:int", _Plain.construct_yaml_int)
