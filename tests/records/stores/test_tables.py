"""What a table takes in memory is known before it is taken."""

import os
import sys
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from suite.records.record import CorruptRecordError, Reading, Rows
from suite.records.stores import tables
from suite.records.stores.store import READINGS
from suite.records.stores.tables import column_chunks, page_bytes


def readings(count):
    return [Reading(step=step, span="layer", metric=f"m{step % 3}", value=step / 3) for step in range(count)]


def refused(content):
    with pytest.raises(CorruptRecordError) as error:
        READINGS.columns_in(content)
    return str(error.value)


def parquet(table, **options):
    file = pa.BufferOutputStream()
    pq.write_table(table, file, **options)
    return file.getvalue().to_pybytes()


def test_a_table_reads_back_with_each_text_held_once(monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 100)
    written = readings(1000)
    written[7].wall_s = 0.5
    read = Rows(Reading, READINGS.columns_in(READINGS.content(written)))
    assert read.array("wall_s", empty=-1.0).tolist() == [0.5 if place == 7 else -1.0 for place in range(1000)]
    assert read == written
    assert READINGS.content(read) == READINGS.content(written)
    assert len({id(reading.span) for reading in read[:100]}) == 1


def test_rows_are_grouped_by_columns_in_their_order(monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 3)
    written = readings(7)
    written[4].metric, written[5].launch = "a", 1
    rows = Rows(Reading, READINGS.columns_in(READINGS.content(written)))
    by_metric_and_launch = [(key, list(group.places)) for key, group in rows.grouped("metric", "launch").items()]
    assert by_metric_and_launch == [
        (("m0", None), [0, 3, 6]),
        (("m1", None), [1]),
        (("m2", None), [2]),
        (("a", None), [4]),
        (("m2", 1), [5]),
    ]
    groups = rows.grouped("metric")
    (inner,) = groups["m0",].grouped("span").values()
    assert (list(inner), inner[1], len(inner)) == ([rows[0], rows[3], rows[6]], rows[3], 3)
    assert inner != [rows[0], rows[3]]


def test_groups_of_many_texts_are_kept_apart():
    written = [Reading(step=0, span=f"s{k}", metric=f"m{k}", value=0.0) for k in range(300)]
    written.append(Reading(step=0, span="s218", metric="m136", value=0.0))  # the 65,536th pair, the first has number 0
    groups = Rows(Reading, READINGS.columns_in(READINGS.content(written))).grouped("span", "metric")
    assert [list(group.places) for group in groups.values()] == [[place] for place in range(301)]


def test_columns_and_pages_are_as_large_as_arrow_says():
    content = READINGS.content(readings(50_000))
    group = pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(0)
    chunks = column_chunks(content)
    assert [chunk.column for chunk in chunks] == READINGS.schema.names
    for theirs, chunk in zip(map(group.column, range(group.num_columns)), chunks, strict=True):
        begin = min(theirs.data_page_offset, theirs.dictionary_page_offset or theirs.data_page_offset)
        assert (chunk.nbytes, chunk.begin) == (theirs.total_compressed_size, begin)
        sizes = list(page_bytes(content, chunk))
        assert len(sizes) > 1
        assert 0 <= theirs.total_uncompressed_size - sum(sizes) <= 200 * len(sizes), "what is left are their headers"


@pytest.mark.parametrize("codec", ["gzip", "zstd", "brotli", "lz4"])
def test_another_codec_is_refused_before_arrow_sees_it(codec):
    assert refused(parquet(pa.table({"x": [1]}), compression=codec)).endswith("it is not compressed as ours are")


@pytest.mark.skipif(sys.platform != "linux", reason="forks with libraries loaded, which others may not survive")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_no_flipped_bit_of_a_table_ends_the_process():
    content = READINGS.content(readings(20))
    indices = range(8 * 200, 8 * 310, 3)  # which may lead out of their dictionary
    footer = range(8 * (len(content) - 8 - int.from_bytes(content[-8:-4], "little")), 8 * (len(content) - 8), 11)
    process = os.fork()
    if not process:
        try:
            for place in (*range(0, 8 * len(content), 61), *indices, *footer):
                turned = bytearray(content)
                turned[place // 8] ^= 1 << place % 8
                with suppress(CorruptRecordError):
                    READINGS.columns_in(bytes(turned))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


@pytest.mark.parametrize(
    ("limit", "most", "sentence"),
    [
        ("MOST_PAGE_BYTES", 1000, "a column has a page of more than 1000 bytes"),
        ("MOST_TEXT_BYTES", 10, "samples.parquet holds more than 10 bytes of text"),
        ("MOST_PAGES", 0, "a column has more than 0 pages"),
        ("MOST_ROWS", 10, "samples.parquet holds more than 10 readings"),
        ("LARGEST_FOOTER_BYTES", 100, "its footer has more than 100 bytes"),
        ("MOST_TEXTS", 2, "more than 2 of them"),
        ("LONGEST_TEXT", 4, "a span of more than 4 letters"),
        ("MOST_LEVELS", 3, "it has no whole footer"),
    ],
)
def test_what_is_larger_than_any_of_ours_is_refused(limit, most, sentence, monkeypatch):
    monkeypatch.setattr(tables, "UNCHECKED_BYTES", 0)
    content = READINGS.content(readings(5000))
    assert len(READINGS.columns_in(content)["step"]) == 5000
    monkeypatch.setattr(tables, limit, most)
    assert sentence in refused(content)


def test_a_table_of_other_columns_or_of_none_is_refused():
    for table in (pa.table({}), pa.table({"x": [1]})):
        assert refused(parquet(table)).startswith("samples.parquet must be of schema 1")


def test_a_list_of_lists_without_end_is_no_footer():
    footer = b"\x19" * 100_000
    content = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    assert refused(content).endswith("it has no whole footer")


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
