"""What is written as a table is read as it was, and a damaged file is refused."""

import os
import sys
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from suite.records.record import CorruptRecordError, Reading, Rows
from suite.records.stores import tables
from suite.records.stores.store import READINGS
from suite.records.stores.tables import DecodedColumns


def readings(count):
    return [Reading(step=step, span="layer", metric=f"m{step % 3}", value=step / 3) for step in range(count)]


def refused(content):
    with pytest.raises(CorruptRecordError) as error:
        DecodedColumns(READINGS, READINGS.batches_in(content))
    return str(error.value)


def parquet(table, **options):
    file = pa.BufferOutputStream()
    pq.write_table(table, file, **options)
    return file.getvalue().to_pybytes()


def test_a_table_reads_back_with_each_text_held_once(monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 100)
    written = readings(1000)
    written[7].wall_s = 0.5
    read = Rows(Reading, DecodedColumns(READINGS, READINGS.batches_in(READINGS.content(written))))
    assert read.array("wall_s", empty=-1.0).tolist() == [0.5 if place == 7 else -1.0 for place in range(1000)]
    assert read == written
    assert READINGS.content(read) == READINGS.content(written)
    assert len({id(reading.span) for reading in read[:100]}) == 1


def test_rows_are_grouped_by_columns_in_their_order(monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 3)
    written = readings(7)
    written[4].metric, written[5].launch = "a", 1
    rows = Rows(Reading, DecodedColumns(READINGS, READINGS.batches_in(READINGS.content(written))))
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
    groups = Rows(Reading, DecodedColumns(READINGS, READINGS.batches_in(READINGS.content(written)))).grouped(
        "span", "metric"
    )
    assert [list(group.places) for group in groups.values()] == [[place] for place in range(301)]


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
                    DecodedColumns(READINGS, READINGS.batches_in(bytes(turned)))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_a_table_of_other_columns_or_of_none_is_refused():
    for table in (pa.table({}), pa.table({"x": [1]})):
        assert refused(parquet(table)).startswith("samples.parquet must be of schema 1")
