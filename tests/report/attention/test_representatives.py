"""Which record stands for a case that several have: in sentences, figures and tables alike."""

from dataclasses import replace
from functools import partial

import pytest

from suite.report.attention import crossover, hardware, latency, memory, roofline, signmap
from suite.report.attention.groups import representatives
from suite.report.timings import LAYER, timings
from tests.records.factory import build, in_launches, with_readings
from tests.report.reading import built, results_of, rows_of, said

section_of = partial(built, latency.build)
UNCHECKED = {"layer_check": "none: the variant states no definition"}


def timed(variant, backend, latency_s, *, ran="", launches=1, spread=0.01, **more):
    """A record of so many launches whose medians lie a little apart."""
    record = build(attention=variant, backend=backend, **more)
    record = replace(record, provenance={**record.provenance, "backend": ran or backend})
    return in_launches(record, *(latency_s * (1 + spread * n) for n in range(launches)), spans=("layer", "kernel"))


def chosen(tmp_path, *records):
    found = [timing for timing in timings(results_of(tmp_path, *records)) if timing.span == LAYER]
    return [timing.chosen_line[0] for timing in representatives(found)]


def test_what_auto_chose_stands_or_else_the_fastest_backend(tmp_path):
    asked = [timed("mla", "eager", 3e-3), timed("mla", "sdpa", 1e-3)]
    assert chosen(tmp_path / "asked", *asked) == ["sdpa"]
    assert chosen(tmp_path / "auto", *asked, timed("mla", "auto", 2e-3, ran="flex")) == ["auto"]


def test_more_launches_stand_before_a_newer_record(tmp_path):
    kinds = {"new": ("2026-03-01", 1), "old": ("2026-02-01", 2), "older": ("2026-01-01", 2)}
    layers = []
    for name, (day, launches) in kinds.items():
        record = timed("mla", "auto", 1e-3, launches=launches, provenance={"started_at": f"{day}T00:00:00+00:00"})
        layers += [timing for timing in timings(results_of(tmp_path / name, record)) if timing.span == LAYER]
    assert [representatives(part)[0] for part in (layers, layers[::-1])] == [layers[1]] * 2


@pytest.mark.parametrize(
    "other", [{"batch": 8}, {"environment": {"machine_id": "ffff"}}, {"extras": {"attention.x": 2}}]
)
def test_another_case_or_machine_has_a_record_of_its_own(tmp_path, other):
    assert chosen(tmp_path, timed("mla", "auto", 1e-3), timed("mla", "eager", 2e-3, **other)) == ["auto", "eager"]


def test_sentence_figure_and_table_tell_of_one_record(tmp_path):
    section = section_of(
        tmp_path,
        timed("mla", "auto", 4e-3, ran="sdpa", launches=3),
        timed("mla", "eager", 1e-3, launches=3),
        timed("mha", "auto", 2e-3, ran="sdpa", launches=3),
    )
    (figure,) = section.figures
    assert figure.finding.startswith("At 4,096 tokens, MHA is fastest with 2.02 ms, and MLA takes 2.00×")
    assert {trace["name"]: trace["y"] for trace in figure.views[0].figure["data"]} == {
        "MHA": [2.02e-3],
        "MLA": [4.04e-3],
    }
    assert [(row["Backend"], row["Over the fastest"]) for row in rows_of(section.tables[0])] == [
        ("auto: sdpa", "–"),
        ("eager", "0.500×"),
        ("auto: sdpa", "2.00×"),
    ]


@pytest.mark.parametrize(("launches", "over", "is_told"), [(1, 2.0, False), (2, 1.05, False), (4, 1.1, True)])
def test_an_order_needs_launches_that_tell_it(tmp_path, launches, over, is_told):
    records = [timed("mla", "auto", 1e-3, launches=launches), timed("mha", "auto", 1e-3 * over, launches=launches)]
    section = section_of(tmp_path, *records)
    assert ("fastest" in section.figures[0].finding) == is_told
    assert ("fastest" in section.headlines[0].text) == is_told


def test_the_fastest_must_be_clear_of_every_other(tmp_path):
    steady = [timed(name, "auto", time, launches=4) for name, time in {"mla": 1e-3, "mha": 1.3e-3}.items()]
    restless = timed("gqa", "auto", 1.35e-3, launches=2, spread=0.1)
    assert "MLA is fastest" in section_of(tmp_path / "a", *steady).figures[0].finding
    assert "fastest" not in section_of(tmp_path / "b", *steady, restless).figures[0].finding


def sized(record, peak):
    return with_readings(with_readings(record, "layer", peak_bytes=peak), "kernel", peak_bytes=peak)


def test_an_unchecked_layer_is_marked_and_leads_nothing(tmp_path):
    mine = {"provenance": UNCHECKED, "geometry": "deepseek-v2-lite"}
    times = {"mine": (1e-3, mine), "mla": (2e-3, {}), "mha": (3e-3, {})}
    records = [sized(timed(name, "auto", time, launches=4, **more), 1 << 20) for name, (time, more) in times.items()]
    results = results_of(tmp_path, *records)
    sections = [said(part.build(results)) for part in (latency, memory, roofline, hardware)]
    for section in sections:
        names = {
            trace["name"].partition(" · ")[0] for figure in section.figures for trace in figure.views[0].figure["data"]
        }
        assert "MINE (layer not checked)" in names, section.id
        assert not any("MINE" in figure.finding for figure in section.figures)
    for section in sections[:2]:
        assert any("MINE (layer not checked)" in row for table in section.tables for row in table.rows)
    assert "MLA is fastest" in sections[0].figures[0].finding
    assert [row["Over the fastest"] for row in rows_of(sections[0].tables[0])] == ["1.50×", "–", "0.500×"]
    assert not any("MINE" in headline.text + headline.detail for headline in sections[0].headlines)


def test_no_pair_and_no_crossing_of_unchecked_layers_is_told(tmp_path):
    kinds = [timed(name, "auto", 1e-3, provenance=UNCHECKED) for name in ("mla", "gqa", "mla_latent")]
    results = results_of(tmp_path, *kinds, timed("mla_latent", "auto", 1e-3, query_len=8, provenance=UNCHECKED))
    assert signmap.measured_pairs(results) == []
    assert crossover.crossings(results) == []


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


def test_each_size_of_gqa_is_paired_with_mla(tmp_path):
    pairs = signmap.measured_pairs(ragged(tmp_path))
    assert [(told, pair.mla.tokens) for pair, told in signmap.pair_settings(pairs).items()] == [
        ("attention.kv_heads=1", 1024),
        ("attention.kv_heads=1", 4096),
        ("attention.kv_heads=2", 1024),
        ("attention.kv_heads=2", 4096),
    ]
