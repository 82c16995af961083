"""The largest batch beside a model's weights, counted by hand for models that are simple enough."""

import pytest

from suite.configuration.files import read_choice, read_settings
from suite.theory.answers.capacity import CapacityPlan, SharedModel
from suite.theory.layers.parallel import Layout

GB = 1e9


def plan(geometry="llama-3.1-8b", hardware="h100-sxm5-80gb", **changes):
    own = {key: value for key, value in read_settings("capacity").items() if key != "defaults"}
    sizes = {"seq_len": 32_768, "query_len": 1, "tp": 1}
    groups = {"geometry": read_choice("geometry", geometry), "hardware": read_choice("hardware", hardware)}
    return CapacityPlan({**own, **sizes, **groups, **changes})


def costs(*args, **changes):
    found = plan(*args, **changes)
    assert found.refusal is None, found.refusal
    return found.constants()


def test_pages_round_a_sequence_up():
    assert costs(seq_len=32_769, page=64)["case"]["sequence_bytes"] == costs(seq_len=32_832)["case"]["sequence_bytes"]
    assert costs(seq_len=32_769)["case"]["sequence_bytes"] < costs(seq_len=32_832)["case"]["sequence_bytes"]


def test_tp_puts_the_latent_on_every_device_and_dp_does_not():
    sizes = {"weights": "fp8", "tp": 8}
    found = {way: costs("deepseek-v3", "h200-sxm-141gb", parallel=way, **sizes) for way in ("tp", "dp", "dcp")}
    latent = 61 * 576 * 2 * 32_768
    assert [found[way]["case"]["sequence_bytes"] for way in found] == [latent, latent, latent / 8]
    batch = {way: found[way]["case"]["largest_batch"] for way in found}
    assert batch["dp"] > 5 * batch["tp"]
    assert batch["dcp"] > batch["dp"]  # attention's weights are shared, too
    assert found["dp"]["case"]["weight_bytes"] > found["tp"]["case"]["weight_bytes"]


def test_a_batch_touches_the_experts_that_even_routing_gives():
    sizes = {"weights": "fp8", "tp": 8, "parallel": "dp"}
    model = plan("deepseek-v3", "h200-sxm-141gb", **sizes).model
    all_experts = 58 * 256 * 3 * 7168 * 2048
    for sequences in (8, 16, 64):
        kernels = model._of_kernels.kernel(model._pass(sequences, 1, 64)).traffic_bytes
        read = model.step(sequences, 1, 64).traffic_bytes - kernels
        # Of the table that a device's own sequences are looked up in, none is multiplied.
        every = model.weight_bytes - model.parameters.norms - model.parameters.embeddings
        assert every - read == pytest.approx(all_experts * (1 - 8 / 256) ** sequences / 8, rel=1e-6)


def test_expected_times_are_longer_than_the_least_or_unknown():
    found = costs("deepseek-v3", "h200-sxm-141gb", weights="fp8", tp=8, parallel="dp")
    assert found["step"]["bound_s"] < found["step"]["expected_s"] < 3 * found["step"]["bound_s"]
    hybrid = plan("qwen3.5-397b-a17b", "h200-sxm-141gb", weights="int4", tp=2)
    assert "expected_s" not in hybrid.constants()["step"]
    assert hybrid.facts()["expected_by"] == (
        "nothing: its calibration has no GQA kernel with heads of widths 256 and 256"
    )
    assert plan(hardware="l40s").facts()["expected_by"] == "nothing: the device has no calibration"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"geometry": "deepseek-v3"},
            "the weights take 1,250 GiB, more than 90% of a device's 74.5 GiB",
        ),
        ({"seq_len": 1 << 20}, "leave 52.1 GiB of 90% of a device's 74.5 GiB, but one sequence needs 128 GiB"),
        ({"hardware": "t4"}, "t4 has no published bfloat16 peak"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_the_sizes(changes, said):
    assert said in plan(**changes).refusal


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memory_share": 1.5}, "memory_share must be at most 1; got 1.5"),
        ({"weights": "fp4"}, "weights must be one of bfloat16, fp8, int4; got 'fp4'"),
        ({"page": 0}, "page must be a whole number of at least 1; got 0"),
        ({"tp": 3}, "num_heads must be a multiple of tp; got 32 and 3"),
        (
            {"geometry": "gpt-oss-120b", "tp": 2, "parallel": "dcp"},
            "parallel must be tp or dp for layers of kind window",
        ),
    ],
)
def test_wrong_settings_are_one_sentence(changes, said):
    with pytest.raises(ValueError, match=said):
        plan(**changes)


def test_a_token_is_multiplied_by_its_own_experts_alone():
    settings = read_choice("geometry", "deepseek-v3")
    model = SharedModel(settings, layout=Layout(tp=1), weights="fp8")
    kernels = model._of_kernels.kernel(model._pass(64, 1, 4096)).flops
    per_token = (model.step(64, 1, 4096).flops - kernels) / (2 * 64)
    vectors = 61 * (512 + 1536)  # the norms of latent and query
    assert per_token == model.parameters.active - model.parameters.norms - vectors


def test_an_expected_step_is_its_kernels_and_its_matrices():
    found = costs()
    batch, kept = 13, 32_768 * 2 * 8 * 128 * 2
    kernel_s = 8e-6 + batch * kept / 3.35e12 / 0.9
    matrices = 8_030_261_248 - 128_256 * 4096 - 65 * 4096
    # Of 13 rows: queries, keys and values; output; gate and up; down. Then the head.
    rest_s = 2 * matrices / 3.35e12 / 0.90 + (32 * 4 + 1) * 3e-6
    assert found["step"]["expected_s"] == pytest.approx(32 * kernel_s + rest_s, rel=1e-6)
