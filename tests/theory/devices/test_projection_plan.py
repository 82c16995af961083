"""Every device of the table can be projected, or says which dtype it lacks."""

import pytest

from suite.configuration.files import in_phase, read_choice, read_yaml
from suite.theory.devices.hardware import hardware_names, load_hardware
from suite.theory.devices.projection_plan import ProjectionPlan


def plan(**changes):
    run = {key: value for key, value in read_yaml("run.yaml").items() if key not in ("defaults", "hydra")}
    groups = {"attention": "mla", "geometry": "deepseek-v3"}
    chosen = {group: read_choice(group, name) for group, name in groups.items()}
    return ProjectionPlan({**run, **chosen, "dtype": "float32", "parallel": "tp", **changes})


@pytest.mark.parametrize("name", hardware_names())
def test_a_device_gives_the_least_time_or_names_what_it_lacks(name):
    hardware = read_choice("hardware", name)
    for dtype in ("float32", "float16", "bfloat16"):
        projected, ceilings = plan(hardware=hardware, dtype=dtype), load_hardware(name).ceilings(dtype)
        if ceilings is None:
            assert f"{name} has no published {dtype} peak" in projected.refusal
            continue
        assert projected.refusal is None
        kernel = projected.constants()["kernel"]
        least_s = max(kernel["flops"] / ceilings.flops_per_s, kernel["traffic_bytes"] / ceilings.bytes_per_s)
        assert kernel["bound_s"] == least_s


H100 = {"hardware": read_choice("hardware", "h100-sxm5-80gb"), "dtype": "bfloat16", "seq_len": 131_072}


def test_what_is_expected_stands_beside_the_bound():
    projected = plan(**H100)
    kernel, layer = (projected.constants()[span] for span in ("kernel", "layer"))
    expected = projected.calibration.expected(projected.shape, projected.forward, "bfloat16")
    of_record = tuple(kernel[name] for name in ("expected_s", "expected_low_s", "expected_high_s"))
    assert of_record == (expected.seconds, expected.low, expected.high)
    assert kernel["bound_s"] < kernel["expected_low_s"]
    assert layer["bound_s"] < layer["expected_low_s"] < layer["expected_s"] < layer["expected_high_s"]
    assert projected.facts()["expected_by"] == "MLA 128"


def test_a_prompts_time_is_expected_without_an_error():
    mla = in_phase(read_choice("attention", "mla"), "prefill")
    kernel = plan(**H100, phase="prefill", attention=mla).constants()["kernel"]
    assert kernel["expected_s"] > kernel["bound_s"]
    assert not {"expected_low_s", "expected_high_s"} & set(kernel)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"hardware": read_choice("hardware", "h20-96gb")}, "nothing: the device has no calibration"),
        ({"hardware": H100["hardware"] | {"mem_bw_gbs": 3000}}, "nothing: its calibration is of another specification"),
        ({"seq_len": 256}, "nothing: its calibration begins at 512 tokens of context"),
        ({"cache_dtype": "fp8"}, "nothing: its calibration covers only bfloat16, for the cache too"),
    ],
)
def test_where_nothing_is_known_the_bound_stands_alone(change, why):
    projected = plan(**(H100 | change))
    assert projected.facts()["expected_by"] == why
    for span in ("kernel", "layer"):
        assert "bound_s" in projected.constants()[span]
        assert not any(name.startswith("expected") for name in projected.constants()[span])


def test_a_projection_without_a_device_names_the_choices():
    with pytest.raises(ValueError, match=r"hardware must be one of .*h20-96gb.*; got none"):
        plan(hardware=None)
