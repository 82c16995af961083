"""Parameters of published models against their published sizes; exact counts stand in tests/parity."""

import pytest

from suite.configuration.files import read_choice
from suite.theory.layers.decoder_shape import decoder_shape
from suite.theory.layers.geometry import geometry_names
from suite.theory.layers.layer_plan import parameters_from

PLAIN = ("family", "moe", "layers", "qk_norm", "norms_per_layer")
BILLION = 1e9


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [
        # In billions, as their makers round them.
        ("deepseek-v3", 671, 37),
        ("kimi-k2", 1026, 32),
        ("kimi-k3", 2780, 104),
        ("gpt-oss-120b", 117, 5.1),
        ("gpt-oss-20b", 21, 3.6),
        ("qwen3-235b-a22b", 235, 22),
        ("qwen3-coder-480b-a35b", 480, 35),
        ("glm-4.5-air-106b", 107, 13),
        ("llama-4-maverick", 401, 16),
        ("nemotron-3-super", 121, 12),
        ("nemotron-3-ultra", 549, 55),
        ("kimi-linear-48b", 49, 3.1),
        ("mixtral-8x7b", 46.7, 12.8),
        ("longcat-flash", 561, 31.4),
        ("deepseek-v4-pro", 1573, 49),
        ("gemma-4-26b-a4b", 25.2, 3.8),
        ("llama-3.1-405b", 406, 404),
    ],
)
def test_total_and_active_parameters_are_the_published_ones(name, total, active):
    counts = parameters_from(read_choice("geometry", name))
    assert counts.total / BILLION == pytest.approx(total, rel=0.005)
    assert counts.active / BILLION == pytest.approx(active, rel=0.02)


@pytest.mark.parametrize("name", geometry_names())
def test_parts_add_up_and_a_dense_model_has_no_idle_ones(name):
    counts, sizes = parameters_from(read_choice("geometry", name)), read_choice("geometry", name)
    assert 0 < counts.active <= counts.total
    assert (counts.idle > 0) == ("moe" in sizes)
    if not any(field in sizes for field in PLAIN if field != "family"):
        attention = read_choice("attention", sizes["attention"])
        groups = {} if sizes["attention"] == "mla" else {"kv_heads": sizes["num_kv_heads"] or "all"}
        ours = decoder_shape(sizes, {**attention, **groups}, vocab_size=sizes["vocab_size"], where="geometry.")
        assert counts.total == ours.parameter_count


def test_a_tied_head_is_counted_once_and_is_active():
    sizes = read_choice("geometry", "probe")
    tied, untied = (parameters_from({**sizes, "tie_embeddings": value}) for value in (True, False))
    assert untied.total - tied.total == 256 * 64
    assert untied.active == tied.active == tied.total
    experts = read_choice("geometry", "mixtral-8x7b")["moe"]
    with pytest.raises(ValueError, match=r"geometry\.moe\.n_rooted is no size of experts; the sizes are n_routed, "):
        parameters_from({**sizes, "moe": {**experts, "n_rooted": 3}})
