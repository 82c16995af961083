"""Closes a sweep: writes the runs of a folder as tables, and reads them back before anything else is removed."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suite.records.record import OVERRIDES, RECORD, SAMPLES, SCHEMA, CorruptRecordError
from suite.records.stores.closed import (
    GROUP_ROWS,
    KINDS,
    MANIFEST,
    RUN_COLUMNS,
    RUNS,
    TABLE_NAME,
    TABLES,
    ClosedSweep,
    RowRange,
    closed_sweep,
    sweep_from,
)
from suite.records.stores.compact import COMPACT_TYPES, compacted
from suite.records.stores.files import sha256, whole_file, write_whole
from suite.records.stores.store import READINGS, StoredRecord, read_batches, read_file, read_record
from suite.records.stores.tables import FLOAT, FLOAT32, INT, TEXT, TableFile
from suite.records.stores.telemetry import SERIES

if TYPE_CHECKING:
    import pyarrow as pa

RUN = "run"
TABLE_FILES = (READINGS, SERIES)
FROM_A_FEW = ("launch", "involuntary_switches")
"""Columns of whole numbers that have few values."""


def close_sweep(folder: Path, runs: Sequence[StoredRecord], *, compact: bool = False) -> int:
    """Write these runs of a folder, and those of its tables, as new tables. Returns their bytes.

    `compact`: with clocks of seven digits and telemetry summed up, as tables that were compact stay; else every number
    is kept as it is.

    The manifest is put in place once each run was read back and found equal; only then do earlier tables leave. The
    caller is `alone_in` the folder. Raises CorruptRecordError for a run that cannot be read, or is not read back as it
    was.
    """
    before = closed_sweep(folder)
    compact = compact or (before is not None and before.is_compact)
    by_name = {run.folder.name: run for run in runs}
    for name in before.runs.keys() - by_name.keys() if before else ():
        by_name[name] = StoredRecord(record=read_record(folder / name, with_readings=False), folder=folder / name)
    runs = [by_name[name] for name in sorted(by_name)]
    names = _new_names(before)
    ranges = {
        KINDS[table.name]: _write_rows(folder / names[KINDS[table.name]], table, runs, compact) for table in TABLE_FILES
    }
    _write_table(folder / names[RUNS], RUN_COLUMNS, [_run_rows(runs, ranges)])
    tables = {kind: {"file": names[kind], "sha256": sha256(folder / names[kind])} for kind in TABLES}
    manifest = (json.dumps({"schema": SCHEMA, "compact": compact, "tables": tables}, indent=1) + "\n").encode()
    _check(sweep_from(manifest, folder), runs, compact)
    if closed_sweep(folder) != before:
        raise CorruptRecordError(f"{MANIFEST} was replaced meanwhile, by a process that holds no lock")
    write_whole(folder / MANIFEST, manifest)
    for path in folder.iterdir():  # earlier tables, and those that a killed process has left
        if TABLE_NAME.fullmatch(path.name) and path.name not in names.values():
            path.unlink()
    return sum((folder / name).stat().st_size for name in names.values())


def _new_names(before: ClosedSweep | None) -> dict[str, str]:
    """A file's name for each table, that no table of before has: a reader may have the old manifest in hand."""
    if before is None:
        return {kind: f"{kind}.parquet" for kind in TABLES}
    match = TABLE_NAME.fullmatch(before.files[RUNS])
    number = int(match["number"] or 1) + 1 if match else 1
    return {kind: f"{kind}-{number}.parquet" for kind in TABLES}


def _rows_to_write(table: TableFile, run: StoredRecord, compact: bool) -> "pa.Table":
    """A run's rows of a table; none where the run took none."""
    is_there = table.name == SAMPLES or table.name in run.record.files
    rows = _as_table(table, read_batches(table, run.folder, run.record) if is_there else [])
    return compacted(table, rows, run.record) if compact else rows


def _as_table(table: TableFile, batches: "Sequence[pa.RecordBatch]") -> "pa.Table":
    """Rows of a run with texts as such and without missing columns."""
    import pyarrow as pa

    schema = table.schema.remove_metadata()
    columns = []
    for column in schema:
        chunks = [batch.column(column.name).cast(column.type) for batch in batches if column.name in batch.schema.names]
        missing = sum(batch.num_rows for batch in batches) - sum(map(len, chunks))  # of a column that older files lack
        columns.append(pa.concat_arrays([*chunks, pa.nulls(missing, column.type)]))
    return pa.Table.from_arrays(columns, schema=schema)


def _write_rows(path: Path, table: TableFile, runs: Sequence[StoredRecord], compact: bool) -> dict[str, RowRange]:
    """Write the rows of all runs into one table, and return where those of each lie. No run is parted by a row
    group."""
    import pyarrow as pa

    ranges: dict[str, RowRange] = {}
    first = 0

    def groups() -> Iterator[pa.Table]:
        nonlocal first
        waiting, num_waiting = list[pa.Table](), 0
        for run in runs:
            rows = _rows_to_write(table, run, compact)
            if waiting and num_waiting + rows.num_rows > GROUP_ROWS:
                yield pa.concat_tables(waiting)
                waiting, num_waiting = [], 0
            ranges[run.folder.name] = RowRange(first=first, count=rows.num_rows)
            first += rows.num_rows
            num_waiting += rows.num_rows
            name = pa.repeat(run.folder.name, rows.num_rows)
            waiting.append(rows.add_column(0, pa.field(RUN, pa.string()), name))
        yield pa.concat_tables(waiting)

    rounded = COMPACT_TYPES if compact and table is READINGS else {}
    _write_table(path, {RUN: TEXT, **table.types, **rounded}, groups())
    return ranges


def _run_rows(runs: Sequence[StoredRecord], ranges: Mapping[str, Mapping[str, RowRange]]) -> "pa.Table":
    """The table of runs. `ranges`: where the rows of each run lie, by table."""
    import pyarrow as pa

    rows = []
    for run in runs:
        name, case = run.folder.name, run.record.case
        overrides = read_file(run.folder / OVERRIDES).decode() if OVERRIDES in run.record.files else None
        readings, samples = (ranges[KINDS[table.name]][name] for table in TABLE_FILES)
        rows.append(
            {
                "run": name,
                "workload": case.workload,
                "case_id": case.id,
                "status": str(run.record.status),
                "record": read_file(run.folder / RECORD).decode(),
                "overrides": overrides,
                "first_reading": readings.first,
                "readings": readings.count,
                "first_sample": samples.first,
                "samples": samples.count,
            }
        )
    return pa.Table.from_pylist(rows, schema=_schema(RUN_COLUMNS))


def _schema(types: Mapping[str, str]) -> "pa.Schema":
    import pyarrow as pa

    columns = [(name, pa.type_for_alias(kind)) for name, kind in types.items()]
    return pa.schema(columns, metadata={"schema": str(SCHEMA)})


def _write_table(path: Path, types: Mapping[str, str], groups: "Iterable[pa.Table]") -> None:
    """Write a table, a row group for each of `groups`, in one step."""
    import pyarrow.parquet as pq

    # Doubles that differ in every row shrink by their bytes apart; all else repeats.
    encodings = {name: "BYTE_STREAM_SPLIT" for name, kind in types.items() if kind in (FLOAT, FLOAT32)}
    encodings |= {name: "DELTA_BINARY_PACKED" for name, kind in types.items() if kind == INT and name not in FROM_A_FEW}
    in_dictionaries = [name for name in types if name not in encodings]
    schema = _schema(types)
    with (
        whole_file(path) as file,
        pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            compression_level=12,
            write_page_checksum=True,
            use_dictionary=in_dictionaries,
            column_encoding=encodings,
        ) as writer,
    ):
        for group in groups:
            writer.write_table(group.cast(schema), row_group_size=max(group.num_rows, 1))


def _bits(table: "pa.Table") -> "pa.Table":
    """A table with its doubles as whole numbers, so that NaN equals itself."""
    import pyarrow as pa

    columns = [column.combine_chunks() for column in table.columns]
    return pa.table(
        [column.view(pa.int64()) if pa.types.is_float64(column.type) else column for column in columns],
        names=table.column_names,
    )


def _check(sweep: ClosedSweep, runs: Sequence[StoredRecord], compact: bool) -> None:
    """Read each run back. Raises CorruptRecordError for one that is another than it was."""
    for run in runs:
        name = run.folder.name
        files = sweep.runs[name].files
        names = [RECORD, *([OVERRIDES] if OVERRIDES in run.record.files else [])]
        is_same = [files.get(part) == read_file(run.folder / part) for part in names]
        for table in TABLE_FILES:
            written, read = _rows_to_write(table, run, compact), _as_table(table, sweep.batches(table, name))
            is_same.append(_bits(written) == _bits(read))
        if not all(is_same):
            raise CorruptRecordError(f"{name} was not read back as it was written")
