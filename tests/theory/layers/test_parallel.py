"""The shares of several devices, added up, beside the whole layer on one."""

import pytest

from suite.configuration.files import read_choice, read_yaml
from suite.theory.devices.projection_plan import ProjectionPlan

DEVICES = 8


def plan(variant, way="tp", devices=DEVICES, **changes):
    run = {key: value for key, value in read_yaml("run.yaml").items() if key not in ("defaults", "hydra")}
    sizes = {"dtype": "bfloat16", "batch": 8, "seq_len": 65_536, "parallel": way, "tp": devices, **changes}
    options = {"attention": read_choice("attention", variant), "geometry": read_choice("geometry", "deepseek-v3")}
    return ProjectionPlan({**run, **options, **sizes, "hardware": read_choice("hardware", "h100-sxm5-80gb")})


def costs(variant, *way, **changes):
    return plan(variant, *way, **changes).constants()


@pytest.mark.parametrize("way", ["dp", "dcp"])
@pytest.mark.parametrize("attention", ["mha", "gqa", "mla"])
def test_sequences_or_context_are_shared_out_whole(attention, way):
    share, whole = costs(attention, way), costs(attention, devices=1)
    for span, metric in (("kernel", "flops"), ("case", "cache_bytes"), ("case", "cache_bytes_mha")):
        assert DEVICES * share[span][metric] == whole[span][metric]


def test_heads_are_shared_out_and_the_latent_is_not():
    share, whole = costs("mla", "tp"), costs("mla", devices=1)
    assert DEVICES * share["kernel"]["flops"] == whole["kernel"]["flops"]
    assert share["case"]["cache_bytes"] == whole["case"]["cache_bytes"]
    assert DEVICES * costs("gqa", "tp")["case"]["cache_bytes"] == costs("gqa", devices=1)["case"]["cache_bytes"]


@pytest.mark.parametrize("way", ["dp", "dcp"])
def test_mla_so_shared_stands_to_gqa_as_on_one_device(way):
    sizes = {"batch": 8, "seq_len": 131_072, "query_len": 1}
    groups = {"attention": {**read_choice("attention", "gqa"), "kv_heads": 8}}

    def ratio(way, devices):
        mla, gqa = costs("mla_absorbed", way, devices, **sizes), costs("gqa", "tp", devices, **sizes, **groups)
        return gqa["kernel"]["bound_s"] / mla["kernel"]["bound_s"]

    assert ratio(way, DEVICES) == pytest.approx(ratio("tp", 1), rel=0.02)  # queries and outputs
    assert ratio("tp", DEVICES) < 0.5 < 3.5 < ratio("tp", 1)


def test_weights_are_whole_under_dp_and_shared_under_dcp():
    weights = {way: costs("mla", way)["case"]["parameter_count"] for way in ("tp", "dp", "dcp")}
    assert weights["dp"] == costs("mla", devices=1)["case"]["parameter_count"]
    assert weights["dcp"] == weights["tp"] < weights["dp"]


def test_weights_around_a_kernel_under_dcp_cost_what_tp_says():
    by_heads, by_context = costs("gqa", "tp"), costs("gqa", "dcp")
    around = [found["layer"]["flops"] - found["kernel"]["flops"] for found in (by_heads, by_context)]
    assert around[0] == around[1] > 0


def test_dcp_exchanges_queries_and_parts_of_outputs_by_count():
    own = range(128 // DEVICES)
    queries = sum(576 for _ in own for device in range(DEVICES) if device)
    outputs = sum(512 + 1 for head in range(128) if head not in own)
    tokens, element_bytes = 8, 2
    exchanged = tokens * element_bytes * (queries + outputs)
    assert costs("mla", "dcp")["kernel"]["exchanged_bytes"] == exchanged
    assert "exchanged_bytes" not in costs("mla", "dp")["kernel"]


@pytest.mark.parametrize(
    ("way", "changes", "said"),
    [
        ("dp", {"batch": 3}, "batch must be a multiple of tp under parallel=dp; got 3 and 8"),
        ("dcp", {"phase": "prefill"}, "parallel must be tp or dp where no context is cached yet; got 'dcp'"),
        ("dcp", {"seq_len": 16, "query_len": 3}, "seq_len / tp must be at least query_len under parallel=dcp"),
        ("pp", {}, "parallel must be one of tp, dp, dcp; got 'pp'"),
        ("dcp", {"variant": "mla_latent"}, "parallel=dcp shares a cache that is attended to as it lies"),
    ],
)
def test_what_cannot_be_shared_so_is_refused_in_a_sentence(way, changes, said):
    with pytest.raises(ValueError, match=said):
        plan(**{"variant": "mla", "way": way, **changes})
