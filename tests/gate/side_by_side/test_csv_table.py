"""Tables as gzipped CSV: what was written comes back, and a hostile file costs no more than a refusal."""

import gzip
from dataclasses import dataclass

import pytest

from suite.gate.side_by_side import csv_table
from suite.gate.side_by_side.csv_table import CsvTable
from suite.records.record import CorruptRecordError


@dataclass
class Row:
    case: str
    count: int
    time_s: float
    load: float | None


TABLE = CsvTable(name="rows.csv.gz", row=Row)
HEAD = "case,count,time_s,load\n"


def refused(content):
    with pytest.raises(CorruptRecordError) as error:
        list(TABLE.rows_of(content))
    return str(error.value)


def test_rows_come_back_to_the_last_bit():
    rows = [
        Row('a "b", name=[1,2]', 2**63 - 1, 0.1 + 0.2, None),
        Row("", -1, 5e-324, 1.7976931348623157e308),
    ]
    content = TABLE.content(rows)
    assert [Row(**row) for row in TABLE.rows_of(content)] == rows
    assert content == TABLE.content(rows)
    assert gzip.decompress(content).decode().startswith(HEAD)
    assert list(TABLE.rows_of(TABLE.content([]))) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must have the columns case, count, time_s, load"),
        ("case,count\n", "must have the columns"),
        (HEAD + "a,1,1.0\n", "line 2 has 3 cells of 4"),
        (HEAD + "a,1,nan,\n", "time_s has a number that is not finite"),
        (HEAD + "a,1,1e999,\n", "time_s has a number that is not finite"),
        (HEAD + "a,1,,\n", "time_s could not convert string to float"),
        (HEAD + "a,1.5,1,\n", "count invalid literal"),
        (HEAD + f"a,{'9' * 21},1,\n", "count has a whole number of more than 20 digits"),
        (HEAD + "a\x1b[2J,1,1,\n", "case has control characters"),
        (HEAD + f"{'a' * 2001},1,1,\n", "more than 2000 letters"),
        (HEAD + f"{'a' * 200_000},1,1,\n", "field larger than field limit"),
        (HEAD + '"a,1,1,\n', "unexpected end of data"),
        (HEAD + '"a\nb",1,1,\n', "case has control characters"),
    ],
)
def test_what_the_writer_never_writes_is_refused(text, why):
    assert why in refused(gzip.compress(text.encode()))


def test_bytes_that_are_no_text_or_no_gzip_are_refused():
    whole = TABLE.content([Row("a", 1, 1.0, None)])
    assert "cannot be read" in refused(gzip.compress(HEAD.encode() + b"\xff,1,1,\n"))
    for content in (b"", b"PK\x03\x04", whole[:-4], whole[:20], whole[:-8] + bytes(8)):
        refused(content)


def test_a_small_file_that_unpacks_to_much_is_refused(monkeypatch):
    monkeypatch.setattr(csv_table, "LARGEST_TEXT_BYTES", 1000)
    assert refused(gzip.compress(HEAD.encode() + b"a" * 10**6)).endswith("unpacks to more than 1000 bytes")
    monkeypatch.setattr(csv_table, "LARGEST_FILE_BYTES", 10)
    assert refused(gzip.compress(HEAD.encode())).endswith("has more than 10 bytes")
