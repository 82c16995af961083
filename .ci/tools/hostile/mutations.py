"""Records that somebody damaged, by chance or on purpose: a change in the JSON, in a table, or in what a file is."""

import hashlib
import json
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suite.records.stores.store import RECORD, SAMPLES
from tools.hostile import texts

Change = Callable[[Path], object]
"""Damages one run's folder."""
HUGE = int("9" * 400)
TEXTS = (
    *texts.TEXTS,
    *("", " ", "x" * 100_000, "../../outside", "/etc/passwd", "a/b", "a\\b", "..", ".", "-", "~", "CON", "a\x00b"),
    *("\ud800", "a\nb", "|a|b|", "<script>", "{{7*7}}", "${oc.env:HOME}", "null", "NaN", "ok", "2026-11-26", "é" * 300),
    *("9999-12-31T23:59:59+00:00", "0001-01-01"),
)
OTHERS = (
    *(None, True, False, 0, -1, 1, 2**63, 2**64, -(2**63), HUGE, -HUGE, 1e308, -1e308, 5e-324, 0.1),
    *(float("nan"), float("inf"), -float("inf"), [], {}, [[]], [None], {"": ""}, {"a": {"b": {"c": 1}}}, [1] * 1000),
)


def by_chance(chance: random.Random) -> Change:
    """A change of a random kind."""
    kind = chance.random()
    if kind < 0.7:
        return _some_values(chance)
    if kind < 0.8:
        return _some_bytes(chance, RECORD)
    if kind < 0.97:
        return _some_bytes(chance, SAMPLES)
    return _of_file(chance.choice((RECORD, SAMPLES)), chance.choice(KINDS_OF_FILE))


def rewritten(folder: Path, **files: bytes) -> None:
    """Put files beside a record, which then vouches for them."""
    content = json.loads((folder / RECORD).read_bytes())
    for name, new_bytes in files.items():
        (folder / name).write_bytes(new_bytes)
        content.setdefault("files", {})[name] = hashlib.sha256(new_bytes).hexdigest()
    (folder / RECORD).write_text(json.dumps(content))


def _some_values(chance: random.Random) -> Change:
    """A change of a few values of the record; half the time its id follows, as an adversary would see to."""

    def change(folder: Path) -> None:
        content = json.loads((folder / RECORD).read_bytes())
        change_values(content, chance)
        if chance.random() < 0.5 and isinstance(content.get("case"), dict):
            content["case"]["id"] = _consistent_id(content["case"])
        (folder / RECORD).write_text(written(content))

    return change


def change_values(content: Any, chance: random.Random) -> None:
    """Change a few values of JSON, at any depth."""
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        holder = content
        while True:
            key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            inner = holder[key]
            if not isinstance(inner, dict | list) or not inner or chance.random() < 0.2:
                break
            holder = inner
        _one_value(holder, key, chance)


def _one_value(holder: Any, key: Any, chance: random.Random) -> None:
    """Remove, add or replace a value of a list or an object."""
    value = chance.choice((*TEXTS, *OTHERS))
    kind = chance.random()
    if kind < 0.1:
        del holder[key]
    elif kind < 0.2 and isinstance(holder, dict):
        holder[chance.choice(TEXTS)] = value
    else:
        holder[key] = value
    if not holder:  # so that a further change has something to choose among
        if isinstance(holder, dict):
            holder["x"] = None
        else:
            holder.append(None)


def _consistent_id(case: dict[str, Any]) -> str:
    """The id that follows from a changed case, so that it is consistent in itself, as an adversary would make it."""
    from suite.records.case import Case

    parts = [case.get(name) for name in ("axes", "extras")]
    if not isinstance(case.get("workload"), str) or not all(isinstance(part, dict) for part in parts):
        return "x"
    return Case(workload=case["workload"], axes=parts[0], extras=parts[1]).id if _is_short(parts) else "x"


def _is_short(parts: Any) -> bool:
    return not any(isinstance(value, int) and abs(value) > 10**300 for part in parts for value in part.values())


def written(value: Any) -> str:
    """JSON, whole numbers of any length included: Python refuses to write what its own reader refuses to read."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**300:
        return ("-" if value < 0 else "") + "9" * 5000
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{written(inner)}" for key, inner in value.items()) + "}"
    return "[" + ",".join(map(written, value)) + "]" if isinstance(value, list) else json.dumps(value)


def _some_bytes(chance: random.Random, name: str) -> Change:
    """A change of a file's bytes; the record vouches for a table that was changed so."""

    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        change_bytes(content, chance)
        if name == RECORD:
            (folder / name).write_bytes(content)
        else:
            rewritten(folder, **{name: bytes(content)})

    return change


def change_bytes(content: bytearray, chance: random.Random) -> None:
    """Turn a few bits, cut parts off or put some in."""
    for _ in range(chance.choice((1, 1, 3, 20))):
        place = chance.randrange(len(content)) if content else 0
        kind = chance.random()
        if kind < 0.6 and content:
            content[place] ^= 1 << chance.randrange(8)
        elif kind < 0.8:
            del content[place : place + chance.choice((1, 8, 100, 10_000))]
        else:
            content[place:place] = chance.randbytes(chance.choice((1, 8, 100)))


def _of_file(name: str, make: Callable[[Path], object]) -> Change:
    """The change that puts something else in a file's place."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return change


def _device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero, which has no end
    except PermissionError:
        os.mkfifo(path)


KINDS_OF_FILE: tuple[Callable[[Path], object], ...] = (
    lambda path: path.write_bytes(b""),
    lambda path: path.mkdir(),
    lambda path: os.mkfifo(path),
    _device,
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to("/etc/passwd"),
    lambda path: path.symlink_to(path.name),
    lambda path: path.symlink_to("nothing"),
)
