"""A size of one variant's own is null for the others in a sweep; they are held against each other all the same."""

from suite.report.attention.latency import build as build_latency
from suite.report.attention.signmap import measured_pairs, settings_of
from tests.records.factory import build
from tests.report.reading import results_of, said

KV_HEADS = "attention.kv_heads"


def ragged(tmp_path):
    """As `attention=gqa,mla attention.kv_heads=1,2` leaves them, at two contexts."""
    return results_of(
        tmp_path,
        *(
            build(attention=attention, seq_len=seq_len, extras={KV_HEADS: kv_heads}, latencies_s=(seconds,) * 7)
            for seq_len in (1024, 4096)
            for attention, kv_heads, seconds in (("gqa", 1, 1e-3), ("gqa", 2, 2e-3), ("mla", None, 3e-3))
        ),
    )


def test_a_headline_names_the_size_of_the_variant_that_has_one(tmp_path):
    (headline,) = said(build_latency(ragged(tmp_path))).headlines
    assert "GQA (kv_heads=1) 1.00 ms" in headline.detail
    assert "GQA (kv_heads=2) 2.00 ms" in headline.detail
    assert "MLA 3.00 ms" in headline.detail


def test_lines_and_rows_say_the_size_and_never_that_it_is_none(tmp_path):
    section = said(build_latency(ragged(tmp_path)))
    drawn = [trace["name"] for trace in section.figures[0].views[0].figure["data"]]
    assert drawn == ["GQA · kv_heads=1", "GQA · kv_heads=2", "MLA"]
    assert not any("None" in cell for table in section.tables for row in table.rows for cell in row)


def test_each_size_of_gqa_is_paired_with_mla(tmp_path):
    pairs = measured_pairs(ragged(tmp_path))
    assert [(told, pair.mla.tokens) for pair, told in settings_of(pairs).items()] == [
        ("attention.kv_heads=1", 1024),
        ("attention.kv_heads=1", 4096),
        ("attention.kv_heads=2", 1024),
        ("attention.kv_heads=2", 4096),
    ]
