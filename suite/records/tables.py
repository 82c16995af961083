"""A run's tables as columns: written in parquet, and read so that a hostile file costs no more than a refusal.

What a file takes in memory is bounded before it is taken. Its size, its rows and its pages are; one text is held once,
however many rows have it; and only what our writer uses is decoded, since other codecs and encodings make gigabytes of
a few bytes. Reading starts no threads: one of Arrow's may still let go of a buffer of Python's when the interpreter
ends, and that aborts it (apache/arrow#34314).
"""

import functools
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from suite.records.pages import chunks_of, page_bytes
from suite.records.plain_text import one_line
from suite.records.record import SCHEMA, CorruptRecordError

LARGEST_TABLE_BYTES, MOST_ROWS = 96 << 20, 2_000_000
"""The largest of results/reference have 446 kB and 36,899 rows: telemetry of 20 quantities, ten times a second, for
three minutes. A row takes at most 50 bytes in the file."""
MOST_TEXTS, LONGEST_TEXT, MOST_TEXT_BYTES = 10_000, 200, 32 << 20
"""Different ones in a column, letters of each, and bytes of all pages of the column. Ours have at most 38 letters."""
BYTES_A_LETTER = 4
"""In UTF-8, at most."""
UNCHECKED_BYTES = 4 << 20
"""Snappy makes at most 22 bytes of one, so that pages of a smaller file need no look."""
BATCH_ROWS = 1 << 16


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

    def rows_of(self, content: bytes, take: Callable[[int], None] = lambda rows: None) -> Iterator[dict[str, Any]]:
        """The rows one by one. Raises CorruptRecordError, on the way too, for a file that is none of ours.

        `take`: told of so many rows before they are made.
        """
        for batch in self.batches_of(content):
            take(batch.num_rows)
            columns = {
                name: _values(batch.column(name)) if name in batch.schema.names else [None] * batch.num_rows
                for name in self.columns.names
            }
            for row in zip(*columns.values(), strict=True):
                yield dict(zip(columns, row, strict=True))

    def batches_of(self, content: bytes) -> Iterator[pa.RecordBatch]:
        """The same in columns, some rows at a time, and texts as dictionaries."""
        try:
            rows = 0
            for batch in self._opened(content).iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                rows += batch.num_rows
                if rows > MOST_ROWS:
                    raise CorruptRecordError(f"{self.name} holds more than {MOST_ROWS:,} {self.rows}")
                self._check(batch)
                yield batch
        except UnicodeDecodeError as error:
            raise CorruptRecordError(f"{self.name} holds text that is none") from error
        except (OSError, pa.ArrowException, OverflowError, MemoryError) as error:
            raise CorruptRecordError(f"{self.name} cannot be read ({error.__class__.__name__})") from error

    def _opened(self, content: bytes) -> pq.ParquetFile:
        try:
            chunks = chunks_of(content)
        except CorruptRecordError as error:
            raise CorruptRecordError(f"{self.name} is no whole table: {error}") from error
        # Each is read for itself, so that chunks which lie in one place would count again and again.
        if sum(chunk.nbytes for chunk in chunks) > len(content):
            raise CorruptRecordError(f"{self.name} has columns that overlap")
        for chunk in chunks if len(content) > UNCHECKED_BYTES else ():
            if sum(page_bytes(content, chunk)) > MOST_TEXT_BYTES and chunk.column in self._texts:
                raise CorruptRecordError(f"{self.name} holds more than {MOST_TEXT_BYTES} bytes of text")
        of_another = CorruptRecordError(
            f"{self.name} must be of schema {SCHEMA}, with the columns {', '.join(self.columns.names)}"
        )
        try:
            file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=self._texts, pre_buffer=False)
        except KeyError as error:  # one of the texts is no column there
            raise of_another from error
        if not any(file.schema_arrow.equals(known, check_metadata=True) for known in self._as_read):
            raise of_another
        return file

    def _check(self, batch: pa.RecordBatch) -> None:
        if any(batch.column(name).null_count for name in self.required):
            *others, last = self.required
            raise CorruptRecordError(f"{self.name} has {self.rows} without a {', '.join(others)} or {last}")
        for name in self._texts:
            batch.column(name).validate(full=True)  # an index may lead out of its dictionary
            held = batch.column(name).dictionary
            is_many = len(held) > MOST_TEXTS or held.nbytes > MOST_TEXTS * BYTES_A_LETTER * LONGEST_TEXT
            texts = [] if is_many else [text for text in held.to_pylist() if text is not None]
            if is_many or any(len(text) > LONGEST_TEXT for text in texts):
                raise CorruptRecordError(
                    f"{self.name} has a {name} of more than {LONGEST_TEXT} letters, or more than {MOST_TEXTS:,} of them"
                )
            if any(one_line(text) != text for text in texts):
                raise CorruptRecordError(f"{self.name} has a {name} with control characters")

    @functools.cached_property
    def _texts(self) -> list[str]:
        return [column.name for column in self.columns if column.type == pa.string()]

    @functools.cached_property
    def _as_read(self) -> tuple[pa.Schema, pa.Schema]:
        """The schema today, and that of older files."""
        columns = [
            column.with_type(pa.dictionary(pa.int32(), pa.string())) if column.name in self._texts else column
            for column in self.columns
        ]
        older = [column for column in columns if column.name not in self.later]
        return pa.schema(columns, self.columns.metadata), pa.schema(older, self.columns.metadata)


def schema_of(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    """Columns with the version that every file carries."""
    return pa.schema(list(columns), metadata={"schema": str(SCHEMA)})


def _values(column: pa.Array) -> list[Any]:
    """Return objects of Python, one for each different text."""
    if isinstance(column, pa.DictionaryArray):
        texts = column.dictionary.to_pylist()
        return [None if index is None else texts[index] for index in _values(column.indices)]
    if column.null_count == len(column):
        return [None] * len(column)
    values: list[Any] = column.to_pylist() if column.null_count else column.to_numpy(zero_copy_only=False).tolist()
    return values
