"""How large the pages of a parquet file become: by their own headers, since Arrow allocates what those say.

Arrow has no bound on it, and the sizes in a file's footer need not be true. A header is a struct of Thrift's compact
protocol (apache/parquet-format, PageHeader): uncompressed_page_size is field 2, compressed_page_size field 3.
"""

from collections.abc import Iterator

import pyarrow.parquet as pq

from suite.records.record import CorruptRecordError

MOST_PAGE_BYTES, MOST_PAGES = 8 << 20, 10_000
"""Our writer ends a page after 1 MiB, and a chunk after a million rows."""
MOST_LEVELS = 4
UNCOMPRESSED, COMPRESSED = 2, 3
END, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, STRUCT = 0, 1, 2, 3, 4, 5, 6, 7, 8, 12


def page_bytes(content: bytes, chunk: "pq.ColumnChunkMetaData") -> Iterator[int]:
    """Bytes of each page once it is unpacked. Raises CorruptRecordError for one that is too large, or is none."""
    starts = [chunk.data_page_offset]
    if chunk.dictionary_page_offset:
        starts.append(chunk.dictionary_page_offset)
    at = min(starts)
    end = at + chunk.total_compressed_size
    try:
        for _ in range(MOST_PAGES):
            if at >= end:
                return
            header, at = _struct(content, at)
            if not 0 <= header[UNCOMPRESSED] <= MOST_PAGE_BYTES or header[COMPRESSED] < 0:
                raise CorruptRecordError(f"a column has a page of more than {MOST_PAGE_BYTES} bytes")
            yield header[UNCOMPRESSED]
            at += header[COMPRESSED]
    except (IndexError, KeyError) as error:
        raise CorruptRecordError("a column has a page without a header") from error
    raise CorruptRecordError(f"a column has more than {MOST_PAGES:,} pages")


def _struct(content: bytes, at: int, levels: int = 1) -> tuple[dict[int, int], int]:
    """Whole numbers by field, and where the struct ends."""
    found: dict[int, int] = {}
    field = 0
    while content[at] != END:
        step, kind = content[at] >> 4, content[at] & 15
        at += 1
        if step:
            field += step
        else:
            field, at = _integer(content, at)
        if kind in (I16, I32, I64):
            found[field], at = _integer(content, at)
        elif kind == BINARY:
            size, at = _varint(content, at)
            at += size
        elif kind == STRUCT and levels < MOST_LEVELS:
            _, at = _struct(content, at, levels + 1)
        elif kind in (BYTE, DOUBLE):
            at += 1 if kind == BYTE else 8
        elif kind not in (TRUE, FALSE):
            raise KeyError(kind)
    return found, at + 1


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
