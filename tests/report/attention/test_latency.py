"""What the latency section says of records."""

from dataclasses import replace

import pytest

from suite.report.attention import latency
from tests.records.factory import build, in_launches, with_readings
from tests.report.reading import results_of, rows_of, said

FUSED = "_scaled_dot_product_flash_attention_for_cpu"
MATH = "_scaled_dot_product_attention_math"


def section_of(results):
    return said(latency.build(results))


def table_of(results, index=0):
    """Rows of a table as dictionaries by column title."""
    return rows_of(section_of(results).tables[index])


def test_a_row_says_median_interval_level_and_roofline_share(tmp_path):
    (row,) = table_of(results_of(tmp_path, build(latencies_s=(2e-3, 4e-3, 3e-3, 3e-3, 3e-3, 3e-3))))
    assert row["Median"] == "3.00 ms"
    assert row["Interval"] == "2.00–4.00 ms"
    assert row["Confidence"] == "96.9% within one launch"
    assert row["n"] == "6"
    # 2e8 FLOP at 1e11 FLOP/s is 2 ms, more than 3e7 B at 2e10 B/s: 2 ms of 3 ms.
    assert row["Roofline share"] == "67%"
    assert row["Limited by"] == "arithmetic"
    assert row["Backend"] == "sdpa_folded"
    assert row["Notes"] == "–"


def test_a_row_says_how_many_launches_its_interval_covers(tmp_path):
    (row,) = table_of(results_of(tmp_path, in_launches(build(), 2.9e-3, 3e-3, 3.1e-3)))
    assert row["Confidence"] == "95.0% over 3 launches"
    assert row["Interval"] == "2.76–3.26 ms"  # Student's t of three: 4.30 of their error on a logarithmic scale
    assert row["n"] == "18"


def test_each_span_has_a_share_of_its_own_ceilings_or_none(tmp_path):
    record = build(latencies_s=(7e-3,) * 6)
    (kernel,) = table_of(results_of(tmp_path / "own", record), 1)
    # The kernel takes 0.4 of the 7 ms; 1.1e8 FLOP at 1e11 FLOP/s is 1.1 ms of 2.8 ms.
    assert kernel["Roofline share"] == "39%"
    bare = [reading for reading in record.readings if not reading.metric.startswith("ceiling")]
    (row,) = table_of(results_of(tmp_path / "bare", replace(record, readings=bare)))
    assert row["Roofline share"] == row["Limited by"] == "–"


def test_a_cold_median_stands_beside_the_warm_one(tmp_path):
    cold = (5e-3, 7e-3, 6e-3, float("nan"))
    record = with_readings(build(latencies_s=(2e-3,) * 6), "layer", cold_latency_s=cold)
    layer, kernel = section_of(results_of(tmp_path, record)).tables
    (row,) = rows_of(layer)
    assert (row["Median"], row["Cold"]) == ("2.00 ms", "6.00 ms")
    assert "Cold" not in rows_of(kernel)[0]


@pytest.mark.parametrize(
    ("operators", "words"),
    [
        ({"kernel": ["mm", FUSED], "layer": ["mm"]}, FUSED),
        ({"layer": ["mm", FUSED]}, FUSED),
        ({"kernel": ["bmm", MATH]}, f"{MATH} (math path)"),
        ({"kernel": ["bmm", "_softmax"]}, "separate operators"),
        *((odd, "–") for odd in (None, 3, "kernel", [1], {"kernel": 5}, {"kernel": {"a": 1}}, {"kernel": []})),
    ],
)
def test_a_row_says_which_operator_the_kernel_ran(tmp_path, operators, words):
    (row,) = table_of(results_of(tmp_path, build(provenance={"operators": operators})))
    assert row.get("What the kernel ran", "–") == words


def test_a_headline_counts_what_fell_to_the_math_path(tmp_path):
    fell, fused = ({"provenance": {"operators": {"kernel": [name]}}} for name in (MATH, FUSED))
    section = section_of(results_of(tmp_path / "a", build(**fell), build(attention="mha", **fused)))
    assert section.headlines[-1].text == "1 of 2 cases used torch’s slower math path"
    assert not section_of(results_of(tmp_path / "b", build(**fused))).headlines


@pytest.mark.parametrize(("state", "words"), [("as_warm", "= warm"), ("every_run", "every run")])
def test_cold_that_cannot_differ_from_warm_is_said_in_words(tmp_path, state, words):
    (row,) = table_of(results_of(tmp_path, build(provenance={"cold": state})))
    assert row["Cold"] == words


@pytest.mark.parametrize(
    ("facts", "notes"),
    [
        ({"latencies_s": (2e-3,)}, "one sample, so no interval"),
        ({"wall_over": 1.5}, "wall time is 1.50× of this: the machine was busy or waiting"),
        ({"latencies_s": (2e-3, float("nan"))}, "one sample, so no interval; 1 unusable readings left out"),
    ],
)
def test_a_row_notes_what_its_median_does_not_say(tmp_path, facts, notes):
    (row,) = table_of(results_of(tmp_path, build(**facts)))
    assert row["Notes"] == notes
    assert (row["Interval"] == row["Confidence"] == "–") == ("latencies_s" in facts)


def test_the_newest_record_is_shown_and_older_are_counted(tmp_path):
    new = build(latencies_s=(1e-3,) * 6, provenance={"started_at": "2026-05-01T00:00:00+00:00"})
    old = build(latencies_s=(9e-3,) * 6, provenance={"started_at": "2026-04-01T00:00:00+00:00"})
    never = build(latencies_s=(9e-3,) * 6, provenance={"started_at": "9999-12-31T00:00:00+00:00"})
    (row,) = table_of(results_of(tmp_path, new, old, never))
    assert row["Median"] == "1.00 ms"
    assert row["Notes"] == "newest record shown; 2 older ones superseded"


def test_changed_settings_are_said_but_not_ways_of_measuring(tmp_path):
    other = build(settings={"seed": 4, "measure": {"precision": 0.02}}, provenance={"started_at": "2026-04-01"})
    (row,) = table_of(results_of(tmp_path, build(settings={"seed": 3}), other))
    assert "the settings of this case differ between records" in row["Notes"]
    alike = build(settings={"seed": 3, "measure": {"precision": 0.5}}, seq_len=8192)
    results = results_of(tmp_path / "alike", build(settings={"seed": 3}, seq_len=8192), alike)
    assert not results.records[0].settings_changed


def test_cases_that_may_not_be_compared_get_figures_of_their_own(tmp_path):
    results = results_of(tmp_path, build(), build(attention="mha"), build(dtype="float32"), build(batch=8))
    section = section_of(results)
    figures = {(figure.facets["dtype"], figure.facets["batch"]) for figure in section.figures}
    assert figures == {("bfloat16", "1"), ("bfloat16", "8"), ("float32", "1")}


def test_another_number_of_heads_is_another_model(tmp_path):
    records = [
        build(attention=name, extras={"geometry.num_heads": heads}) for name in ("mla", "mha") for heads in (16, 64)
    ]
    figures = section_of(results_of(tmp_path, *records)).figures
    assert [figure.facets["settings"] for figure in figures] == ["geometry.num_heads=16", "geometry.num_heads=64"]
    assert [trace["name"] for trace in figures[0].views[0].figure["data"]] == ["MHA", "MLA"]


def test_the_fastest_backend_of_each_context_is_drawn(tmp_path):
    records = [
        build(
            attention=one, backend=f"b{n}", seq_len=length, latencies_s=(n * 1e-3,) * 6, provenance={"backend": f"b{n}"}
        )
        for one in ("mla", "mha", "gqa")
        for n in range(1, 6)
        for length in ((1024, 4096) if n > 1 else (1024,))
    ]
    section = section_of(results_of(tmp_path, *records))
    (figure,) = section.figures
    # b1 is faster still, but has one context only.
    assert [trace["y"] for trace in figure.views[0].figure["data"]] == [[1e-3, 2e-3]] * 3
    assert len(section.tables[0].rows) == len(records)


def test_no_line_joins_absorbed_prefills_with_expanded_ones(tmp_path):
    deployed, absorbed = ({"attention": {"mode": mode}} for mode in ("expanded", "absorbed"))
    records = [
        build(phase="prefill", seq_len=1024),  # an old one, which says no mode
        build(phase="prefill", seq_len=4096, settings=deployed),
        build(attention="mla_absorbed", phase="prefill", seq_len=4096, settings=absorbed),
        build(attention="mla_latent", phase="prefill", seq_len=1024),
    ]
    section = section_of(results_of(tmp_path, *records))
    drawn = {trace["name"]: list(trace["x"]) for trace in section.figures[0].views[0].figure["data"]}
    assert drawn == {"MLA": [4096], "MLA (absorbed)": [1024, 4096], "MLA (latent)": [1024]}


def test_what_auto_chose_at_each_context_is_one_line(tmp_path):
    chosen = [
        build(seq_len=length, provenance={"backend": name}) for length, name in ((1024, "eager"), (4096, "other"))
    ]
    section = section_of(results_of(tmp_path, *chosen))
    (trace,) = section.figures[0].views[0].figure["data"]
    assert (trace["name"], trace["x"]) == ("MLA", [1024, 4096])
    assert [row["Backend"] for row in table_of(results_of(tmp_path / "b", *chosen))] == ["eager", "other"]


def with_energy(record, layer_j=0.06, kernel_j=0.02, tokens=1.0):
    record = with_readings(record, "case", tokens=tokens)
    for span, joules in (("layer", layer_j), ("kernel", kernel_j)):
        record = with_readings(record, span, energy_j=joules, energy_power_w=310.0, energy_window_s=1.3)
    return record


def energy_of(tmp_path, *records):
    """The figures and the tables of energies, which stand behind those of times."""
    section = section_of(results_of(tmp_path, *records))
    figures = [figure for figure in section.figures if figure.family.startswith("Energy")]
    return figures, [table for table in section.tables if "Per token" in [column.title for column in table.columns]]


@pytest.mark.parametrize("joules", [None, float("nan"), float("inf"), -1.0, 0.0, 1e300])
def test_an_energy_that_no_device_could_take_is_left_out(tmp_path, joules):
    record = build() if joules is None else with_energy(build(), layer_j=joules, kernel_j=joules)
    assert energy_of(tmp_path, record, build(attention="mha")) == ([], [])


def test_a_point_is_the_energy_of_a_step_over_its_new_tokens(tmp_path):
    records = [with_energy(build(seq_len=tokens), layer_j=tokens * 1e-5, tokens=4.0) for tokens in (1024, 4096)]
    (figure,), _ = energy_of(tmp_path, *records)
    (trace,) = figure.views[0].figure["data"]
    assert (trace["name"], trace["x"]) == ("MLA", [1024, 4096])
    assert trace["y"] == pytest.approx([2.56e-3, 1.024e-2])


def test_a_row_has_energies_power_window_and_counter(tmp_path):
    record = with_energy(build(provenance={"energy": {"state": "measured", "source": "nvml gpu0"}}), tokens=2.0)
    _, (layer, _) = energy_of(tmp_path, record)
    (row,) = rows_of(layer)
    assert (row["Per token"], row["Per step"], row["Mean power"]) == ("30.0 mJ", "60.0 mJ", "310 W")
    assert (row["Counter window"], row["Counter"]) == ("1.30 s", "nvml gpu0")
    assert "Cost of 1 M tokens" not in row


def test_a_price_gives_the_cost_of_a_million_tokens(tmp_path):
    priced = with_energy(build(latencies_s=(3.6e-3,) * 6, settings={"price_per_device_hour": 2.0}))
    _, (table, _) = energy_of(tmp_path, priced, with_energy(build(attention="mha")))
    # 3.6 ms a token are 1,000 hours for 1e9 tokens: one hour, so 2 of its unit, for a million.
    assert [row["Cost of 1 M tokens"] for row in rows_of(table)] == ["–", "2"]
    assert "price_per_device_hour" in table.note
