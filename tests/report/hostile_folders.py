"""Two hundred run folders nobody would want: damaged, cut, foreign, and whole ones whose text attacks."""

import os
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from suite.machine.plain_text import one_line
from suite.records.record import Status
from tests.records.factory import build, store
from tests.records.stores.test_store import DAMAGES

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
FOREIGN = (
    b"\xff\xfe{\x00}\x00",
    b"schema: 1\n!!python/object/apply:os.system ['touch pwned']\n",
    b"\x80\x04\x95cposix\nsystem\n",
)

Spoil = Callable[[Path], None]


def make(root: Path) -> dict[str, bool]:
    """Make the folders below `root`; for each one's name whether it can be read all the same."""
    attacks = [hostile_record(text, part) for text in ATTACKS for part in range(4)]
    spoils = [*DAMAGES.values(), *map(written, FOREIGN)]
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


def written(content: bytes) -> Spoil:
    """Another file in place of the record."""
    return lambda folder: (folder / "record.json").write_bytes(content) and None
