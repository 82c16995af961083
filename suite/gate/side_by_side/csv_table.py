"""The gate's raw tables as gzipped CSV: whoever only gates installs no Arrow, and any tool reads them.

Numbers are written with all their digits, so that they come back as they were, and an empty cell is a null. A file may
be anybody's: what it takes in memory is bounded before it is unpacked, and only what the writer writes is accepted.
"""

import csv
import functools
import gzip
import io
import typing
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.configuration.untrusted import finite_number, whole_number
from suite.records.plain_text import one_line
from suite.records.record import CorruptRecordError

LARGEST_FILE_BYTES, LARGEST_TEXT_BYTES = 16 << 20, 64 << 20
"""The largest file, and the largest text in it: the longest of the self-test have 52 kB and 400 kB."""
LONGEST_CELL = 2000


@dataclass(frozen=True, kw_only=True)
class CsvTable:
    """One kind of table beside a judgement."""

    name: str
    row: type
    """The dataclass of a row: texts, whole numbers and floats, each of which may be optional."""

    def content(self, rows: Sequence[Any]) -> bytes:
        """Return the file of rows."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self._cells)
        writer.writerows([getattr(row, name) for name in self._cells] for row in rows)
        # Without the time, so that equal rows make equal files.
        return gzip.compress(text.getvalue().encode(), mtime=0)

    def rows_of(self, content: bytes) -> Iterator[dict[str, Any]]:
        """Yield the rows one by one. Raises CorruptRecordError, on the way too, for a file that is none of ours."""
        cells = list(self._cells.items())
        try:
            reader = csv.reader(io.StringIO(self._unpacked(content), newline=""), strict=True)
            if next(reader, None) != list(self._cells):
                raise CorruptRecordError(f"{self.name} must have the columns {', '.join(self._cells)}")
            for values in reader:
                if len(values) != len(cells):
                    raise ValueError(f"line {reader.line_num} has {len(values)} cells of {len(cells)}")
                yield {name: read(value) for (name, read), value in zip(cells, values, strict=True)}
        except (ValueError, csv.Error) as error:
            raise CorruptRecordError(f"{self.name} cannot be read: {error}") from error

    def _unpacked(self, content: bytes) -> str:
        if len(content) > LARGEST_FILE_BYTES:
            raise CorruptRecordError(f"{self.name} has more than {LARGEST_FILE_BYTES} bytes")
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                text = file.read(LARGEST_TEXT_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise CorruptRecordError(f"{self.name} is no whole gzip file") from error
        if len(text) > LARGEST_TEXT_BYTES:
            raise CorruptRecordError(f"{self.name} unpacks to more than {LARGEST_TEXT_BYTES} bytes")
        return text.decode()

    @functools.cached_property
    def _cells(self) -> Mapping[str, Callable[[str], Any]]:
        """The reader of each column's cells, in the order of the row's fields."""
        readers = {str: _text, int: whole_number, float: finite_number}
        found: dict[str, Callable[[str], Any]] = {}
        for name, hint in typing.get_type_hints(self.row).items():
            kinds = typing.get_args(hint) or (hint,)
            found[name] = functools.partial(_cell, readers[kinds[0]], name, type(None) in kinds)
        return found


def _cell(read: Callable[[str], Any], name: str, is_optional: bool, text: str) -> Any:
    if text or not is_optional:
        try:
            return read(text)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    return None


def _text(text: str) -> str:
    if len(text) > LONGEST_CELL or one_line(text) != text:
        raise ValueError(f"has control characters, or more than {LONGEST_CELL} letters")
    return text
