"""A run's tables as columns, written and read as parquet.

Reading starts no threads: one of Arrow's may still let go of a buffer of Python's when the interpreter ends, and that
aborts it (apache/arrow#34314). Arrow is imported where a table is written or read: the gate imports what lies beside
it, and installs without it.
"""

import contextlib
import functools
import io
import itertools
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.machine.plain_text import one_line
from suite.records.record import SCHEMA, CorruptRecordError, Rows, as_array

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 1 << 16
INT, FLOAT, FLOAT32, TEXT = "int64", "float64", "float32", "string"
"""Arrow's names of the types that our columns have."""


@dataclass(frozen=True, kw_only=True, eq=False)
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

    def batches_in(self, content: bytes) -> "list[pa.RecordBatch]":
        """The rows of a file. Raises CorruptRecordError for one that is none of ours."""
        import pyarrow as pa

        try:
            batches = list(self._opened(content).iter_batches(batch_size=BATCH_ROWS, use_threads=False))
            for batch in batches:
                self._check_batch(batch)
            return batches
        except UnicodeDecodeError as error:
            raise CorruptRecordError(f"{self.name} holds text that is none") from error
        except (OSError, pa.ArrowException, OverflowError, MemoryError) as error:
            raise CorruptRecordError(f"{self.name} cannot be read ({error.__class__.__name__})") from error

    def _opened(self, content: bytes) -> "pq.ParquetFile":
        """Open a table and check its schema. Raises CorruptRecordError for another one, and Arrow's errors."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with contextlib.suppress(KeyError):  # one of the texts is no column there
            # Pre-buffering would start threads.
            file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=self.texts, pre_buffer=False)
            if any(file.schema_arrow.equals(schema, check_metadata=True) for schema in self._schemas_as_read):
                return file
        columns = ", ".join(self.types)
        raise CorruptRecordError(f"{self.name} must be of schema {SCHEMA}, with the columns {columns}")

    def _check_batch(self, batch: "pa.RecordBatch") -> None:
        """Raise CorruptRecordError for missing values, and texts that are no plain line."""
        if any(batch.column(name).null_count for name in self.required):
            *first, last = self.required
            raise CorruptRecordError(f"{self.name} has {self.rows} without a {', '.join(first)} or {last}")
        for name in self.texts:
            batch.column(name).validate(full=True)  # an index may lead out of its dictionary
            texts = batch.column(name).dictionary.to_pylist()
            if not all(_is_plain_line(text) for text in texts if text is not None):
                raise CorruptRecordError(f"{self.name} has a {name} with control characters")

    def batch_in(self, table: "pa.Table") -> "pa.RecordBatch":
        """The rows of a closed sweep's table, in the types of today. Raises CorruptRecordError for another table."""
        import pyarrow as pa

        try:
            columns = table.select(list(self.types)).cast(self.schema_as_read).combine_chunks()
        except (KeyError, pa.ArrowException) as error:
            raise CorruptRecordError(f"{self.name} must have the columns {', '.join(self.types)}") from error
        (batch,) = columns.to_batches() or [pa.RecordBatch.from_pylist([], columns.schema)]
        self._check_batch(batch)
        return batch

    @property
    def texts(self) -> list[str]:
        """The names of the columns of texts."""
        return [name for name, kind in self.types.items() if kind == TEXT]

    @functools.cached_property
    def schema(self) -> "pa.Schema":
        """The columns with the version that every file carries."""
        import pyarrow as pa

        columns = [(name, pa.type_for_alias(kind)) for name, kind in self.types.items()]
        return pa.schema(columns, metadata={"schema": str(SCHEMA)})

    @functools.cached_property
    def _schemas_as_read(self) -> "tuple[pa.Schema, pa.Schema]":
        """The schema of today, and that of older files."""
        import pyarrow as pa

        columns = self.schema_as_read
        older = [column for column in columns if column.name not in self.later]
        return columns.with_metadata(self.schema.metadata), pa.schema(older, self.schema.metadata)

    @functools.cached_property
    def schema_as_read(self) -> "pa.Schema":
        """The columns with their types, where texts are numbers of a dictionary."""
        import pyarrow as pa

        text = pa.dictionary(pa.int32(), pa.string())
        return pa.schema([(name, text if kind == TEXT else kind) for name, kind in self.types.items()])


# Most tables have the texts of the one before.
_is_plain_line = functools.lru_cache(maxsize=1 << 12)(lambda text: one_line(text) == text)
VALUE_BYTES = 32
"""Of a number of Python, and of its place in a list."""


def decoded_bytes(path: Path) -> int:
    """The most bytes that a row group of a table takes in memory once its columns are values of Python; 0 for what is
    no table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    except (ValueError, pa.ArrowException):
        return 0
    return max(
        (max(group.num_rows * group.num_columns * VALUE_BYTES, group.total_byte_size) for group in groups), default=0
    )


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
