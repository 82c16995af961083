"""What the config.json of a published model says of its decoder, in the words of conf/policy. No torch.

Only what the suite's decoder computes in the same way is taken: a checkpoint that would run and say something else is
refused here, by the setting that makes it another model.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suite.configuration import read_choice
from suite.lm.checkpoint.place import PACKAGES, is_package
from suite.theory.decoder_shape import DecoderShape, decoder_shape

CONFIG = "config.json"
FAMILIES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
"""model_type and the class that transformers reads it with."""
PLAIN: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "use_sliding_window": (False,),
    "partial_rotary_factor": (1.0,),
    "quantization_config": (None,),
}
"""Settings that change what a decoder computes, with the values that this one has; absent is as the first."""
ROPE_KINDS = ("default", "llama3")
DEFAULT_THETA, DEFAULT_EPS = 10_000.0, 1e-6
"""Of both families, for a file that leaves them out."""


def sizes_of(checkpoint: str, where: str) -> dict[str, Any]:
    """Of a package's checkpoint from its policy's file, of a folder's from its config.json.

    `where`: the setting that names it. Raises ValueError, in one sentence, for what is not there or another model.
    """
    if is_package(checkpoint):
        return read_choice("policy", PACKAGES[checkpoint].policy)
    folder = Path(checkpoint)
    path = folder / CONFIG
    if not path.is_file():
        choices = ", ".join(PACKAGES)
        raise ValueError(f"{where} must be {choices} or a folder with a {CONFIG} and safetensors; got {checkpoint!r}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{where} has a {CONFIG} that is no JSON ({error})") from error
    return sizes_from(config, where)


def shape_from(sizes: Mapping[str, Any], where: str) -> tuple[DecoderShape, dict[str, Any]]:
    """Of the decoder that has these sizes, as `sizes_of` gives them; and its settings under `attention`."""
    attention = {**read_choice("attention", "gqa"), "kv_heads": sizes["num_kv_heads"]}
    named = {"name": "checkpoint", **sizes}
    return decoder_shape(named, attention, vocab_size=sizes["vocab_size"], where=f"{where}."), attention


def sizes_from(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Sizes as conf/policy and conf/geometry name them. Raises ValueError for a model that is not this decoder."""
    family = config.get("model_type")
    if family not in FAMILIES or config.get("architectures", [FAMILIES[family]]) != [FAMILIES[family]]:
        named = ", ".join(config.get("architectures") or [str(family)])
        raise ValueError(f"{where} must hold one of {', '.join(FAMILIES.values())}; its {CONFIG} says {named}")
    for name, values in PLAIN.items():
        if config.get(name, values[0]) not in values:
            raise ValueError(f"{where} has {name}={config[name]!r}, which this decoder does not have")
    kinds = set(config.get("layer_types") or ()) - {"full_attention"}
    if kinds:
        raise ValueError(f"{where} has layers of {', '.join(sorted(kinds))}, which this decoder does not have")
    try:
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        return {
            "attention": "gqa",
            "hidden_size": hidden,
            "num_layers": config["num_hidden_layers"],
            "num_heads": heads,
            "num_kv_heads": config.get("num_key_value_heads") or heads,
            "head_dim": config.get("head_dim") or hidden // heads,
            "intermediate_size": config["intermediate_size"],
            "vocab_size": config["vocab_size"],
            "max_position": config["max_position_embeddings"],
            "tie_embeddings": config.get("tie_word_embeddings", False),
            "qkv_bias": family == "qwen2",
            "norm_eps": config.get("rms_norm_eps", DEFAULT_EPS),
            **_rope(config, where),
        }
    except KeyError as error:
        raise ValueError(f"{where} has a {CONFIG} that does not say {error.args[0]}") from error


def _rope(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Newer files have `rope_parameters` with all of it, older ones `rope_theta` and `rope_scaling`."""
    given = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    theta = given.get("rope_theta", config.get("rope_theta", DEFAULT_THETA))
    kind = given.get("rope_type", given.get("type", "default"))
    if kind not in ROPE_KINDS or given.get("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError(
            f"{where} has a rotary embedding of kind {kind!r}, or of a part of a head; this decoder has "
            f"{' and '.join(ROPE_KINDS)}, of whole heads"
        )
    if kind == "default":
        return {"rope_theta": theta, "rope_scaling": None}
    scaling = {
        "type": kind,
        "original_max_position": given["original_max_position_embeddings"],
        **{name: given[name] for name in ("factor", "low_freq_factor", "high_freq_factor")},
    }
    return {"rope_theta": theta, "rope_scaling": scaling}
