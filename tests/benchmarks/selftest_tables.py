"""The raw times that `suite gate selftest` left: a table a run, beside the folder's lines or packed in one file.

Those of results/reference are of the time when they were written as parquet, with the same columns.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suite.gate.selftest import TABLE
from suite.gate.side_by_side.rounds import SAMPLES
from suite.records.store import read_file
from suite.records.tables import FLOAT, INT, LARGEST_TABLE_BYTES, TEXT, TableFile

PACK = "samples.zip"
OLDER = TableFile(
    name="samples as parquet",
    rows="samples",
    types={
        "launch": INT,
        "round": INT,
        "case": TEXT,
        "span": TEXT,
        "arm": INT,
        "position": INT,
        "wall_s": FLOAT,
        "thread_cpu_s": FLOAT,
        "process_cpu_s": FLOAT,
        "device_s": FLOAT,
        "involuntary_switches": INT,
        "calls": INT,
    },
    required=("launch", "round", "case", "span", "arm", "wall_s"),
)
SUFFIXES = (TABLE, ".parquet")


def tables_in(folder: Path) -> dict[str, Path | zipfile.Path]:
    """Return the tables by the name of their run."""
    pack = folder / PACK
    packed = zipfile.Path(pack).iterdir() if pack.exists() else ()
    return {
        table.name.removesuffix(suffix): table
        for table in (*folder.iterdir(), *packed)
        for suffix in SUFFIXES
        if table.name.endswith(suffix)
    }


def samples_of(table: Path | zipfile.Path) -> Iterator[dict[str, Any]]:
    """Yield the samples of a table. Raises CorruptRecordError for one that is none of ours."""
    kind = OLDER if table.name.endswith(".parquet") else SAMPLES
    content = read_file(table, LARGEST_TABLE_BYTES) if isinstance(table, Path) else table.read_bytes()
    return kind.rows_of(content)
