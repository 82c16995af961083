"""`suite results push`: verified runs to a board at any URL, where nothing is overwritten and nothing comes twice."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from suite.records import numbers
from suite.records.plain_text import complain, one_line, say
from suite.records.record import RECORD, CorruptRecordError
from suite.records.stores.board import CARD, Entry, File, board_files, card, known_runs, withdrawn_file
from suite.records.stores.claim import alone_in
from suite.records.stores.mirror import existing, is_store, locks_folder, shown, url_in
from suite.records.stores.objects import ObjectStore, open_store
from suite.records.stores.store import each_run, file_digest
from suite.records.verify.copies import Copies
from suite.records.verify.faults import whole_runs

DONE, BROKEN = 0, 4
# In one file of readings: as many as lie in memory at a time.
MOST_RUNS, MOST_READINGS = 1_000, 200_000


@dataclass(kw_only=True)
class _Push:
    """One push: what the board has, and what became of each run."""

    board: ObjectStore
    dry_run: bool
    digests: set[str]
    """Of the runs that the board has."""
    withdrawn_before: set[str]
    left_out: list[Path] = field(default_factory=list)
    present: int = 0
    runs: int = 0
    nbytes: int = 0
    withdrawn: list[Entry] = field(default_factory=list)

    def put(self, file: File) -> None:
        """Add a file to the board unless one of its name and size is there, print it and count its bytes; with
        `dry_run` it is only printed and counted."""
        if self.board.size(file.name) == len(file.content):
            return  # an interrupted push has put it there
        if not self.dry_run:
            self.board.add(file.name, file.content)
        self.nbytes += len(file.content)
        would = "would put" if self.dry_run else "put"
        say(one_line(f"{would} {file.name}, {numbers.bytes_iec(len(file.content))}"))

    def new_entries(self, folders: Sequence[Path]) -> Iterator[Entry]:
        """Yield each whole run that the board has not; count those that it has, and note those withdrawn since."""
        yielded = set[str]()
        for run in whole_runs(each_run(folders), Copies(), self.left_out):
            entry = Entry(digest=file_digest(run.folder / RECORD), run=run)
            if run.withdrawal:
                if entry.digest not in self.digests:
                    complain(f"left out, {run.withdrawal.said}: {shown(run.folder)}")
                elif entry.digest not in self.withdrawn_before:
                    self.withdrawn.append(entry)
            elif entry.digest in self.digests:
                self.present += 1
            elif entry.digest not in yielded:
                yielded.add(entry.digest)
                yield entry


def push(folders: Sequence[Path], to: str, *, dry_run: bool) -> int:
    """Add the runs below folders that verify finds whole, and that the board at a URL has not, to the board.

    Returns 4 where a run is damaged or has a fault, which is left out, or where the board holds something else. Raises
    ValueError for a URL that fsspec does not know, and OSError for what cannot be written.
    """
    folders = existing(folders)  # before anything is written to the board
    board = open_store(url_in(to) if is_store(to) else to)
    try:
        # Two at once would each find that the other's runs are not there yet, and put them twice.
        with nullcontext() if dry_run else alone_in(locks_folder(board.url if is_store(to) else Path(to))):
            digests, withdrawn = known_runs(board, "index"), known_runs(board, "withdrawn")
            pushing = _Push(board=board, dry_run=dry_run, digests=digests, withdrawn_before=withdrawn)
            if board.size(CARD) is None:
                pushing.put(File(CARD, card()))
            for entries in _batches(pushing.new_entries(folders)):
                for file in board_files(entries):
                    pushing.put(file)
                pushing.runs += len(entries)
            if pushing.withdrawn:
                pushing.put(withdrawn_file(pushing.withdrawn))
    except CorruptRecordError as error:
        complain(f"suite results: nothing more was pushed: {error}")
        return BROKEN
    would = "would be pushed" if dry_run else "pushed"
    say(
        f"{pushing.runs} runs {would}, {numbers.bytes_iec(pushing.nbytes)}; "
        f"{pushing.present} were there already, {len(pushing.left_out)} left out"
    )
    return BROKEN if pushing.left_out else DONE


def _batches(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Group entries by workload and machine; yield a group once it is as large as a file may be, the rest last."""
    waiting: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        batch = waiting[entry.partition]
        batch.append(entry)
        if len(batch) == MOST_RUNS or sum(len(each.run.record.readings) for each in batch) >= MOST_READINGS:
            yield waiting.pop(entry.partition)
    yield from waiting.values()
