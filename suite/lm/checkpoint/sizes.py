"""The sizes of a published model's decoder, from its config.json, in the words of conf/policy. No torch.

The suite's decoder must compute them in the same way: a checkpoint that would run and answer something else is refused
here, by the setting that makes it another model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suite.configuration.files import read_choice
from suite.configuration.untrusted import parse_json
from suite.configuration.values import clipped, number_between, whole_number
from suite.lm.checkpoint.locate import PACKAGES
from suite.records.record import CorruptRecordError
from suite.records.stores.store import read_file
from suite.theory.layers.decoder_shape import DecoderShape, decoder_shape

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
SIZES = {
    "num_layers": "num_hidden_layers",
    "intermediate_size": "intermediate_size",
    "vocab_size": "vocab_size",
    "max_position": "max_position_embeddings",
}
LEAST, MOST = 1e-30, 1 << 31
"""The least factor, and the largest size or factor: no model is near it, and the product of two is still a number."""
LONGEST_TOLD = 200
FULL = "full_attention"  # the kind of a layer, where a file gives it for each
ROPE_KINDS = ("default", "llama3")
DEFAULT_THETA, DEFAULT_EPS = 10_000.0, 1e-6
"""Values of both families, for a file that leaves them out."""


def read_sizes(checkpoint: str, where: str) -> dict[str, Any]:
    """Sizes of a package's checkpoint, from its file in conf/policy, or of a folder's, from its config.json.

    `where`: the setting that names the checkpoint. Raises ValueError, in one sentence, for a missing file or a model
    that is not this decoder.
    """
    if checkpoint in PACKAGES:
        return read_choice("policy", PACKAGES[checkpoint].policy)
    try:
        content = read_file(Path(checkpoint) / CONFIG, may_be_link=True)
    except CorruptRecordError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            choices = f"{', '.join(PACKAGES)} or a folder with a {CONFIG} and safetensors"
            raise ValueError(f"{where} must be {choices}; got {checkpoint!r}") from error
        raise ValueError(f"{where} must have a {CONFIG} that can be read: {error}") from error
    try:
        config = parse_json(content)
    except ValueError as error:
        raise ValueError(f"{where} has a {CONFIG} that {error}") from error
    return sizes_from(config, where)


def shape_from(sizes: Mapping[str, Any], where: str) -> tuple[DecoderShape, dict[str, Any]]:
    """(a decoder's shape, its settings under `attention`) from sizes as `read_sizes` gives them."""
    attention = {**read_choice("attention", "gqa"), "kv_heads": sizes["num_kv_heads"]}
    named = {"name": "checkpoint", **sizes}
    return decoder_shape(named, attention, vocab_size=sizes["vocab_size"], where=f"{where}."), attention


def sizes_from(config: Any, where: str) -> dict[str, Any]:
    """Sizes from a config.json's content, by conf/policy's names. Raises ValueError for another kind of model."""
    if not isinstance(config, Mapping):
        raise ValueError(f"{where} has a {CONFIG} that must be a mapping of settings; got {clipped(config)}")
    family = config.get("model_type")
    family_rules = FAMILIES.get(family) if isinstance(family, str) else None
    if family_rules is None or config.get("architectures", [family_rules]) != [family_rules]:
        named = _joined_names(config.get("architectures") or [family])
        raise ValueError(f"{where} must be one of {', '.join(FAMILIES.values())}; its {CONFIG} says {named}")
    for name, values in PLAIN.items():
        if config.get(name, values[0]) not in values:
            raise ValueError(f"{where} has {name}={clipped(config[name])}, which this decoder does not support")
    kinds = config.get("layer_types") or []
    other_kinds = [kind for kind in kinds if kind != FULL] if isinstance(kinds, list) else kinds
    if other_kinds:
        raise ValueError(f"{where} has layers of {_joined_names(other_kinds)}, which this decoder does not support")
    heads, hidden = (_positive_whole(config, name, where) for name in ("num_attention_heads", "hidden_size"))
    head_defaults = {"num_key_value_heads": heads, "head_dim": hidden // heads}
    given = {**config, **{name: config.get(name) or follows for name, follows in head_defaults.items()}}
    tied = config.get("tie_word_embeddings", False)
    if not isinstance(tied, bool):
        raise ValueError(f"{where} has tie_word_embeddings={clipped(tied)}, which must be true or false")
    return {
        "attention": "gqa",
        "hidden_size": hidden,
        "num_heads": heads,
        "num_kv_heads": _positive_whole(given, "num_key_value_heads", where),
        "head_dim": _positive_whole(given, "head_dim", where),
        **{name: _positive_whole(config, theirs, where) for name, theirs in SIZES.items()},
        "tie_embeddings": tied,
        "qkv_bias": family == "qwen2",
        "norm_eps": _positive_number({"rms_norm_eps": DEFAULT_EPS, **config}, "rms_norm_eps", where),
        **_rope(config, where),
    }


def _rope(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`rope_theta` and `rope_scaling`, from `rope_parameters` in newer files. Raises ValueError for another kind."""
    given = {"rope_theta": config.get("rope_theta", DEFAULT_THETA)}
    for name in ("rope_scaling", "rope_parameters"):
        part = config.get(name) or {}
        if not isinstance(part, Mapping):
            raise ValueError(f"{where} has {name}={clipped(part)}, which must be a mapping of settings")
        given |= part
    kind = given.get("rope_type", given.get("type", "default"))
    if kind not in ROPE_KINDS or given.get("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError(
            f"{where} has a rotary embedding of kind {clipped(kind)}, or of a part of a head; this decoder supports "
            f"{' and '.join(ROPE_KINDS)}, of whole heads"
        )
    theta = _positive_number(given, "rope_theta", where)
    if kind == "default":
        return {"rope_theta": theta, "rope_scaling": None}
    factors = {name: _positive_number(given, name, where) for name in ("factor", "low_freq_factor", "high_freq_factor")}
    low, high = factors["low_freq_factor"], factors["high_freq_factor"]
    if low >= high:
        raise ValueError(f"{where} must have a low_freq_factor below its high_freq_factor; got {low:g} and {high:g}")
    original = _positive_number(given, "original_max_position_embeddings", where)
    return {"rope_theta": theta, "rope_scaling": {"type": kind, "original_max_position": original, **factors}}


def _positive_whole(config: Mapping[str, Any], name: str, where: str) -> int:
    return whole_number(config, name, at_least=1, at_most=MOST, where=f"{where}'s {CONFIG}: ")


def _positive_number(config: Mapping[str, Any], name: str, where: str) -> float:
    return number_between(config, name, LEAST, MOST, where=f"{where}'s {CONFIG}: ")


def _joined_names(names: Any) -> str:
    is_plain = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return ", ".join(dict.fromkeys(names))[:LONGEST_TOLD] if is_plain else clipped(names)
