"""Records that somebody damaged, by chance or on purpose: a change in the JSON, in a table, or in what a file is."""

import hashlib
import io
import json
import os
import random
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from suite.records.stores.store import RECORD, SAMPLES
from tools.hostile import texts
from tools.hostile.texts import words

ALL, WHOLE, VERIFY, NOBODY = "all", "whoever reads runs whole", "verify", "nobody"
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
KEYS = ("0" * 63, "0" * 65, "A" * 64, "0" * 63 + "\n", "g" * 64, "0" * 62 + "é")
MOMENTS = ("9999-12-31T23:59:59+00:00", "yesterday", "0001-01-01", "2026-13-45T99:99:99", "3026-01-01T00:00:00")
COLUMNS = pa.schema(
    [("step", pa.int64()), ("span", pa.string()), ("metric", pa.string()), ("value", pa.float64())]
    + [(name, pa.float64()) for name in ("wall_s", "thread_cpu_s", "process_cpu_s")]
    + [("involuntary_switches", pa.int64()), ("launch", pa.int64())],
    metadata={"schema": "1"},
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
    return chance.choice([change for _, change, _ in catalogue()])


def catalogue() -> Iterator[tuple[str, Change, str]]:
    """Every kind of damage by what it is, and who must name it."""
    for name in (RECORD, SAMPLES):
        for what, make in KINDS_OF_FILE.items():
            yield f"{name} is {what}", _of_file(name, make), ALL if name == RECORD else WHOLE
    for what, text in TORN.items():
        yield f"{RECORD} is {what}", _of_file(RECORD, lambda path, text=text: path.write_bytes(text)), ALL
    for key in ("../../outside", "", "x", *KEYS, 7, None):
        yield f"run_key is {key!r}", _with(("run_key",), key), ALL
    for name in ("", *words("../outside /etc/passwd a/b . .. __init__.py .bashrc record.json claim.lock")):
        yield f"files names {name!r}", _with(("files",), {name: "0" * 64}), VERIFY
    for text in TEXTS:
        who = NOBODY if text.isprintable() else ALL
        yield f"workload is {text[:20]!r}", _with(("case", "workload"), text), who
        yield f"an axis is {text[:20]!r}", _with(("case", "axes", "attention"), text), who
    for moment in (*MOMENTS, "", 7):
        yield f"started_at is {moment!r}", _with(("provenance", "started_at"), moment), VERIFY
    for what, table in TABLES.items():
        yield f"{SAMPLES} has {what}", _with_table(table), WHOLE


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
        _write_record(folder, content)

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


def _write_record(folder: Path, content: Any) -> None:
    """Write a record, whole numbers of any length included."""

    def plain(value: Any) -> str:
        # Python refuses to write what its own reader refuses to read.
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**300:
            return ("-" if value < 0 else "") + "9" * 5000
        if isinstance(value, dict):
            return "{" + ",".join(f"{json.dumps(key)}:{plain(inner)}" for key, inner in value.items()) + "}"
        return "[" + ",".join(map(plain, value)) + "]" if isinstance(value, list) else json.dumps(value)

    (folder / RECORD).write_text(plain(content))


def _some_bytes(chance: random.Random, name: str) -> Change:
    """Bits turned, a part cut off or put in; the record vouches for a table that was changed so."""

    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        for _ in range(chance.choice((1, 1, 3, 20))):
            place = chance.randrange(len(content)) if content else 0
            kind = chance.random()
            if kind < 0.6 and content:
                content[place] ^= 1 << chance.randrange(8)
            elif kind < 0.8:
                del content[place : place + chance.choice((1, 8, 100, 10_000))]
            else:
                content[place:place] = chance.randbytes(chance.choice((1, 8, 100)))
        if name == RECORD:
            (folder / name).write_bytes(content)
        else:
            rewritten(folder, **{name: bytes(content)})

    return change


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


KINDS_OF_FILE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a device": _device,
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to /etc/passwd": lambda path: path.symlink_to("/etc/passwd"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "noise": lambda path: path.write_bytes(random.Random(0).randbytes(10_000)),
}
TORN = {
    "half": b'{"schema": 1, "case": {',
    "a list": b"[]",
    "null": b"null",
    "text": b'"record"',
    "a number": b"1",
    "a long number": b'{"schema": ' + b"9" * 5000 + b"}",
    "true as a schema": b'{"schema": true}',
    "another schema": b'{"schema": 2}',
    "UTF-16": '{"schema": 1}'.encode("utf-16"),
    "no UTF-8": b'{"schema": "\xff\xfe"}',
    "NUL": b"\0" * 1000,
    "deep at its top": b"[" * 100_000,
}


def _with(place: tuple[str, ...], value: Any) -> Change:
    """The change of one value of the record, whose id then follows."""

    def change(folder: Path) -> None:
        content = json.loads((folder / RECORD).read_bytes())
        holder = content
        for name in place[:-1]:
            holder = holder[name]
        holder[place[-1]] = value
        content["case"]["id"] = _consistent_id(content["case"])
        _write_record(folder, content)

    return change


def _with_table(make: Callable[[], bytes]) -> Change:
    return lambda folder: rewritten(folder, **{SAMPLES: make()})


def _table(rows: int, **columns: Any) -> pa.Table:
    """A table of readings with so many rows, and other columns in place of the usual ones."""
    usual = {
        "step": pa.array(range(rows), pa.int64()),
        "span": pa.array(["layer"] * rows),
        "metric": pa.array(["latency_s"] * rows),
        "value": pa.array([0.001] * rows),
    }
    rest = {name: pa.nulls(rows, COLUMNS.field(name).type) for name in COLUMNS.names if name not in usual}
    return pa.table({**usual, **rest, **columns}, schema=COLUMNS if not columns else None)


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


TABLES: dict[str, Callable[[], bytes]] = {
    "no columns": lambda: _parquet(pa.table({})),
    "other columns": lambda: _parquet(pa.table({"x": [1, 2]})),
    "lists for values": lambda: _parquet(_table(2, value=pa.array([[1.0], [2.0]]))),
    "texts for values": lambda: _parquet(_table(2, value=pa.array(["1", "2"]))),
    "no text for a span": lambda: _parquet(_table(2, span=pa.array([b"\xff\xfe", b"\x80"], pa.binary()))),
    "a null for a metric": lambda: _parquet(_table(2, metric=pa.array([None, "latency_s"]))),
    "no end": lambda: _parquet(_table(1_000))[:-9],
    "no begin": lambda: _parquet(_table(1_000))[9:],
}
