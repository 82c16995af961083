"""A run's tables as columns: written in parquet, and read so that a hostile file costs no more than a refusal.

What a file takes in memory is bounded before it is taken. Its size, its rows and its pages are; one text is held once,
however many rows have it; and only what our writer uses is decoded, since other codecs and encodings make gigabytes of
a few bytes. Arrow allocates what a page's header says, and ends the whole process at a codec that it does not know: so
the footer and the headers are read here first, structs of Thrift's compact protocol with the field numbers of
apache/parquet-format (FileMetaData, ColumnMetaData, PageHeader). Reading starts no threads: one of Arrow's may still
let go of a buffer of Python's when the interpreter ends, and that aborts it (apache/arrow#34314).

Arrow is imported where a table is written or read: the gate imports what lies beside it, and installs without it.
"""

import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from suite.records.plain_text import one_line
from suite.records.record import SCHEMA, CorruptRecordError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

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
Columns = dict[str, list[Any]]
"""Values by the name of their column."""
INT, FLOAT, TEXT = "int64", "float64", "string"
"""Arrow's names of the types that our columns have."""


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """One kind of table beside a record."""

    name: str
    rows: str
    """The name of a row, in the plural."""
    types: Mapping[str, str]
    """Arrow's name of each column's type."""
    required: Sequence[str]
    """Columns without empty places."""
    later: Sequence[str] = ()
    """Columns that older files lack. All of their places are empty then."""

    @functools.cached_property
    def columns(self) -> "pa.Schema":
        """Return the columns with the version that every file carries."""
        import pyarrow as pa

        columns = [(name, pa.type_for_alias(kind)) for name, kind in self.types.items()]
        return pa.schema(columns, metadata={"schema": str(SCHEMA)})

    def content(self, rows: Sequence[Any]) -> bytes:
        """Return the file of rows whose attributes are the columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            name: pa.array([getattr(row, name) for row in rows], self.columns.field(name).type)
            for name in self.columns.names
        }
        written = io.BytesIO()
        pq.write_table(pa.table(columns, schema=self.columns), written)
        return written.getvalue()

    def rows_of(self, content: bytes) -> Iterator[dict[str, Any]]:
        """Yield the rows one by one. Raises CorruptRecordError, on the way too, for a file that is none of ours."""
        for columns in self.columns_in(content):
            for row in zip(*columns.values(), strict=True):
                yield dict(zip(columns, row, strict=True))

    def columns_in(self, content: bytes, take: Callable[[int], None] = lambda rows: None) -> Iterator[Columns]:
        """Yield the values of every column, in their order, some rows at a time.

        `take`: told of so many rows before they are made.
        """
        for batch in self.batches_of(content):
            take(batch.num_rows)
            yield {
                name: _values(batch.column(name)) if name in batch.schema.names else [None] * batch.num_rows
                for name in self.columns.names
            }

    def batches_of(self, content: bytes) -> "Iterator[pa.RecordBatch]":
        """Yield the same as arrays, and texts as dictionaries."""
        import pyarrow as pa

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

    def _opened(self, content: bytes) -> "pq.ParquetFile":
        import pyarrow as pa
        import pyarrow.parquet as pq

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

    def _check(self, batch: "pa.RecordBatch") -> None:
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
        return [name for name, kind in self.types.items() if kind == TEXT]

    @functools.cached_property
    def _as_read(self) -> "tuple[pa.Schema, pa.Schema]":
        """The schema today, and that of older files."""
        import pyarrow as pa

        columns = [
            column.with_type(pa.dictionary(pa.int32(), pa.string())) if column.name in self._texts else column
            for column in self.columns
        ]
        older = [column for column in columns if column.name not in self.later]
        return pa.schema(columns, self.columns.metadata), pa.schema(older, self.columns.metadata)


def _values(column: "pa.Array") -> list[Any]:
    """Objects of Python, one for each different text."""
    import pyarrow as pa

    if isinstance(column, pa.DictionaryArray):
        texts = column.dictionary.to_pylist()
        return [None if index is None else texts[index] for index in _values(column.indices)]
    if column.null_count == len(column):
        return [None] * len(column)
    values: list[Any] = column.to_pylist() if column.null_count else column.to_numpy(zero_copy_only=False).tolist()
    return values


MAGIC = b"PAR1"
LARGEST_FOOTER_BYTES = 1 << 20
"""Ours have 3 kB."""
MOST_PAGE_BYTES, MOST_PAGES = 8 << 20, 10_000
"""Our writer ends a page after 1 MiB, and a chunk after a million rows."""
CODECS = (0, 1)
"""Not compressed, and Snappy: all that our writer uses. Others make gigabytes of a few bytes."""
MOST_LEVELS = 12
"""The most structs and lists within one another. A column's statistics lie six deep."""
END, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(13)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The pages of one column in one group of rows."""

    column: str
    begin: int
    nbytes: int


def chunks_of(content: bytes) -> list[Chunk]:
    """Return where each column lies. Raises CorruptRecordError for what is no parquet, or is compressed in a way that
    ours never is."""
    footer_bytes = int.from_bytes(content[-8:-4], "little")
    if footer_bytes > LARGEST_FOOTER_BYTES:
        raise CorruptRecordError(f"its footer has more than {LARGEST_FOOTER_BYTES} bytes")
    begin = len(content) - 8 - footer_bytes
    try:
        if content[:4] != MAGIC or content[-4:] != MAGIC or begin < len(MAGIC):
            raise IndexError(begin)
        footer, _ = _struct(content[:-8], begin)
        metas = [chunk[3] for group in footer.get(4, []) for chunk in group[1]]
        codecs = {meta[4] for meta in metas}
        found = [
            Chunk(
                column=b".".join(meta[3]).decode(),
                begin=min(int(meta[9]), int(meta.get(11) or meta[9])),
                nbytes=int(meta[7]),
            )
            for meta in metas
        ]
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptRecordError("it has no whole footer") from error
    if not codecs.issubset(CODECS):
        raise CorruptRecordError("it is not compressed as ours are")
    if any(chunk.begin < 0 or chunk.nbytes < 0 or chunk.begin + chunk.nbytes > begin for chunk in found):
        raise CorruptRecordError("a column lies outside of it")
    return found


def page_bytes(content: bytes, chunk: Chunk) -> Iterator[int]:
    """Yield the bytes of each page once it is unpacked. Raises CorruptRecordError for one that is too large, or is
    none."""
    at, end = chunk.begin, chunk.begin + chunk.nbytes
    try:
        for _ in range(MOST_PAGES):
            if at >= end:
                return
            header, at = _struct(content, at)
            unpacked, packed = int(header[2]), int(header[3])
            if not 0 <= unpacked <= MOST_PAGE_BYTES or packed < 0:
                raise CorruptRecordError(f"a column has a page of more than {MOST_PAGE_BYTES} bytes")
            yield unpacked
            at += packed
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise CorruptRecordError("a column has a page without a header") from error
    raise CorruptRecordError(f"a column has more than {MOST_PAGES:,} pages")


def _struct(content: bytes, at: int, levels: int = 1) -> tuple[dict[int, Any], int]:
    """Values by field, and where the struct ends. Raises IndexError or KeyError for what is none."""
    if levels > MOST_LEVELS:
        raise KeyError(levels)
    found: dict[int, Any] = {}
    field = 0
    while content[at] != END:
        step, kind = content[at] >> 4, content[at] & 15
        at += 1
        if step:
            field += step
        else:
            field, at = _integer(content, at)
        if kind in (TRUE, FALSE):
            found[field] = kind == TRUE
        else:
            found[field], at = _value(content, at, kind, levels)
    return found, at + 1


def _value(content: bytes, at: int, kind: int, levels: int) -> tuple[Any, int]:
    if kind in (I16, I32, I64):
        return _integer(content, at)
    if kind == BINARY:
        size, at = _varint(content, at)
        if size > len(content) - at:
            raise IndexError(at)
        return content[at : at + size], at + size
    if kind == STRUCT:
        return _struct(content, at, levels + 1)
    if kind in (LIST, SET):
        size, kind = content[at] >> 4, content[at] & 15
        at += 1
        if size == 15:
            size, at = _varint(content, at)
        if size > len(content) - at:  # each takes a byte at least
            raise IndexError(at)
        values = []
        for _ in range(size):
            value, at = _value(content, at, kind, levels + 1)
            values.append(value)
        return values, at
    if kind in (TRUE, FALSE, BYTE):  # a truth within a list is a byte
        return content[at], at + 1
    if kind == DOUBLE:
        return None, at + 8
    raise KeyError(kind)  # a map among them, which parquet has none of


def _integer(content: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(content, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise IndexError(at)
