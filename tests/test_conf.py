"""Every file below conf/ says where it comes from, and names code that exists."""

import pytest
import yaml

from suite.configuration import choices, conf_dir, locate, read_choice, read_yaml
from suite.theory.geometry import geometry_names, load_geometry
from suite.theory.hardware import hardware_names, load_hardware


def has_source(content):
    return bool(content.get("source")) and all(isinstance(one, str) and one.strip() for one in content["source"])


@pytest.mark.parametrize("name", geometry_names())
def test_a_geometry_loads_and_names_its_sources(name):
    content = read_choice("geometry", name)
    assert content["name"] == name
    assert has_source(content)
    geometry = load_geometry(name)
    assert geometry.is_latent == (geometry.head_dim is None)
    assert ("head_dim" in content) != geometry.is_latent


@pytest.mark.parametrize("name", hardware_names())
def test_a_device_loads_and_names_its_sources(name):
    content = read_choice("hardware", name)
    assert content["name"] == name
    assert has_source(content)
    device = load_hardware(name)
    assert device.bytes_per_s > 0
    assert device.dense_flops_per_s


@pytest.mark.parametrize("key", ["_target_", "shape", "plan"])
@pytest.mark.parametrize("group", ["attention", "backend", "workload"])
def test_the_code_that_a_choice_names_exists(group, key):
    if key == "_target_":
        pytest.importorskip("torch", reason="the code behind a choice needs torch")
    named = [content[key] for name in choices(group) if key in (content := read_choice(group, name))]
    assert named or key != "_target_"
    for dotted in named:
        assert callable(locate(dotted))


def test_every_yaml_below_conf_is_in_a_known_group():
    groups = {path.parent.name for path in conf_dir().rglob("*.yaml")}
    known = {
        "conf",
        "attention",
        "backend",
        "geometry",
        "hardware",
        "measure",
        "published",
        "published_quality",
        "published_training",
        "sweep",
        "telemetry",
        "algorithm",
        "task",
        "policy",
        "recipe",
        "settings",
        "workload",
    }
    assert groups <= known


def test_a_published_need_of_memory_is_a_case_of_the_sweep_that_projects_it():
    published = read_yaml("published_rl_memory.yaml")
    params = read_yaml("sweep/rl_memory_published.yaml")["hydra"]["sweeper"]["params"]
    swept = {name: [yaml.safe_load(value) for value in params[name].split(",")] for name in params}
    likes = [figure["like"] for figure in published["figures"] if figure["problem"].startswith("EasyR1")]
    assert len(likes) == 19
    for like in likes:
        assert all(like[name] in swept[name] for name in ("geometry", "precision", "lora_rank"))
