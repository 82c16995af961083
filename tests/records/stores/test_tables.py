"""What a table takes in memory is known before it is taken."""

import os
import sys
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from suite.records.record import CorruptRecordError, Reading
from suite.records.stores import tables
from suite.records.stores.store import READINGS
from suite.records.stores.tables import chunks_of, page_bytes


def readings(count):
    return [Reading(step=step, span="layer", metric=f"m{step % 3}", value=step / 3) for step in range(count)]


def refused(content):
    with pytest.raises(CorruptRecordError) as error:
        list(READINGS.rows_of(content))
    return str(error.value)


def test_a_table_reads_back_with_each_text_held_once(monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 100)
    written = readings(1000)
    read = [Reading(**row) for row in READINGS.rows_of(READINGS.content(written))]
    assert read == written
    assert len({id(reading.span) for reading in read[:100]}) == 1


def test_pages_are_as_large_as_the_file_says_of_each_column():
    content = READINGS.content(readings(50_000))
    group = pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(0)
    chunks = {chunk.column: chunk for chunk in chunks_of(content)}
    assert list(chunks) == READINGS.columns.names
    for index in range(group.num_columns):
        theirs = group.column(index)
        chunk = chunks[theirs.path_in_schema]
        assert (chunk.nbytes, chunk.begin) == (
            theirs.total_compressed_size,
            min(theirs.data_page_offset, theirs.dictionary_page_offset or theirs.data_page_offset),
        )
        sizes = list(page_bytes(content, chunk))
        assert len(sizes) > 1
        assert 0 <= theirs.total_uncompressed_size - sum(sizes) <= 200 * len(sizes), "what is left are their headers"


@pytest.mark.parametrize("codec", ["gzip", "zstd", "brotli", "lz4"])
def test_another_codec_is_refused_before_arrow_sees_it(codec):
    file = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [1]}), file, compression=codec)
    assert refused(file.getvalue().to_pybytes()).endswith("it is not compressed as ours are")


@pytest.mark.skipif(sys.platform != "linux", reason="forks with libraries loaded, which others may not survive")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_no_flipped_bit_of_a_table_ends_the_process():
    content = READINGS.content(readings(20))
    indices = range(8 * 200, 8 * 310)  # which may lead out of their dictionary
    process = os.fork()
    if not process:
        try:
            for place in (*range(0, 8 * len(content), 29), *indices):
                turned = bytearray(content)
                turned[place // 8] ^= 1 << place % 8
                with suppress(CorruptRecordError):
                    list(READINGS.rows_of(bytes(turned)))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_a_large_page_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(tables, "UNCHECKED_BYTES", 0)
    content = READINGS.content(readings(5000))
    assert list(READINGS.rows_of(content))
    monkeypatch.setattr(tables, "MOST_PAGE_BYTES", 1000)
    assert refused(content) == "a column has a page of more than 1000 bytes"
    monkeypatch.setattr(tables, "MOST_PAGE_BYTES", 8 << 20)
    monkeypatch.setattr(tables, "MOST_TEXT_BYTES", 10)
    assert refused(content) == "samples.parquet holds more than 10 bytes of text"
    monkeypatch.setattr(tables, "MOST_PAGES", 0)
    assert refused(content) == "a column has more than 0 pages"


def test_rows_are_counted_as_they_come(monkeypatch):
    monkeypatch.setattr(tables, "MOST_ROWS", 10)
    assert refused(READINGS.content(readings(11))) == "samples.parquet holds more than 10 readings"


def test_a_footer_and_texts_without_end_are_refused(monkeypatch):
    content = READINGS.content(readings(10))
    monkeypatch.setattr(tables, "LARGEST_FOOTER_BYTES", 100)
    assert "footer" in refused(content)
    monkeypatch.undo()
    monkeypatch.setattr(tables, "MOST_TEXTS", 2)
    assert "more than 2 of them" in refused(content)


def test_a_table_of_other_columns_or_of_none_is_refused():
    for table in (pa.table({}), pa.table({"x": [1]})):
        file = pa.BufferOutputStream()
        pq.write_table(table, file)
        assert refused(file.getvalue().to_pybytes()).startswith("samples.parquet must be of schema 1")


def test_a_footer_whose_fields_are_of_other_kinds_is_none():
    content = READINGS.content(readings(20))
    footer_bytes = int.from_bytes(content[-8:-4], "little")
    for place in range(8 * (len(content) - 8 - footer_bytes), 8 * (len(content) - 8), 7):
        turned = bytearray(content)
        turned[place // 8] ^= 1 << place % 8
        with suppress(CorruptRecordError):
            chunks_of(bytes(turned))


def test_columns_that_lie_in_one_place_are_refused():
    content = READINGS.content([Reading(step=step, span="layer", metric="m", value=step / 3) for step in range(300)])
    group = pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(0)
    value = next(group.column(index) for index in range(9) if group.column(index).path_in_schema == "value")
    said, more = (size_fields(value.total_uncompressed_size, size) for size in (value.total_compressed_size, 500_000))
    assert content.count(said) == 1
    longer = content[:-8].replace(said, more) + (
        int.from_bytes(content[-8:-4], "little") + len(more) - len(said)
    ).to_bytes(4, "little")
    assert refused(longer + content[-4:]).endswith("a column lies outside of it")


def size_fields(uncompressed, compressed):
    """Fields 6 and 7 of a column's metadata, as a footer has them."""
    return b"".join(b"\x16" + varint(2 * size) for size in (uncompressed, compressed))


def varint(value):
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])
