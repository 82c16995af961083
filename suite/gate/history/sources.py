"""Measurements of many commits as they lie in folders: judgements of the gate, and files of pytest-benchmark.

A comparison of two such files needs their raw data (suite/gate/stored/benchmark_json.py). One point of a series is a
median however it was stored, and how medians scatter the series shows itself: so files without raw data are read here.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.configuration.untrusted import parse_json
from suite.gate.history.commits import Read
from suite.gate.history.snapshot import Measured, Snapshot, snapshot_of
from suite.gate.output.files import read_judgement
from suite.gate.stored.benchmark_json import LARGEST_BYTES, MOST_CONTAINERS, MOST_VALUES
from suite.gate.verdict import LATENCY, CorruptJudgementError
from suite.records.record import CorruptRecordError
from suite.records.stores.store import JUDGEMENT, LETTER_BYTES, VALUE_BYTES, Room, read_file
from suite.records.stores.walk import Damage, folders_below

SAVED_BY_PYTEST_BENCHMARK = re.compile(r"\d{4}_.*\.json")
"""Names that `--benchmark-save` and `--benchmark-autosave` give. A file that is named itself may have any."""
BENCHMARK = "pytest-benchmark"
CLOCK = "as pytest-benchmark was told"
MACHINE_KEYS = ("node", "processor", "machine", "system")


def read_places(places: Iterable[Path], room: Room) -> Read:
    """Read every judgement and pytest-benchmark file in these places. Raises ValueError for a place that is not there.

    What is damaged is named, and what is not of a commit as it was committed is left out with a reason.
    """
    read = Read()
    for place in places:
        if place.is_dir():
            _read_folder(place, read, room)
        elif place.is_file():
            _take(read, place.name, lambda place=place: _of_pytest_benchmark(place, room))
        else:
            raise ValueError(f"a place of measurements must be a folder or a file; got {str(place)!r}")
    return read


def newest_judgement(folder: Path) -> Snapshot:
    """Return the snapshot of the newest judgement in a folder or below it.

    Raises ValueError where there is none, or where it cannot be saved.
    """
    found = []
    for inner, names in folders_below(folder, list[Damage]()) if folder.is_dir() else ():
        if JUDGEMENT in names:
            judgement = read_judgement(inner)
            found.append((str(judgement.facts.get("started_at") or ""), inner.name, judgement))
    if not found:
        raise ValueError(f"--save needs a judgement of the gate; there is none in {str(folder)!r}")
    return snapshot_of(max(found, key=lambda one: one[:2])[2])


def _read_folder(place: Path, read: Read, room: Room) -> None:
    damaged: list[Damage] = []
    for folder, names in folders_below(place, damaged):
        if JUDGEMENT in names:
            _take(read, folder.name, lambda folder=folder: snapshot_of(read_judgement(folder, room)))
        for name in sorted(filter(SAVED_BY_PYTEST_BENCHMARK.fullmatch, names)):
            _take(read, name, lambda path=folder / name: _of_pytest_benchmark(path, room))
    read.unreadable += [f"{damage.folder.name}: {damage.reason}" for damage in damaged]


def _take(read: Read, name: str, made: Any) -> None:
    try:
        read.snapshots.append(made())
    except (CorruptJudgementError, CorruptRecordError) as error:
        read.unreadable.append(f"{name}: {error}")
    except ValueError as error:
        read.left_out.append(f"{name} is left out: {error}")


def _of_pytest_benchmark(path: Path, room: Room) -> Snapshot:
    """The medians of a file. Raises CorruptRecordError for what pytest-benchmark did not write, ValueError for
    what it measured of no commit."""
    text = read_file(path, LARGEST_BYTES, may_be_link=True)
    try:
        content, values = parse_json(text, most_values=MOST_VALUES, most_containers=MOST_CONTAINERS)
        room.take(VALUE_BYTES * values + LETTER_BYTES * len(text))
        commit, machine = content["commit_info"], content["machine_info"]
        medians = {str(one["fullname"]): float(one["stats"]["median"]) for one in content["benchmarks"]}
        named, dirty, at = commit.get("id"), commit.get("dirty") is True, str(content["datetime"])
        kind, machine_id = _machine(machine)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptRecordError(f"no file of pytest-benchmark ({type(error).__name__})") from error
    if not isinstance(named, str) or not re.fullmatch("[0-9a-f]{40,64}", named):
        raise ValueError("it names no commit")
    if dirty:
        raise ValueError(f"{named[:9]} was measured with uncommitted changes")
    return Snapshot(
        form=BENCHMARK,
        commit=named,
        base=None,
        at=at,
        machine=kind,
        machine_id=machine_id,
        measured=[_median(case, median) for case, median in medians.items()],
    )


def _median(case: str, median_s: float) -> Measured:
    return Measured(
        case=case,
        span="",
        metric=LATENCY,
        clock=CLOCK,
        called=False,
        before=None,
        after=median_s,
        ratio=None,
        low=None,
        high=None,
        level=None,
    )


def _machine(info: Mapping[str, Any]) -> tuple[str, str]:
    """The processor's name and an id that holds no host's name."""
    cpu = info["cpu"]
    brand = str(cpu.get("brand_raw") or info.get("processor") or "")
    facts: Sequence[Any] = [*(info.get(key) for key in MACHINE_KEYS), brand, cpu.get("count")]
    return brand, hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
