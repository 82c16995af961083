"""Reads how a parquet file is laid out from its own bytes: what Arrow would believe of it, and allocate or die of.

Arrow allocates what a page's header says, has no bound on it, and ends the whole process at a codec that it does not
know. So the footer and the headers are read here first. Both are structs of Thrift's compact protocol, with the field
numbers of apache/parquet-format (FileMetaData, ColumnMetaData, PageHeader).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from suite.records.record import CorruptRecordError

MAGIC = b"PAR1"
LARGEST_FOOTER_BYTES = 1 << 20
"""Ours have 3 kB."""
MOST_PAGE_BYTES, MOST_PAGES = 8 << 20, 10_000
"""Our writer ends a page after 1 MiB, and a chunk after a million rows."""
CODECS = (0, 1)
"""Not compressed, and Snappy: all that our writer uses. Others make gigabytes of a few bytes."""
MOST_LEVELS = 12
"""Of structs and lists within one another. A column's statistics lie six deep."""
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
    """Bytes of each page once it is unpacked. Raises CorruptRecordError for one that is too large, or is none."""
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
