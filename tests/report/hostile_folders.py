"""Two hundred run folders nobody would want: cut, of wrong types, foreign, and whole ones whose text attacks."""

import json
import os
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from suite.machine.plain_text import one_line
from suite.records.record import Status
from tests.records.factory import build, store

COUNT = 200
ATTACKS = (
    "<script>window.pwned = 1</script>",
    '<a href="javascript:window.pwned=1">open me</a>',
    "<img src=x onerror=window.pwned=1>",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+1+cmd",
    "-2+3+cmd|' /C calc'!A0",
    "\tTAB=1",
    "</script><svg onload=window.pwned=1>",
    "%{x}<extra></extra>${7*7}{{7*7}}$\\href{javascript:window.pwned=1}{x}$",
    "\x1b[2J\x1b]0;title\x07\u202e reversed \ud800",
)
WRONG_TYPES: tuple[Any, ...] = (None, 1, -1.5, "text", [], [{}], {}, True, {"a": {"b": []}})
PARTS = ("schema", "case", "run_key", "status", "evidence", "settings", "environment", "provenance", "reason", "files")

Spoil = Callable[[Path], None]


def make(root: Path) -> dict[str, bool]:
    """Make the folders below `root`; for each one's name whether it can be read all the same."""
    attacks = [hostile_record(text, part) for text in ATTACKS for part in range(4)]
    spoils = [*foreign(), *wrong_types()]
    spoils += islice(cuts(random.Random(4)), COUNT - len(attacks) - len(spoils))
    folders = store(root, *[build() for _ in spoils], *attacks)
    assert len(folders) == COUNT
    for folder, spoil in zip(folders, spoils, strict=False):
        spoil(folder)
    return {folder.name: index >= len(spoils) for index, folder in enumerate(folders)}


def hostile_record(text: str, part: int) -> Any:
    """A record that is whole and says something evil, in one of four places; what names a case is one line."""
    named = one_line(text)
    facts: dict[str, Any] = dict.fromkeys(("backend", "clock", "commit", "started_at"), text)
    facts |= {"warnings": [text], "operators": {text: [text]}}
    return (
        build(attention=named, geometry=named, provenance=facts),
        build(status=Status.FAILED, reason=text, phase=named),
        build(extras={"seed": named}, environment={"cpu": text, "gpus": [text], "packages": {text: text}}),
        build(
            dtype=named, backend=named, provenance={"match": text, "shape": text}, settings={"geometry": {text: text}}
        ),
    )[part]


def cuts(chance: random.Random) -> Iterator[Spoil]:
    """Files that end too early, and files with a byte turned over: without end."""

    def cut(name: str, share: float) -> Spoil:
        return lambda folder: os.truncate(folder / name, int((folder / name).stat().st_size * share))

    def turn_over(folder: Path) -> None:
        content = bytearray((folder / "samples.parquet").read_bytes())
        content[chance.randrange(len(content))] ^= 0xFF
        (folder / "samples.parquet").write_bytes(content)

    while True:
        yield cut("record.json", chance.random())
        yield cut("samples.parquet", chance.random())
        yield turn_over


def wrong_types() -> Iterator[Spoil]:
    def put(part: str, value: Any) -> Spoil:
        def spoil(folder: Path) -> None:
            content = json.loads((folder / "record.json").read_text())
            (folder / "record.json").write_text(json.dumps(content | {part: value}))

        return spoil

    for part in PARTS:
        yield from (put(part, value) for value in WRONG_TYPES if not fits(part, value))
    yield put("schema", 2)
    yield put("schema", "1")
    yield put("files", {"../../../etc/passwd": "0" * 64})
    yield put("case", {"id": "x", "workload": "w", "axes": {}, "extras": {}})


def fits(part: str, value: Any) -> bool:
    if part in ("settings", "environment", "provenance"):
        return isinstance(value, dict)
    right = {"reason": (None, "text"), "files": ({},), "schema": (1,)}.get(part, ())
    return any(value == one and type(value) is type(one) for one in right)


def foreign() -> Iterator[Spoil]:
    """Files that are something else."""

    def write(content: bytes) -> Spoil:
        return lambda folder: (folder / "record.json").write_bytes(content) and None

    yield write(b"[" * 100_000)
    yield write(b"\xff\xfe{\x00}\x00")
    yield write(b"\x00" * 1000)
    yield write(b"schema: 1\n!!python/object/apply:os.system ['touch pwned']\n")
    yield write(b"\x80\x04\x95cposix\nsystem\n")
    yield write(b'{"schema": ' + b"1" * 5000 + b"}")
    yield write(b"NaN")
    yield replace_by_pipe("record.json")
    yield replace_by_pipe("samples.parquet")
    yield replace_by_folder
    yield replace_by_endless_link
    yield lambda folder: pq.write_table(pa.table({"step": [1]}), folder / "samples.parquet")


def replace_by_pipe(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)  # whoever opens it waits without end

    return spoil


def replace_by_folder(folder: Path) -> None:
    (folder / "record.json").unlink()
    (folder / "record.json").mkdir()


def replace_by_endless_link(folder: Path) -> None:
    (folder / "record.json").unlink()
    (folder / "record.json").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(folder)
