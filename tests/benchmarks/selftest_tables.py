"""The raw times that `suite gate selftest` left: a table a run, beside the folder's lines or packed in one file."""

import zipfile
from pathlib import Path

PACK = "samples.zip"


def tables_in(folder: Path) -> dict[str, Path | zipfile.Path]:
    """Return the tables by the name of their run."""
    pack = folder / PACK
    packed = zipfile.Path(pack).iterdir() if pack.exists() else ()
    return {Path(table.name).stem: table for table in (*folder.glob("*.parquet"), *packed)}
