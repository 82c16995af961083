"""Configurations of transformers with the sizes of our geometries, family by family."""

from itertools import chain

from transformers import CONFIG_MAPPING

COMMON = {
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "head_dim": "head_dim",
    "intermediate_size": "intermediate_size",
    "vocab_size": "vocab_size",
    "tie_embeddings": "tie_word_embeddings",
    "q_lora_rank": "q_lora_rank",
    "kv_lora_rank": "kv_lora_rank",
    "qk_nope_head_dim": "qk_nope_head_dim",
    "qk_rope_head_dim": "qk_rope_head_dim",
    "v_head_dim": "v_head_dim",
}
EXPERTS = {
    "n_shared": "n_shared_experts",
    "top_k": "num_experts_per_tok",
    "moe_intermediate": "moe_intermediate_size",
    "first_dense": "first_k_dense_replace",
}
MODEL_TYPES = {
    "deepseek_v3": "deepseek_v3",
    "kimi_k2": "deepseek_v3",
    "kimi_k25": "deepseek_v3",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "minimax_m3_vl": "minimax_m3_vl_text",
    "llama4": "llama4_text",
    "gemma3": "gemma3_text",
    "gemma4": "gemma4_text",
}
DEFAULTS = "defaults"
"""In the first source of a geometry that has its sizes from a class of transformers."""


def their_config(settings):
    """Their configuration of one of our geometries: the class's own defaults where these are our only source."""
    family = settings["family"]
    if len(settings["source"]) == 1 and settings["source"][0].endswith(DEFAULTS):
        return CONFIG_MAPPING[family]()
    if family == "kimi_linear":  # its defaults, but the checkpoint's list of layers
        return CONFIG_MAPPING[family](
            layer_types=types(settings, {"state": "linear_attention", "latent": "full_attention"})
        )
    if family == "longcat_flash":
        return CONFIG_MAPPING[family]()
    sizes = {theirs: settings[ours] for ours, theirs in COMMON.items() if ours in settings}
    sizes["num_key_value_heads"] = settings["num_kv_heads"] or settings["num_heads"]
    moe = settings.get("moe")
    if moe:
        sizes |= {theirs: moe[ours] for ours, theirs in EXPERTS.items() if ours in moe}
        sizes |= dict.fromkeys(("n_routed_experts", "num_local_experts", "num_experts"), moe["n_routed"])
    sizes |= globals().get(f"_{family}", lambda settings: {})(settings)
    config = CONFIG_MAPPING[MODEL_TYPES.get(family, family)]
    if family == "step3p7":
        return config(text_config={**sizes, "n_routed_experts": moe["n_routed"]})
    known = {name for base in config.__mro__ for name in getattr(base, "__annotations__", {})}
    passed = known | set(getattr(config, "attribute_map", {})) | PASSED
    return config(**{name: value for name, value in sizes.items() if name in passed})


PASSED = {
    "compress_ratios",
    "num_hash_layers",
    "hybrid_override_pattern",
    "global_head_dim",
    "num_global_key_value_heads",
}
PASSED |= {"head_dim", "first_k_dense_replace", "moe_layer_freq", "sparse_attention_config"}


def types(settings, names):
    """Layer types in the order of our kinds."""
    return list(chain.from_iterable([names[layer["kind"]]] * layer["count"] for layer in settings["layers"]))


WINDOWS = {"window": "sliding_attention", "full": "full_attention"}


def _windows(settings):
    window = next(layer["window"] for layer in settings["layers"] if layer["kind"] == "window")
    return {"layer_types": types(settings, WINDOWS), "sliding_window": window}


_gemma2 = _gemma3 = _gpt_oss = _windows


def _qwen2(settings):
    return {"use_sliding_window": False}


def _glm4(settings):
    return {"attention_bias": settings["qkv_bias"], "partial_rotary_factor": settings["partial_rotary"]}


def _glm4_moe(settings):
    return {"attention_bias": settings["qkv_bias"], "use_qk_norm": settings.get("qk_norm", False)}


def _indexed(settings):
    indexer = settings["layers"][0]["indexer"]
    return {
        "index_n_heads": indexer["heads"],
        "index_head_dim": indexer["head_dim"],
        "index_topk": indexer["top_k"],
    }


_deepseek_v32 = _indexed


def _glm_moe_dsa(settings):
    own = [["shared" if layer["indexer"].get("shared") else "full"] * layer["count"] for layer in settings["layers"]]
    return {**_indexed(settings), "indexer_types": list(chain.from_iterable(own)), "mlp_layer_types": _mlps(settings)}


def _mlps(settings):
    dense = settings["moe"]["first_dense"]
    return ["dense"] * dense + ["sparse"] * (settings["num_layers"] - dense)


def _deepseek_v4(settings):
    ratios = [[layer["every"] or 0] * layer["count"] for layer in settings["layers"]]
    first = settings["layers"][0]
    return {
        **_indexed(settings),
        "compress_ratios": list(chain.from_iterable(ratios)),
        "num_hash_layers": 3,
        "sliding_window": first["window"],
        "o_groups": first["o_groups"],
        "o_lora_rank": first["o_lora_rank"],
    }


def _qwen3_5(settings):
    _, state = settings["layers"]
    return {
        "layer_types": types(settings, {"full": "full_attention", "state": "linear_attention"}),
        "linear_num_key_heads": state["key_heads"],
        "linear_num_value_heads": state["value_heads"],
        "linear_key_head_dim": state["key_dim"],
        "linear_value_head_dim": state["value_dim"],
        "linear_conv_kernel_dim": state["taps"],
    }


def _qwen3_5_moe(settings):
    return {**_qwen3_5(settings), "shared_expert_intermediate_size": settings["moe"]["moe_intermediate"]}


def _minimax_m2(settings):
    return {"intermediate_size": settings["moe"]["moe_intermediate"]}


_mixtral = _minimax_m2


def _minimax_m3_vl(settings):
    indexer = settings["layers"][1]["indexer"]
    plain, sparse = (layer["count"] for layer in settings["layers"])
    return {
        "dense_intermediate_size": settings["intermediate_size"],
        "intermediate_size": settings["moe"]["moe_intermediate"],
        "shared_intermediate_size": settings["moe"]["moe_intermediate"],
        "layer_types": ["full_attention"] * plain + ["minimax_m3_sparse"] * sparse,
        "mlp_layer_types": _mlps(settings),
        "index_n_heads": indexer["heads"],
        "index_head_dim": indexer["head_dim"],
        "index_block_size": indexer["block"],
    }


def _llama4(settings):
    dense, layers = settings["moe"]["first_dense"], settings["num_layers"]
    chunked, full = settings["layers"]
    return {
        "intermediate_size": settings["moe"]["moe_intermediate"],
        "intermediate_size_mlp": settings["intermediate_size"],
        "moe_layers": list(range(dense, layers)),
        "no_rope_layers": [1] * chunked["count"] + [0] * full["count"],
        "attention_chunk_size": chunked["window"],
    }


def _gemma4(settings):
    window, _ = settings["layers"]
    return {
        **_windows(settings),
        "head_dim": window["head_dim"],
        "num_key_value_heads": window["num_kv_heads"],
        "global_head_dim": settings["head_dim"],
        "num_global_key_value_heads": settings["num_kv_heads"],
        "attention_k_eq_v": True,
        "hidden_size_per_layer_input": 0,
        "enable_moe_block": "moe" in settings,
        "top_k_experts": settings.get("moe", {}).get("top_k"),
    }


def _mimo_v2_flash(settings):
    return {**_windows(settings), "v_head_dim": settings["layers"][0]["v_head_dim"], "mlp_layer_types": _mlps(settings)}


def _step3p7(settings):
    return {
        **_windows(settings),
        "mlp_layer_types": _mlps(settings),
        "share_expert_dim": settings["moe"]["moe_intermediate"],
    }


def _nemotron_h(settings):
    _, state, _ = settings["layers"]
    moe = settings["moe"]
    return {
        "hybrid_override_pattern": "".join(types(settings, {"full": "*", "state": "M", "mlp": "E"})),
        "mamba_num_heads": state["value_heads"],
        "mamba_head_dim": state["value_dim"],
        "ssm_state_size": state["key_dim"],
        "n_groups": state["key_heads"],
        "conv_kernel": state["taps"],
        "moe_shared_expert_intermediate_size": moe["shared_intermediate"],
        "moe_latent_size": moe.get("routed_hidden"),
    }


def _mistral(settings):
    window = settings.get("layers", [{}])[0].get("window")
    return {"sliding_window": window}
