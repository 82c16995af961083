"""The commits that a history is laid out over, and what was measured of them: in git notes, and in folders.

A note is one more object and one more reference, refs/notes/suite-gate, and touches no commit. Each judgement is a line
of it, so that notes of two clones merge by lines: `git notes --ref=suite-gate merge -s cat_sort_uniq`. Nobody pushes it
but the one who types `git push origin refs/notes/suite-gate`.

In folders lie judgements of the gate and files of pytest-benchmark. A comparison of two such files needs raw data. One
point of a series is a median however it was stored, and how medians scatter the series shows itself: so files without
raw data are read here.
"""

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, fields
from functools import cached_property, partial
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from suite.configuration.untrusted import parse_json
from suite.gate.output.files import read_judgement, without_secrets
from suite.gate.output.sentences import finite
from suite.gate.side_by_side.revisions import resolved
from suite.gate.stored.benchmark_json import read_run
from suite.gate.verdict import LATENCY, CorruptJudgementError, Judgement, Outcome, Verdict
from suite.records.machine.git import git
from suite.records.record import CorruptRecordError
from suite.records.stores.pack import Damage, folders_below
from suite.records.stores.store import JUDGEMENT, LETTER_BYTES, VALUE_BYTES, Room

SCHEMA = 1
# The form of a judgement whose two sides were not measured side by side, so that its ratios are no steps.
STORED = "stored"
# Outcomes of a quantity that changed beyond chance.
CALLED = (Outcome.SLOWER, Outcome.FASTER, Outcome.ACCEPTED)
LONGEST_TEXT = 2_000
TEXTS = ("case", "span", "metric", "clock")
NUMBERS = ("before", "after", "ratio", "low", "high", "level")
KEYS = ("schema", "form", "commit", "base", "at", "machine", "machine_id", "columns", "rows")


@dataclass(frozen=True, kw_only=True)
class MeasuredQuantity:
    """One quantity of one judgement. The ratio is after over before, with an interval of this confidence."""

    case: str
    span: str
    metric: str
    clock: str
    called: bool = False
    """True if the comparison found it changed beyond chance."""
    before: float | None = None
    after: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A judgement as the history keeps it: one line of JSON with the commit and each quantity, before and after.

    It lies beside a commit and may be forwarded, so it holds what `without_secrets` leaves of a judgement and no more.
    """

    form: str
    commit: str
    base: str | None
    """The commit that it was compared with; None for a measurement that was compared with nothing."""
    at: str
    """When it was measured, as ISO 8601 has it."""
    machine: str
    """The kind of the machine: its processor and threads, or its GPU."""
    machine_id: str
    measured: tuple[MeasuredQuantity, ...]

    @property
    def is_side_by_side(self) -> bool:
        """Whether both commits were measured together, so that the ratios are changes between them."""
        return self.base is not None and self.form != STORED

    def as_line(self) -> str:
        """One line of JSON, the same for the same judgement."""
        content = {
            "schema": SCHEMA,
            **{name: getattr(self, name) for name in KEYS[1:7]},
            "columns": list(COLUMNS),
            "rows": [astuple(quantity) for quantity in self.measured],
        }
        return json.dumps(content, separators=(",", ":"), allow_nan=False)


COLUMNS = tuple(field.name for field in fields(MeasuredQuantity))


def snapshot_of(judgement: Judgement) -> Snapshot:
    """The quantities of a judgement that have a newer value, without secrets. Raises ValueError for a judgement that
    was interrupted, or not of one commit without other changes."""
    side = judgement.after
    if side.commit is None:
        raise ValueError("a judgement must name one commit for what it measured; this one names none")
    if side.dirty:
        raise ValueError(
            f"a judgement must be of committed files only; {side.commit[:9]} was measured with changes beside it "
            "(untracked files count too, as results/ without a line in .gitignore)"
        )
    if judgement.interrupted:
        raise ValueError("a judgement must be complete; this one was interrupted")
    judgement = without_secrets(judgement)
    facts = {name: judgement.facts.get(name) for name in ("started_at", "machine", "machine_id")}
    at, machine, machine_id = (fact if isinstance(fact, str) else "" for fact in facts.values())
    return Snapshot(
        form=judgement.form,
        commit=side.commit,
        base=judgement.before.commit,
        at=at,
        machine=machine,
        machine_id=machine_id,
        measured=tuple(
            _quantity(verdict) for verdict in judgement.verdicts if verdict.metric and verdict.after is not None
        ),
    )


def _quantity(verdict: Verdict) -> MeasuredQuantity:
    """The numbers and names of a verdict; infinity and NaN become None."""
    fields: dict[str, Any] = {name: getattr(verdict, name) for name in TEXTS}
    fields |= {name: finite(getattr(verdict, name)) for name in NUMBERS}
    return MeasuredQuantity(called=verdict.outcome in CALLED, **fields)


def snapshot_from_line(line: bytes) -> tuple[Snapshot, int]:
    """Read a line of JSON as a snapshot, and count its values. Raises ValueError for one that `as_line` did not write.
    The message is a predicate, such as `is no line of suite gate history`."""
    content, values = parse_json(line)
    if not isinstance(content, dict) or content.keys() != set(KEYS) or content["schema"] != SCHEMA:
        raise ValueError("is no line of suite gate history")
    texts = {name: content[name] for name in KEYS[1:7] if name != "base" or content[name] is not None}
    if not all(_is_text(text) for text in texts.values()):
        raise ValueError("has a commit or a machine that is not a text")
    rows = content["rows"]
    if content["columns"] != list(COLUMNS) or not isinstance(rows, list):
        raise ValueError("has other columns than suite gate history writes")
    return Snapshot(**{"base": None} | texts, measured=tuple(map(_quantity_from_row, rows))), values


def _quantity_from_row(row: Any) -> MeasuredQuantity:
    """Read a row of COLUMNS. Raises ValueError for one that does not fit them."""
    if not isinstance(row, list) or len(row) != len(COLUMNS):
        raise ValueError("has a row that does not fit its columns")
    fields = dict(zip(COLUMNS, row, strict=True))
    numbers = {name: fields[name] for name in NUMBERS if fields[name] is not None}
    has_numbers = all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers.values())
    if not all(_is_text(fields[name]) for name in TEXTS) or not isinstance(fields["called"], bool) or not has_numbers:
        raise ValueError("has a value of another kind than its column")
    return MeasuredQuantity(**fields | {name: float(number) for name, number in numbers.items()})


def _is_text(value: Any) -> bool:
    """Whether a value is a text of at most LONGEST_TEXT characters."""
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


NOTES = "suite-gate"
MOST_COMMITS = 10_000
# The most of one note, and of all: a judgement of a hundred quantities is 20 kilobytes.
MOST_NOTE_BYTES, MOST_NOTES_BYTES = 8 << 20, 128 << 20
# A note names no person, and leaves no log beside its reference.
WRITER = "suite gate <suite-gate@localhost>"
# Each time that some do not succeed, another process has.
TRIES, LONGEST_PAUSE_S = 100, 0.1
# Names that `--benchmark-save` and `--benchmark-autosave` give. A file that is named itself may have any.
SAVED_BY_PYTEST_BENCHMARK = re.compile(r"\d{4}_.*\.json")
BENCHMARK = "pytest-benchmark"
CLOCK = "as pytest-benchmark was told"
COMMIT_ID = re.compile("[0-9a-f]{40,64}")


@dataclass(frozen=True)
class Commit:
    id: str
    subject: str


@dataclass(frozen=True, kw_only=True)
class CommitLine:
    """The first parents of a revision, oldest first."""

    commits: Sequence[Commit]
    revision: str

    @cached_property
    def places(self) -> dict[str, int]:
        """The position of each commit id on the line, 0 for the oldest."""
        return {commit.id: place for place, commit in enumerate(self.commits)}


def commit_line(top: Path, revision: str, most: int) -> CommitLine:
    """The newest `most` commits along a revision's first parents. Raises ValueError for an unknown revision."""
    if not 1 <= most <= MOST_COMMITS:
        raise ValueError(f"commits must be from 1 to {MOST_COMMITS:,}; got {most}")
    tip = resolved(top, revision, "rev")
    listed = git(top, "log", "--first-parent", f"--max-count={most}", "--format=%H %s", "--no-notes", tip, "--")
    commits = [Commit(*line.partition(" ")[::2]) for line in listed.split("\n")]
    return CommitLine(commits=commits[::-1], revision=revision)


@dataclass(kw_only=True)
class Measurements:
    """All that was measured of commits, what could not be read, and what is left out, a sentence each."""

    snapshots: list[Snapshot] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    _room: Room = field(default_factory=Room)

    def read_notes(self, top: Path, line: CommitLine) -> None:
        """Add the snapshots in the git notes of a line's commits. What is damaged goes to `unreadable`, with its
        reason. Notes on other commits are counted in `left_out`."""
        pairs = [pair.split() for pair in _notes(top, "list").splitlines()]
        notes = {commit: note for note, commit in pairs if commit in line.places}
        if elsewhere := len(pairs) - len(notes):
            self.left_out.append(f"git notes on commits outside this line: {elsewhere:,}")
        contents = _blobs(top, list(notes.values()))
        for commit, note in notes.items():
            if note not in contents:
                self.unreadable.append(f"the note on {commit[:9]} is larger than what is read")
            for text in dict.fromkeys(filter(bytes.strip, contents.get(note, b"").splitlines())):
                try:
                    snapshot, values = snapshot_from_line(text)
                    self._room.take(VALUE_BYTES * values + LETTER_BYTES * len(text))
                    if snapshot.commit != commit:
                        raise ValueError("is of another commit")
                    self.snapshots.append(snapshot)
                except (ValueError, CorruptRecordError) as error:
                    self.unreadable.append(f"a line of the note on {commit[:9]} cannot be read: it {error}")

    def read_places(self, places: Iterable[Path]) -> None:
        """Add the snapshots of every judgement and pytest-benchmark file in folders, or named as a file. What is
        damaged goes to `unreadable`; what was not measured on committed files goes to `left_out`. Raises ValueError for
        a place that does not exist."""
        damaged = list[Damage]()
        for place in places:
            if place.is_file():
                self._add(place.name, partial(_read_pytest_benchmark, place, self._room))
            elif not place.is_dir():
                raise ValueError(f"a place of measurements must be a folder or a file; got {str(place)!r}")
            for folder, names in folders_below(place, damaged) if place.is_dir() else ():
                if JUDGEMENT in names:
                    self._add(folder.name, partial(_read_snapshot, folder, self._room))
                for name in sorted(filter(SAVED_BY_PYTEST_BENCHMARK.fullmatch, names)):
                    self._add(name, partial(_read_pytest_benchmark, folder / name, self._room))
        self.unreadable += [f"{damage.folder.name}: {damage.reason}" for damage in damaged]

    def _add(self, name: str, read: Callable[[], Snapshot]) -> None:
        """Add the snapshot that `read` returns, or its error with a name to `unreadable` or `left_out`."""
        try:
            self.snapshots.append(read())
        except (CorruptJudgementError, CorruptRecordError) as error:
            self.unreadable.append(f"{name}: {error}")
        except ValueError as error:
            self.left_out.append(f"{name} is left out: {error}")


def save_note(top: Path, snapshot: Snapshot) -> bool:
    """Append a snapshot to the git note of its commit; False if the note has it already. Tries again if another process
    writes notes meanwhile. Raises ValueError for a commit that is not in this repository, CalledProcessError if git
    fails."""
    try:
        git(top, "cat-file", "-e", f"{snapshot.commit}^{{commit}}")
    except CalledProcessError as error:
        raise ValueError(f"the judged commit must be in this repository; it has no {snapshot.commit[:40]!r}") from error
    line, reference = snapshot.as_line(), f"refs/notes/{NOTES}"
    for tries_left in range(TRIES, -1, -1):
        tip, note = git(top, "for-each-ref", "--format=from %(objectname)", reference), ""
        with suppress(CalledProcessError):  # there is no note yet
            note = _notes(top, "show", snapshot.commit) + "\n"
        if line in note.splitlines():
            return False
        note += line + "\n"
        stream = [f"commit {reference}", f"committer {WRITER} {int(time.time())} +0000", "data 0", *filter(None, [tip])]
        stream += [f"N inline {snapshot.commit}", f"data {len(os.fsencode(note))}", note]
        try:
            # `git notes append` would put its result over what another process has written since it read; this refuses
            # what does not follow from it, and then all is read again.
            git(top, "-c", "core.logAllRefUpdates=false", "fast-import", "--quiet", given="\n".join(stream))
            break
        except CalledProcessError:
            if not tries_left:
                raise
        time.sleep(random.uniform(0, LONGEST_PAUSE_S))
    return True


def _blobs(top: Path, objects: Sequence[str]) -> dict[str, bytes]:
    """The content of each git object by id, without those above MOST_NOTE_BYTES or beyond MOST_NOTES_BYTES in total."""
    sizes, room_bytes = dict[str, int](), MOST_NOTES_BYTES
    given = "".join(f"{name}\n" for name in objects)
    for row in git(top, "cat-file", "--batch-check=%(objectname) %(objectsize)", given=given).splitlines():
        name, size = row.split()
        if int(size) <= min(MOST_NOTE_BYTES, room_bytes):
            sizes[name] = int(size)
            room_bytes -= sizes[name]
    given = "".join(f"{name}\n" for name in sizes)
    contents, stream = {}, os.fsencode(git(top, "cat-file", "--batch", given=given))
    for name, size_bytes in sizes.items():  # each as `NAME blob SIZE`, and on lines of its own the content
        begin = stream.index(b"\n") + 1
        contents[name] = stream[begin : begin + size_bytes]
        stream = stream[begin + size_bytes + 1 :]
    return contents


def _notes(top: Path, *arguments: str) -> str:
    """The output of `git notes` on the gate's own reference."""
    return git(top, "notes", f"--ref={NOTES}", *arguments)


def newest_judgement(folder: Path) -> Snapshot:
    """The snapshot of the judgement in or below a folder that was started last. Raises ValueError if there is none or
    its files were not committed, CorruptJudgementError if one cannot be read."""
    judgements = []
    for inner, names in folders_below(folder, list[Damage]()) if folder.is_dir() else ():
        if JUDGEMENT in names:
            judgement = read_judgement(inner)
            judgements.append((str(judgement.facts.get("started_at") or ""), inner.name, judgement))
    if not judgements:
        raise ValueError(f"--save needs a judgement of the gate; there is none in {str(folder)!r}")
    return snapshot_of(max(judgements, key=lambda judgement: judgement[:2])[2])


def _read_snapshot(folder: Path, room: Room) -> Snapshot:
    """The snapshot of the judgement in a folder. Raises as `read_judgement` and `snapshot_of`."""
    return snapshot_of(read_judgement(folder, room))


def _read_pytest_benchmark(path: Path, room: Room) -> Snapshot:
    """The medians of a pytest-benchmark file as a snapshot. Raises CorruptRecordError for a damaged file, ValueError
    for one that names no commit or had uncommitted changes."""
    run = read_run(path, room=room, needs_data=False)
    if run.impossible:
        name, problem = next(iter(run.impossible.items()))
        raise CorruptRecordError(f"{name} {problem}")
    if run.commit is None or not COMMIT_ID.fullmatch(run.commit):
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
