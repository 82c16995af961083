"""Every device of the table can be projected, or says which dtype it lacks."""

import pytest

from suite.configuration.files import read_choice, read_yaml
from suite.theory.hardware import hardware_names, load_hardware
from suite.theory.projection_plan import ProjectionPlan


def plan(**changes):
    run = {key: value for key, value in read_yaml("run.yaml").items() if key not in ("defaults", "hydra")}
    groups = {"attention": "mla", "geometry": "deepseek-v3"}
    chosen = {group: read_choice(group, name) for group, name in groups.items()}
    return ProjectionPlan({**run, **chosen, "dtype": "float32", "parallel": "tp", **changes})


@pytest.mark.parametrize("name", hardware_names())
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_device_gives_the_least_time_or_names_what_it_lacks(name, dtype):
    projected, ceilings = plan(hardware=read_choice("hardware", name), dtype=dtype), load_hardware(name).ceilings(dtype)
    if ceilings is None:
        assert f"{name} has no published {dtype} peak" in projected.refusal
        return
    assert projected.refusal is None
    kernel = projected.constants()["kernel"]
    least_s = max(kernel["flops"] / ceilings.flops_per_s, kernel["traffic_bytes"] / ceilings.bytes_per_s)
    assert kernel["bound_s"] == least_s


def test_a_projection_without_a_device_names_the_choices():
    with pytest.raises(ValueError, match=r"hardware must be one of .*h20-96gb.*; got none"):
        plan(hardware=None)
