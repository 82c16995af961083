"""Measurements of many commits as they lie in folders: judgements of the gate, and files of pytest-benchmark.

A comparison of two such files needs their raw data. One point of a series is a median however it was stored, and how
medians scatter the series shows itself: so files without raw data are read here.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from suite.gate.history.commits import Read
from suite.gate.history.snapshot import MeasuredQuantity, Snapshot, snapshot_of
from suite.gate.output.files import read_judgement
from suite.gate.stored.benchmark_json import read_run
from suite.gate.verdict import LATENCY, CorruptJudgementError
from suite.records.record import CorruptRecordError
from suite.records.store import JUDGEMENT, Room
from suite.records.walk import Damage, folders_below

SAVED_BY_PYTEST_BENCHMARK = re.compile(r"\d{4}_.*\.json")
"""Names that `--benchmark-save` and `--benchmark-autosave` give. A file that is named itself may have any."""
BENCHMARK = "pytest-benchmark"
CLOCK = "as pytest-benchmark was told"
COMMIT = re.compile("[0-9a-f]{40,64}")


def read_places(places: Iterable[Path], room: Room) -> Read:
    """Read every judgement and pytest-benchmark file in these places. Raises ValueError for a place that is not there.

    What is damaged is named, and what is not of a commit as it was committed is left out with a reason.
    """
    read, damaged = Read(), list[Damage]()

    def take(name: str, snapshot: Callable[[], Snapshot]) -> None:
        try:
            read.snapshots.append(snapshot())
        except (CorruptJudgementError, CorruptRecordError) as error:
            read.unreadable.append(f"{name}: {error}")
        except ValueError as error:
            read.left_out.append(f"{name} is left out: {error}")

    for place in places:
        if place.is_file():
            take(place.name, lambda place=place: _of_pytest_benchmark(place, room))  # type: ignore[misc]
        elif not place.is_dir():
            raise ValueError(f"a place of measurements must be a folder or a file; got {str(place)!r}")
        for folder, names in folders_below(place, damaged) if place.is_dir() else ():
            if JUDGEMENT in names:
                take(folder.name, lambda folder=folder: snapshot_of(read_judgement(folder, room)))  # type: ignore[misc]
            for name in sorted(filter(SAVED_BY_PYTEST_BENCHMARK.fullmatch, names)):
                take(name, lambda path=folder / name: _of_pytest_benchmark(path, room))  # type: ignore[misc]
    read.unreadable += [f"{damage.folder.name}: {damage.reason}" for damage in damaged]
    return read


def newest_judgement(folder: Path) -> Snapshot:
    """Return the snapshot of the newest judgement in a folder or below it.

    Raises ValueError where there is none, or where it cannot be saved.
    """
    judgements = []
    for inner, names in folders_below(folder, list[Damage]()) if folder.is_dir() else ():
        if JUDGEMENT in names:
            judgement = read_judgement(inner)
            judgements.append((str(judgement.facts.get("started_at") or ""), inner.name, judgement))
    if not judgements:
        raise ValueError(f"--save needs a judgement of the gate; there is none in {str(folder)!r}")
    return snapshot_of(max(judgements, key=lambda judgement: judgement[:2])[2])


def _of_pytest_benchmark(path: Path, room: Room) -> Snapshot:
    """The medians of a file. Raises CorruptRecordError for what cannot be read, ValueError for what it measured of no
    commit."""
    run = read_run(path, room=room, needs_data=False)
    if run.impossible:
        name, problem = next(iter(run.impossible.items()))
        raise CorruptRecordError(f"{name} {problem}")
    if run.commit is None or not COMMIT.fullmatch(run.commit):
        raise ValueError("it names no commit")
    if run.dirty:
        raise ValueError(f"{run.commit[:9]} was measured with uncommitted changes")
    return Snapshot(
        form=BENCHMARK,
        commit=run.commit,
        base=None,
        at=run.at,
        machine=run.machine,
        machine_id=run.machine_id,
        measured=tuple(
            MeasuredQuantity(case=case, span="", metric=LATENCY, clock=CLOCK, after=timed.median_s)
            for case, timed in run.timed.items()
        ),
    )
