"""Every file below conf/ says where it comes from, and names code that exists."""

import pytest
import yaml

from suite.configuration.files import choices, full_name, locate, read_choice, read_yaml
from suite.configuration.values import did_you_mean
from suite.theory.devices.hardware import hardware_names, load_hardware
from suite.theory.layers.geometry import geometry_names, load_geometry


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


def test_an_alias_of_a_device_means_one_and_hides_none():
    aliases = [alias for name in hardware_names() for alias in read_choice("hardware", name).get("aliases", ())]
    assert len(set(aliases)) == len(aliases)
    assert not set(aliases) & set(hardware_names())
    assert full_name("hardware", "h100") == "h100-sxm5-80gb"
    assert full_name("hardware", "a100") == "a100"  # two of SXM form


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("seq_lem", "; did you mean seq_len?"),
        ("a100", "; did you mean a100-40gb or a100-80gb?"),
        ("colour", ""),
        ("seq_len", ""),
    ],
)
def test_only_a_near_name_is_suggested(name, said):
    assert did_you_mean(name, ("seq_len", "a10", "a100-40gb", "a100-80gb", "batch")) == said


@pytest.mark.parametrize("key", ["_target_", "shape", "plan"])
@pytest.mark.parametrize("group", ["attention", "backend", "workload"])
def test_the_code_that_a_choice_names_exists(group, key):
    if key == "_target_":
        pytest.importorskip("torch", reason="the code behind a choice needs torch")
    named = [content[key] for name in choices(group) if key in (content := read_choice(group, name))]
    assert named or key != "_target_"
    for dotted in named:
        assert callable(locate(dotted))


def test_each_published_need_of_memory_is_a_projected_case():
    published = read_yaml("published_rl_memory.yaml")
    params = read_yaml("sweep/rl_memory_published.yaml")["hydra"]["sweeper"]["params"]
    swept = {name: [yaml.safe_load(value) for value in params[name].split(",")] for name in params}
    likes = [figure["like"] for figure in published["figures"] if figure["problem"].startswith("EasyR1")]
    assert len(likes) == 19
    for like in likes:
        assert all(like[name] in swept[name] for name in ("geometry", "precision", "lora_rank"))
