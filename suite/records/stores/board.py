"""Verified runs as the files of a public board: columns for queries, beside the runs themselves.

    README.md                                        what it holds, for people: a dataset card
    index/<digest>.parquet                           a row a run
    readings/workload=W/machine_id=M/<digest>.parquet   a row a reading
    runs/<digest>/runs.zip                           the runs as they were written; `runs` is a folder of results
    withdrawn/<digest>.parquet                       runs of the index that were withdrawn since

Files are named by the sha256 of what they hold and never changed. A run is on the board once the index names it, which
is written last: what an interrupted push left is found and used by the next.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from suite.records.derived import started_at
from suite.records.plain_text import one_line
from suite.records.record import RECORD, SAMPLES, CorruptRecordError
from suite.records.stores.claim import run_names
from suite.records.stores.objects import ObjectStore
from suite.records.stores.pack import PACK, pack_bytes
from suite.records.stores.store import READINGS, StoredRecord, read_blocks
from suite.records.stores.tables import decoded_bytes

if TYPE_CHECKING:
    import pyarrow as pa

CARD = "README.md"
DIGITS = 32
"""Those of a file's digest in its name."""
UNKNOWN = "unknown"
"""The machine of a record that does not name one."""
LONGEST_CELL = 2_000
"""Letters of a text that a record quotes."""
LARGEST_INDEX_BYTES, MOST_UNPACKED_BYTES, RECORD_DIGEST = 64 << 20, 256 << 20, "record_sha256"
Columns = Mapping[str, tuple[str, str]]
"""Arrow's name of each column's type, and what the column holds."""
TEXT, INT, FLOAT, BOOL = "string", "int64", "float64", "bool"
INDEX: Columns = {
    "record_sha256": (TEXT, "sha256 of the run's record.json: its identity here"),
    "run_key": (TEXT, "sha256 of case, settings, code and machine: equal in repeats"),
    "case_id": (TEXT, "the case, with every axis; as the command line that repeats it"),
    "workload": (TEXT, "what was run: attention, rl, quality and so on"),
    "axes": (TEXT, "the case's axes, as a JSON object"),
    "extras": (TEXT, "further settings that somebody named, as a JSON object"),
    "status": (TEXT, "ok, unsupported, out_of_memory, incorrect, failed or interrupted"),
    "reason": (TEXT, "why, for every status but ok"),
    "evidence": (TEXT, "measured or projected"),
    "machine_id": (TEXT, "a salted hash that tells machines apart and does not say which"),
    "cpu": (TEXT, "the processor's own name"),
    "gpu": (TEXT, "the first GPU's own name; empty without one"),
    "started_at": (TEXT, "when it began, in UTC; empty where it does not say"),
    "commit": (TEXT, "the suite's commit"),
    "dirty": (BOOL, "whether files were changed since that commit"),
    "suite_version": (TEXT, "the suite's version"),
    "torch": (TEXT, "torch's version"),
    "readings": (INT, "how many readings it has"),
    "readings_file": (TEXT, "the file of the board that holds them"),
    "runs_file": (TEXT, "the pack that holds the run as it was written"),
}
READING_ROWS: Columns = {
    "record_sha256": (TEXT, "the run, as the index names it"),
    "case_id": (TEXT, "its case"),
    "row": (INT, "the reading's row in the run's own table, from 0"),
    "step": (INT, "which repeat, or which step of a training, from 0 in each launch"),
    "span": (TEXT, "the part of a step: layer, kernel, rollout, update and so on"),
    "metric": (TEXT, "what was read; the name ends in its unit: _s seconds, _bytes, _j joules"),
    "value": (FLOAT, "the number, raw; nothing is trimmed"),
    "wall_s": (FLOAT, "of a timing: seconds by the clock on the wall"),
    "thread_cpu_s": (FLOAT, "seconds that its thread was on a CPU"),
    "process_cpu_s": (FLOAT, "the same of all threads"),
    "involuntary_switches": (INT, "how often the scheduler took the CPU away"),
    "launch": (INT, "the launch of the case, from 0; empty where all readings are of one"),
}
WITHDRAWN: Columns = {
    "record_sha256": (TEXT, "the run, as the index names it"),
    "date": (TEXT, "when it was withdrawn"),
    "reason": (TEXT, "why"),
    "by": (TEXT, "by whom, where that is said"),
}


class File(NamedTuple):
    """A file of the board, from its root on."""

    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A verified run that the board has not, and the sha256 of its record."""

    digest: str
    run: StoredRecord

    @property
    def partition(self) -> tuple[str, str]:
        """Its workload and machine, both of them plain names."""
        record = self.run.record
        return record.case.workload, str(record.environment.get("machine_id") or UNKNOWN)


def card() -> bytes:
    """README.md of a board: board.md beside this file, and what its columns mean, in the words of the tables."""
    lines = [Path(__file__).with_suffix(".md").read_text(encoding="utf-8")]
    for name, columns in {"index": INDEX, "readings": READING_ROWS, "withdrawn": WITHDRAWN}.items():
        cells = [f"| `{column}` | {kind} | {meaning} |" for column, (kind, meaning) in columns.items()]
        lines += [f"## {name}", "", "| column | type | holds |", "|---|---|---|", *cells, ""]
    return "\n".join(lines).encode()


def board_files(entries: Sequence[Entry]) -> list[File]:
    """The files that add these runs, all of one workload and machine, to a board, in the order in which they are put.
    Raises CorruptRecordError for a run whose files cannot be read."""
    ordered = sorted(entries, key=lambda entry: entry.digest)
    ((workload, machine_id),) = {entry.partition for entry in ordered}  # they lie in one file
    contents: dict[str, Mapping[str, bytes]] = {}
    for entry in ordered:
        names = dict.fromkeys((RECORD, SAMPLES, *entry.run.record.files))
        run_name = next(name for name in run_names(entry.run.record.run_key) if name not in contents)
        contents[run_name] = {name: b"".join(read_blocks(entry.run.folder / name)) for name in names}
    packed = pack_bytes(contents)
    runs = File(f"runs/{_digest(packed)}/{PACK}", packed)
    folder = f"readings/workload={workload}/machine_id={machine_id}"
    rows: list[Sequence[Any]] = []
    for entry in ordered:
        columns = [entry.run.record.rows.column(name) for name in READINGS.types]
        cells = enumerate(zip(*columns, strict=True))
        rows += [(entry.digest, entry.run.record.case.id, number, *values) for number, values in cells]
    readings = _table(folder, READING_ROWS, rows)
    index = _table("index", INDEX, (_index_row(entry, readings.name, runs.name) for entry in ordered))
    return [runs, readings, index]


def withdrawn_file(withdrawn: Sequence[Entry]) -> File:
    """The file that names runs of the board as withdrawn."""
    withdrawals = {entry.digest: entry.run.withdrawal for entry in withdrawn if entry.run.withdrawal}
    rows = [(digest, entry.date, entry.reason, entry.by) for digest, entry in sorted(withdrawals.items())]
    return _table("withdrawn", WITHDRAWN, rows)


def known_runs(board: ObjectStore, folder: str) -> set[str]:
    """The digests of the runs that the tables in a folder of the board name. Raises CorruptRecordError for a table that
    is none of ours: nothing is added to a folder of something else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    digests = set[str]()
    # What else lies there is none of the board's: a killed push leaves the beginning of a table, with another ending.
    for name in (name for name in board.names(folder) if name.endswith(".parquet")):
        content = board.read(name, LARGEST_INDEX_BYTES)
        try:
            table = pq.ParquetFile(io.BytesIO(content), read_dictionary=[RECORD_DIGEST])
            if decoded_bytes(content) > MOST_UNPACKED_BYTES:
                raise CorruptRecordError("it holds more than an index of runs does")
            digests.update(table.read([RECORD_DIGEST], use_threads=False)[RECORD_DIGEST].unique().to_pylist())
        except (pa.ArrowException, OSError, CorruptRecordError) as error:
            raise CorruptRecordError(f"{name} of the board cannot be read: {one_line(str(error))}") from error
    return digests


def arrow_schema(columns: Columns) -> "pa.Schema":
    """The columns as Arrow has them."""
    import pyarrow as pa

    return pa.schema([(name, kind) for name, (kind, _) in columns.items()])


def _table(folder: str, columns: Columns, rows: Iterable[Sequence[Any]]) -> File:
    """A parquet file of these rows, whose cells are in the order of the columns, named by its digest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(columns)
    cells = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(cells, schema, strict=True)]
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays, schema=schema), buffer)
    return File(f"{folder}/{_digest(buffer.getvalue())}.parquet", buffer.getvalue())


def _index_row(entry: Entry, readings_file: str, runs_file: str) -> Sequence[Any]:
    """The cells of a run's row in the index."""
    record = entry.run.record
    case, environment, provenance = record.case, record.environment, record.provenance
    packages, gpus = environment.get("packages"), environment.get("gpus")
    row = {
        "record_sha256": entry.digest,
        "run_key": record.run_key,
        "case_id": case.id,
        "workload": case.workload,
        "axes": json.dumps(case.axes),
        "extras": json.dumps(case.extras),
        "status": str(record.status),
        "reason": _text(record.reason),
        "evidence": str(record.evidence),
        "machine_id": entry.partition[1],
        "cpu": _text(environment.get("cpu")),
        "gpu": _text(gpus[0]) if isinstance(gpus, list) and gpus else "",
        "started_at": started_at(record),
        "commit": _text(provenance.get("commit")),
        "dirty": provenance.get("dirty") is True,
        "suite_version": _text(provenance.get("suite_version")),
        "torch": _text(packages.get("torch")) if isinstance(packages, Mapping) else "",
        "readings": len(record.readings),
        "readings_file": readings_file,
        "runs_file": runs_file,
    }
    return [row[name] for name in INDEX]


def _digest(content: bytes) -> str:
    """The first DIGITS hexadecimal digits of the sha256."""
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def _text(value: Any) -> str:
    """A text of a record, which may be anybody's, as a cell may have it; empty for anything else."""
    return one_line(value)[:LONGEST_CELL] if isinstance(value, str) else ""
