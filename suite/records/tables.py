"""A run's tables as columns: written in parquet, and read so that a hostile file costs no more than a refusal."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from suite.records.record import SCHEMA, CorruptRecordError

LARGEST_TABLE_BYTES, MOST_ROWS = 256 << 20, 4_000_000


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """One kind of table beside a record."""

    name: str
    rows: str
    """What a row is, in the plural."""
    columns: pa.Schema
    required: Sequence[str]
    """Columns without empty places."""
    later: Sequence[str] = ()
    """Columns that older files lack. All of their places are empty then."""

    def content(self, rows: Sequence[Any]) -> bytes:
        """The file of rows whose attributes are the columns."""
        columns = {
            name: pa.array([getattr(row, name) for row in rows], self.columns.field(name).type)
            for name in self.columns.names
        }
        written = io.BytesIO()
        pq.write_table(pa.table(columns, schema=self.columns), written)
        return written.getvalue()

    def rows_of(self, content: bytes) -> list[dict[str, Any]]:
        """Raises CorruptRecordError for a file that is none of ours."""
        try:
            file = pq.ParquetFile(io.BytesIO(content))
            groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
            # Compressed well, a small file can hold more than memory does.
            if file.metadata.num_rows > MOST_ROWS or sum(group.total_byte_size for group in groups) > (
                LARGEST_TABLE_BYTES
            ):
                raise CorruptRecordError(
                    f"{self.name} holds more than {MOST_ROWS} {self.rows} or {LARGEST_TABLE_BYTES} bytes"
                )
            if not any(file.schema_arrow.equals(known, check_metadata=True) for known in (self.columns, self._older)):
                raise CorruptRecordError(
                    f"{self.name} must be of schema {SCHEMA}, with the columns {', '.join(self.columns.names)}"
                )
            table = file.read()
            columns = {
                name: table.column(name).to_pylist() if name in table.column_names else [None] * table.num_rows
                for name in self.columns.names
            }
        except (OSError, pa.ArrowException, UnicodeDecodeError, OverflowError) as error:
            raise CorruptRecordError(f"{self.name} cannot be read ({error.__class__.__name__})") from error
        if any(None in columns[name] for name in self.required):
            *others, last = self.required
            raise CorruptRecordError(f"{self.name} has {self.rows} without a {', '.join(others)} or {last}")
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @property
    def _older(self) -> pa.Schema:
        kept = [column for column in self.columns if column.name not in self.later]
        return pa.schema(kept, metadata=self.columns.metadata)


def schema_of(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    """Columns with the version that every file carries."""
    return pa.schema(list(columns), metadata={"schema": str(SCHEMA)})
