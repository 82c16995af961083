"""Joules per token in the section on latency, where a counter gave them."""

from dataclasses import replace

import pytest

from suite.records.record import Reading
from suite.report.attention import latency
from tests.records.factory import build
from tests.report.reading import results_of, rows_of, said


def with_energy(record, layer_j=0.06, kernel_j=0.02, tokens=1.0):
    readings = [Reading(step=0, span="case", metric="tokens", value=tokens)]
    for span, joules in (("layer", layer_j), ("kernel", kernel_j)):
        of_span = {"energy_j": joules, "energy_power_w": 310.0, "energy_window_s": 1.3}
        readings += [Reading(step=0, span=span, metric=name, value=value) for name, value in of_span.items()]
    return replace(record, readings=[*record.readings, *readings])


def energy_of(tmp_path, *records):
    """The figures and the tables of energies, which stand behind those of times."""
    section = said(latency.build(results_of(tmp_path, *records)))
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
    assert [view.title for view in figure.views] == ["Whole layer", "Kernel"]
    assert (trace["name"], trace["x"]) == ("MLA", [1024, 4096])
    assert trace["y"] == pytest.approx([2.56e-3, 1.024e-2])


def test_a_row_has_energies_power_window_and_counter(tmp_path):
    record = with_energy(build(provenance={"energy": {"state": "measured", "source": "nvml gpu0"}}), tokens=2.0)
    _, (layer, kernel) = energy_of(tmp_path, record)
    (row,) = rows_of(layer)
    assert (row["Per token"], row["Per step"], row["Mean power"]) == ("30.0 mJ", "60.0 mJ", "310 W")
    assert (row["Taken over"], row["Counter"]) == ("1.30 s", "nvml gpu0")
    assert "Cost of 1 M tokens" not in row
    assert kernel.folded


def test_a_price_gives_the_cost_of_a_million_tokens(tmp_path):
    priced = with_energy(build(latencies_s=(3.6e-3,) * 6, settings={"price_per_device_hour": 2.0}))
    _, (table, _) = energy_of(tmp_path, priced, with_energy(build(attention="mha")))
    # 3.6 ms a token are 1,000 hours for 1e9 tokens: one hour, so 2 of its unit, for a million.
    assert [row["Cost of 1 M tokens"] for row in rows_of(table)] == ["–", "2"]
    assert "price_per_device_hour" in table.note
