"""The raw times that `suite gate selftest` left: a table a run, beside the folder's lines or packed in one file.

Those of results/reference are packed: `zip -0 samples.zip *.csv.gz`.
"""

import csv
import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suite.gate.rules.decision import Sample
from suite.gate.selftest import TABLE

PACK = "samples.zip"


def tables_in(folder: Path) -> dict[str, Path | zipfile.Path]:
    """The tables of a folder and its pack, by the name of their run."""
    pack = folder / PACK
    packed = zipfile.Path(pack).iterdir() if pack.exists() else ()
    return {
        table.name.removesuffix(TABLE): table for table in (*folder.iterdir(), *packed) if table.name.endswith(TABLE)
    }


def samples_of(table: Path | zipfile.Path) -> Iterator[dict[str, Any]]:
    """Yield a table's rows with typed values, None for an empty cell."""
    for row in csv.DictReader(gzip.decompress(table.read_bytes()).decode().splitlines()):
        yield {name: _READERS[Sample.__annotations__[name]](cell) if cell else None for name, cell in row.items()}


_READERS = {int: int, float: float, float | None: float, str: str}
