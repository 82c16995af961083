"""A run's tables as columns: written in parquet, and read so that a hostile file costs no more than a refusal.

What a file takes in memory is bounded before it is taken: its size, its rows and its pages are, one text is held once,
however many rows have it, and only what our writer uses is decoded, since other codecs make gigabytes of a few bytes.
Arrow allocates what a page's header says, and ends the whole process at a codec that it does not know: turning one of
139 bits among the 20,800 of a small table is enough (Arrow 26). So `column_chunks` reads the footer first.

Why not in a child process with a memory limit: that takes 0.15 s of a CPU for every command and again for every file
that ends it, where reading a footer here takes 0.3 ms, and macOS and Windows enforce no such limit. Reading starts no
threads: one of Arrow's may still let go of a buffer of Python's when the interpreter ends, and that aborts it
(apache/arrow#34314).

Arrow is imported where a table is written or read: the gate imports what lies beside it, and installs without it.
"""

import contextlib
import functools
import io
import itertools
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from suite.records.plain_text import one_line
from suite.records.record import SCHEMA, Columns, CorruptRecordError, Rows, as_array

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

LARGEST_TABLE_BYTES, MOST_ROWS = 96 << 20, 2_000_000
"""The largest of results/reference have 446 kB and 36,899 rows: telemetry of 20 quantities, ten times a second, for
three minutes. A row takes at most 50 bytes in the file."""
MOST_TEXT_BYTES, UNCHECKED_BYTES = 32 << 20, 4 << 20
"""Of all pages of a column of texts. Snappy makes at most 22 bytes of one, so that a smaller file needs no look."""
MOST_TEXTS, LONGEST_TEXT, BYTES_A_LETTER = 10_000, 200, 4
"""Different ones in a column, letters of each, and bytes of a letter in UTF-8. Ours have at most 38 letters."""
BATCH_ROWS = 1 << 16
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
    renamed: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    """Of columns of texts, the name of today of one that an older file may have."""

    def content(self, rows: Sequence[Any]) -> bytes:
        """The bytes of a parquet file of these rows, whose attributes are the columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = [
            _arrow_column(rows.column(name) if isinstance(rows, Rows) else [getattr(row, name) for row in rows], kind)
            for name, kind in self.types.items()
        ]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(columns, schema=self.schema), buffer)
        return buffer.getvalue()

    def columns_in(self, content: bytes, take: Callable[[int], None] = lambda rows: None) -> Columns:
        """The values of every column, in their order. Raises CorruptRecordError for a file that is none of ours.
        `take`: called with the number of rows of each batch before they are made; it may raise."""
        import pyarrow as pa

        try:
            batches, rows = [], 0
            for batch in self._opened(content).iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                rows += batch.num_rows
                if rows > MOST_ROWS:
                    raise CorruptRecordError(f"{self.name} holds more than {MOST_ROWS:,} {self.rows}")
                take(batch.num_rows)
                self._check_batch(batch)
                batches.append(batch)
            return DecodedColumns(self, batches)
        except UnicodeDecodeError as error:
            raise CorruptRecordError(f"{self.name} holds text that is none") from error
        except (OSError, pa.ArrowException, OverflowError, MemoryError) as error:
            raise CorruptRecordError(f"{self.name} cannot be read ({error.__class__.__name__})") from error

    def _opened(self, content: bytes) -> "pq.ParquetFile":
        """Open a table after its footer, its pages and its schema were checked. Raises CorruptRecordError."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            chunks = column_chunks(content)
        except CorruptRecordError as error:
            raise CorruptRecordError(f"{self.name} is no whole table: {error}") from error
        texts = [name for name, kind in self.types.items() if kind == TEXT]
        for chunk in chunks if len(content) > UNCHECKED_BYTES else ():
            if sum(page_bytes(content, chunk)) > MOST_TEXT_BYTES and chunk.column in texts:
                raise CorruptRecordError(f"{self.name} holds more than {MOST_TEXT_BYTES} bytes of text")
        with contextlib.suppress(KeyError):  # one of the texts is no column there
            # Pre-buffering would start threads.
            file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts, pre_buffer=False)
            if any(file.schema_arrow.equals(schema, check_metadata=True) for schema in self._schemas_as_read):
                return file
        columns = ", ".join(self.types)
        raise CorruptRecordError(f"{self.name} must be of schema {SCHEMA}, with the columns {columns}")

    def _check_batch(self, batch: "pa.RecordBatch") -> None:
        """Raise CorruptRecordError for missing values, and texts that are too long, too many or no plain line."""
        if any(batch.column(name).null_count for name in self.required):
            *first, last = self.required
            raise CorruptRecordError(f"{self.name} has {self.rows} without a {', '.join(first)} or {last}")
        for name in (name for name, kind in self.types.items() if kind == TEXT):
            batch.column(name).validate(full=True)  # an index may lead out of its dictionary
            dictionary = batch.column(name).dictionary
            is_many = len(dictionary) > MOST_TEXTS or dictionary.nbytes > MOST_TEXTS * BYTES_A_LETTER * LONGEST_TEXT
            texts = [] if is_many else [text for text in dictionary.to_pylist() if text is not None]
            if is_many or any(len(text) > LONGEST_TEXT for text in texts):
                raise CorruptRecordError(
                    f"{self.name} has a {name} of more than {LONGEST_TEXT} letters, or more than {MOST_TEXTS:,} of them"
                )
            if not all(map(_is_plain_line, texts)):
                raise CorruptRecordError(f"{self.name} has a {name} with control characters")

    @functools.cached_property
    def schema(self) -> "pa.Schema":
        """The columns with the version that every file carries."""
        import pyarrow as pa

        columns = [(name, pa.type_for_alias(kind)) for name, kind in self.types.items()]
        return pa.schema(columns, metadata={"schema": str(SCHEMA)})

    @functools.cached_property
    def _schemas_as_read(self) -> "tuple[pa.Schema, pa.Schema]":
        """The schema of today, and that of older files; their texts are numbers of a dictionary."""
        import pyarrow as pa

        text = pa.dictionary(pa.int32(), pa.string())
        columns = [column.with_type(text) if self.types[column.name] == TEXT else column for column in self.schema]
        older = [column for column in columns if column.name not in self.later]
        return pa.schema(columns, self.schema.metadata), pa.schema(older, self.schema.metadata)


# Most tables have the texts of the one before.
_is_plain_line = functools.lru_cache(maxsize=1 << 12)(lambda text: one_line(text) == text)
TYPECODES = {"int32": "i", "int64": "q", "double": "d", FLOAT: "d"}


def _arrow_column(values: Sequence[Any], kind: str) -> "pa.Array":
    """Values of Python, or None, as Arrow holds them. Made of buffers, since `pa.array` imports pandas: 0.4 s."""
    import numpy as np
    import pyarrow as pa

    is_valid = [value is not None for value in values]
    buffers = [None if all(is_valid) else pa.py_buffer(np.packbits(is_valid, bitorder="little"))]
    if kind == TEXT:
        texts = [b"" if value is None else value.encode() for value in values]
        ends = array("i", itertools.accumulate(map(len, texts), initial=0))
        buffers += [pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    else:
        buffers.append(pa.py_buffer(array(TYPECODES[kind], [0 if value is None else value for value in values])))
    return pa.Array.from_buffers(pa.type_for_alias(kind), len(values), buffers)


class DecodedColumns(Mapping[str, Sequence[Any]]):
    """The columns of a table as Arrow decoded them. One becomes values of Python when it is first asked for, in place
    of Arrow's: most readers look at three of nine columns."""

    def __init__(self, table: TableFile, batches: "Sequence[pa.RecordBatch]") -> None:
        import pyarrow as pa

        names = batches[0].schema.names if batches else []
        chunks = dict(zip(names, zip(*(batch.columns for batch in batches), strict=True), strict=True))
        empty = [pa.nulls(sum(batch.num_rows for batch in batches))]  # where the file is too old to have it
        self._table = table
        self._columns: dict[str, Sequence[Any]] = {}
        self._different: dict[str, tuple[npt.NDArray[np.int32], list[Any]]] = {}
        self._decoded: dict[str, Sequence[pa.Array]] = {name: chunks.get(name, empty) for name in table.types}

    def __len__(self) -> int:
        return len(self._table.types)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.types)

    def __getitem__(self, name: str) -> Sequence[Any]:
        if name not in self._columns:
            if self._table.types[name] == TEXT:
                numbers, texts = self._numbered(name)
                self._columns[name] = list(map(texts.__getitem__, numbers.tolist()))
            else:
                self._columns[name] = _column_values(self._decoded.pop(name))
        return self._columns[name]

    def places_by(self, names: Sequence[str]) -> dict[tuple[Any, ...], "array[int]"]:
        """The places of the rows, grouped by their values in these columns, in the order in which those come."""
        import numpy as np

        columns = [self._numbered(name) for name in names]
        combined = np.zeros(len(columns[0][0]), dtype=np.intp)
        for numbers, values in columns:
            combined = combined * len(values) + numbers
        if math.prod(len(values) for _, values in columns) < 1 << 15:
            combined = combined.astype(np.int16)  # is sorted by its digits, in a tenth of the time
        order = np.argsort(combined, kind="stable")
        ends = [*(np.flatnonzero(np.diff(combined[order])) + 1).tolist(), len(order)]
        places = array("q", order.tobytes())
        groups = sorted(places[begin:end] for begin, end in zip([0, *ends], ends, strict=False) if begin < end)
        firsts = [group[0] for group in groups]
        keys = ([values[number] for number in numbers[firsts].tolist()] for numbers, values in columns)
        return dict(zip(zip(*keys, strict=True), groups, strict=True))

    def _numbered(self, name: str) -> "tuple[npt.NDArray[np.int32], list[Any]]":
        """For each row the number of its value among the different ones, and those."""
        import numpy as np

        if name not in self._different:
            codes: dict[Any, int] = {}
            if self._table.types[name] == TEXT:
                renamed = self._table.renamed.get(name, str)
                chunks = [_text_numbers(chunk, renamed, codes) for chunk in self._decoded.pop(name)]
            else:
                chunks = [np.array([codes.setdefault(value, len(codes)) for value in self[name]], dtype=np.int32)]
            self._different[name] = np.concatenate(chunks), list(codes)
        return self._different[name]

    def array(self, name: str, empty: float) -> "npt.NDArray[np.float64]":
        """A column of numbers, with `empty` where none is."""
        import numpy as np

        if name not in self._decoded:
            return as_array(self._columns[name], empty)
        chunks = [_numbers(chunk, empty).astype(float, copy=False) for chunk in self._decoded[name]]
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def _column_values(chunks: "Sequence[pa.Array]") -> Sequence[Any]:
    """Numbers side by side, where none is missing; else objects of Python."""
    if all(chunk.null_count == len(chunk) for chunk in chunks):
        return [None] * sum(map(len, chunks))
    if any(chunk.null_count for chunk in chunks):
        return [value for chunk in chunks for value in chunk.to_pylist()]
    numbers: array[Any] = array(TYPECODES[str(chunks[0].type)])
    for chunk in chunks:  # not by to_numpy(), which imports pandas in 0.2 s
        numbers.frombytes(_numbers(chunk, empty=0).tobytes())
    return numbers


def _text_numbers(
    chunk: "pa.Array", renamed: Callable[[str], str], codes: dict[str | None, int]
) -> "npt.NDArray[np.int32]":
    """The codes of a chunk's texts; `codes` gets those that it lacks."""
    import numpy as np

    if chunk.null_count == len(chunk):  # of a column that an older file lacks, there is no dictionary
        return np.full(len(chunk), codes.setdefault(None, len(codes)), np.int32)
    texts = [*map(renamed, chunk.dictionary.to_pylist()), *[None] * bool(chunk.null_count)]
    numbers = np.array([codes.setdefault(text, len(codes)) for text in texts], dtype=np.int32)
    return numbers.take(_numbers(chunk.indices, empty=len(texts) - 1))


def _numbers(chunk: "pa.Array", empty: float) -> "npt.NDArray[Any]":
    """Numbers with `empty` where none is. They may lie in the chunk's own buffer, which is not written to."""
    import numpy as np

    if chunk.null_count == len(chunk):
        return np.full(len(chunk), empty)
    is_valid, values = chunk.buffers()
    rows = slice(chunk.offset, chunk.offset + len(chunk))
    numbers = np.frombuffer(values, TYPECODES[str(chunk.type)])[rows]
    if not chunk.null_count:
        return numbers
    return np.where(np.unpackbits(np.frombuffer(is_valid, np.uint8), bitorder="little")[rows], numbers, empty)


MAGIC = b"PAR1"
LARGEST_FOOTER_BYTES, LARGEST_HEADER_BYTES = 1 << 20, 64 << 10
"""Ours have 3 kB, and those of pages 100 bytes."""
MOST_PAGE_BYTES, MOST_PAGES = 8 << 20, 10_000
"""Our writer ends a page after 1 MiB, and a chunk after a million rows."""
CODECS = (0, 1)
"""Not compressed, and Snappy: all that our writer uses. Others make gigabytes of a few bytes."""
MOST_LEVELS = 12
"""The most structs and lists within one another. A column's statistics lie six deep."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The pages of one column in one group of rows."""

    column: str
    begin: int
    nbytes: int


def column_chunks(content: bytes) -> list[Chunk]:
    """Where each column lies. Raises CorruptRecordError for what is no parquet, or not as ours are.

    By the field numbers of apache/parquet-format: FileMetaData, RowGroup, ColumnChunk, ColumnMetaData, PageHeader.
    """
    footer_bytes = int.from_bytes(content[-8:-4], "little")
    if footer_bytes > LARGEST_FOOTER_BYTES:
        raise CorruptRecordError(f"its footer has more than {LARGEST_FOOTER_BYTES} bytes")
    begin = len(content) - 8 - footer_bytes
    try:
        if content[:4] != MAGIC or content[-4:] != MAGIC or begin < len(MAGIC):
            raise IndexError(begin)
        footer, _ = _thrift_struct(content[begin:-8], 0)
        metas = [chunk[3] for group in footer.get(4, []) for chunk in group[1]]
        codecs = {meta[4] for meta in metas}
        chunks = [
            Chunk(
                column=b".".join(meta[3]).decode(),
                begin=min(int(meta[9]), int(meta.get(11) or meta[9])),
                nbytes=int(meta[7]),
            )
            for meta in metas
        ]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CorruptRecordError("it has no whole footer") from error
    if not codecs.issubset(CODECS):
        raise CorruptRecordError("it is not compressed as ours are")
    if any(chunk.begin < 0 or chunk.nbytes < 0 or chunk.begin + chunk.nbytes > begin for chunk in chunks):
        raise CorruptRecordError("a column lies outside of it")
    # Each is read for itself, so that chunks which lie in one place would count again and again.
    if sum(chunk.nbytes for chunk in chunks) > len(content):
        raise CorruptRecordError("it has columns that overlap")
    return chunks


def page_bytes(content: bytes, chunk: Chunk) -> Iterator[int]:
    """The bytes of each page once it is unpacked. Raises CorruptRecordError for one that is too large, or is none."""
    at, end = chunk.begin, chunk.begin + chunk.nbytes
    try:
        for _ in range(MOST_PAGES):
            if at >= end:
                return
            header, header_bytes = _thrift_struct(content[at : min(end, at + LARGEST_HEADER_BYTES)], 0)
            unpacked, packed = int(header[2]), int(header[3])
            if not 0 <= unpacked <= MOST_PAGE_BYTES or packed < 0:
                raise CorruptRecordError(f"a column has a page of more than {MOST_PAGE_BYTES} bytes")
            yield unpacked
            at += header_bytes + packed
    except (LookupError, TypeError, ValueError) as error:
        raise CorruptRecordError("a column has a page without a header") from error
    raise CorruptRecordError(f"a column has more than {MOST_PAGES:,} pages")


TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, _MAP, STRUCT = range(1, 13)
INTEGERS = (I16, I32, I64)


def _thrift_struct(data: bytes, at: int, levels: int = 0) -> tuple[dict[int, Any], int]:
    """A struct of Thrift's compact protocol that begins at a place, by field number, and the place of its end. Raises
    as `column_chunks` catches it."""
    fields: dict[int, Any] = {}
    number = 0
    while byte := data[at]:
        kind, at = byte & 15, at + 1
        if byte >> 4:
            number += byte >> 4
        else:
            number, at = _thrift_integer(data, at)
        if kind in (TRUE, FALSE):  # the kind of a field holds it already
            fields[number] = kind == TRUE
        elif kind in INTEGERS and data[at] < 128:  # most of them, without a call for each
            fields[number], at = (data[at] >> 1) ^ -(data[at] & 1), at + 1
        elif kind == BINARY and data[at] < 128:
            end = _within(data, at + 1 + data[at])
            fields[number], at = data[at + 1 : end], end
        else:
            fields[number], at = _thrift_value(data, at, kind, levels + 1)
    return fields, at + 1


def _thrift_value(data: bytes, at: int, kind: int, levels: int) -> tuple[Any, int]:
    """A value of another kind in the same way."""
    if levels > MOST_LEVELS:
        raise LookupError(levels)
    if kind == STRUCT:
        return _thrift_struct(data, at, levels)
    if kind in INTEGERS:
        return _thrift_integer(data, at)
    if kind == BINARY:
        size, at = _varint(data, at)
        return data[at : at + size], _within(data, at + size)
    if kind in (LIST, SET):
        kind, size, at = data[at] & 15, data[at] >> 4, at + 1
        if size == 15:
            size, at = _varint(data, at)
        values = []
        for _ in range(size):  # each takes a byte at least
            value, at = _thrift_value(data, at, kind, levels + 1)
            values.append(value)
        return values, at
    if kind in (TRUE, FALSE, BYTE):  # a truth within a list is a byte
        return data[at], at + 1
    if kind == DOUBLE:
        return data[at : at + 8], _within(data, at + 8)
    raise LookupError(kind)  # a map among them, which parquet has none of


def _within(data: bytes, end: int) -> int:
    """The same place. Raises LookupError where it lies after the end of the data."""
    if end > len(data):
        raise LookupError(end)
    return end


def _thrift_integer(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag-encoded integer, and the place of its end."""
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """An integer of 7 bits a byte, the lowest first. Raises LookupError for one of more than 64 bits."""
    value = shift = 0
    while (byte := data[at]) > 127:
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if shift > 63:
            raise LookupError(shift)
    return value | byte << shift, at + 1
