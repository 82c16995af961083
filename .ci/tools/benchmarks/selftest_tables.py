"""The raw times that `suite gate selftest` left: a table a run, beside the folder's lines or packed in one file.

Those of results/reference are packed: `zip -0 samples.zip *.csv.gz`.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suite.gate.selftest import TABLE
from suite.gate.side_by_side.rounds import SAMPLES
from suite.records.stores.store import read_file
from suite.records.stores.tables import LARGEST_TABLE_BYTES

PACK = "samples.zip"


def tables_in(folder: Path) -> dict[str, Path | zipfile.Path]:
    """Return the tables by the name of their run."""
    pack = folder / PACK
    packed = zipfile.Path(pack).iterdir() if pack.exists() else ()
    return {
        table.name.removesuffix(TABLE): table for table in (*folder.iterdir(), *packed) if table.name.endswith(TABLE)
    }


def samples_of(table: Path | zipfile.Path) -> Iterator[dict[str, Any]]:
    """Yield the samples of a table. Raises CorruptRecordError for one that is none of ours."""
    content = read_file(table, LARGEST_TABLE_BYTES) if isinstance(table, Path) else table.read_bytes()
    return SAMPLES.rows_of(content)
