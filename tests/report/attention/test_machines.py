"""Several machines of one kind: what they differ by, and ratios with the machine as a random effect."""

import math
from dataclasses import replace

import pytest

from suite.report.attention.hardware import build as build_section
from suite.report.attention.latency import build as build_latency
from suite.statistics.student import t_quantile
from tests.records.factory import build, with_readings
from tests.records.test_machine_classes import NODES, shared_sweep, timed
from tests.report.reading import built, rows_of

RATIOS = (0.5, 0.6, 0.75)


def measured_everywhere(**environment):
    """A case of both variants on three machines, whose ratios differ."""
    return [
        build(environment={**NODES[node], **environment}, attention=variant, latencies_s=(seconds,) * 7)
        for node, ratio in enumerate(RATIOS)
        for variant, seconds in (("mha", 1e-3), ("mla", ratio * 1e-3))
    ]


def tables_about(tmp_path, word, *records):
    return [table for table in built(build_section, tmp_path, *records).tables if word in str(table.title)]


def test_the_interval_takes_the_machine_as_a_random_effect(tmp_path):
    (table,) = tables_about(tmp_path, "time over MHA", *measured_everywhere())
    (layer,) = rows_of(table)
    logs = [math.log(ratio) for ratio in RATIOS]
    mean = sum(logs) / 3
    error = math.sqrt(sum((log - mean) ** 2 for log in logs) / 2 / 3)
    low, middle, high = (math.exp(mean + sign * t_quantile(0.975, 2) * error) for sign in (-1, 0, 1))
    assert layer["Time over MHA’s"] == f"{middle:.3g}× ({low:.3g}–{high:.3g}×)"
    assert (layer["How many"], layer["Least"], layer["Most"]) == ("3", "0.500×", "0.750×")


@pytest.mark.parametrize("changed", [{"cpu": ""}, {"cpu": None}])
def test_machines_of_unknown_processors_are_not_pooled(tmp_path, changed):
    assert not tables_about(tmp_path, "one kind", *measured_everywhere(**changed))


def test_one_machine_and_machines_of_two_kinds_have_no_table(tmp_path):
    one = measured_everywhere()[:2]
    other = [build(environment={**NODES[1], "cpu": "Another"}, attention=variant) for variant in ("mha", "mla")]
    assert not tables_about(tmp_path, "one kind", *one, *other)


def test_what_machines_differ_by_is_said(tmp_path):
    records = measured_everywhere()
    fast = [with_readings(record, "layer", ceiling_flops_per_s=1.21e11) for record in records[:2]]
    (kinds, _) = tables_about(tmp_path, "one kind", *fast, *records[2:])
    assert rows_of(kinds) == [
        {"Machines": "A processor", "How many": "3", "Arithmetic: differ by": "1.10×", "Memory: differ by": "1.00×"}
    ]


def test_a_sweep_that_machines_alike_shared_is_one_line(tmp_path):
    (figure,) = built(build_latency, tmp_path, *shared_sweep()).figures
    lengths = {tuple(trace["x"]) for trace in figure.views[0].figure["data"] if trace.get("x")}
    assert lengths == {(1024, 2048, 4096, 8192)}
    (kinds,) = tables_about(tmp_path, "one kind", *shared_sweep())
    assert rows_of(kinds)[0]["How many"] == "4"


def test_another_backend_is_no_repeat(tmp_path):
    records = measured_everywhere()
    eager = [timed(node, variant) for node in (0, 1) for variant in ("mha", "mla")]
    both = [*records[:2], eager[3], eager[2]]
    other = [with_backend(record) for record in both[2:]]
    assert not tables_about(tmp_path, "time over MHA", *records[:2], *other)


def with_backend(record):
    return replace(record, provenance={**record.provenance, "backend": "eager"})
