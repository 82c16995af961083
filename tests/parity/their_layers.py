"""transformers' attention layers with the weights, sizes and rotary settings of ours.

Rotary settings are taken from a geometry's YAML and not from what we make of it, so that both sides read the source.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    DeepseekV2Config,
    DeepseekV3Config,
    DynamicCache,
    Glm4MoeLiteConfig,
    GptOssConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
)
from transformers.models.deepseek_v2 import modeling_deepseek_v2 as v2
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as v3
from transformers.models.glm4_moe_lite import modeling_glm4_moe_lite as glm
from transformers.models.gpt_oss import modeling_gpt_oss as gpt_oss
from transformers.models.granite import modeling_granite as granite
from transformers.models.llama import modeling_llama as llama
from transformers.models.mistral import modeling_mistral as mistral

from suite.attention.grouped import GroupedAttention
from suite.attention.latent import LatentAttention
from suite.attention.window import WindowAttention

THEIR_NAMES = {"type": "rope_type", "original_max_position": "original_max_position_embeddings"}


@dataclass(frozen=True, kw_only=True)
class TheirLayer:
    attention: torch.nn.Module
    rotary: torch.nn.Module
    """A model of theirs calls it once for all layers."""
    config: PreTrainedConfig

    def __call__(self, x_BSD: Tensor, positions_S: Tensor, cache: DynamicCache | None, mask: Tensor | None) -> Tensor:
        """The layer's output for new tokens at these positions."""
        return self.attend(x_BSD, self.rotary(x_BSD, positions_S[None]), cache, mask)

    def attend(self, x_BSD: Tensor, angles: Any, cache: DynamicCache | None, mask: Tensor | None) -> Tensor:
        """`mask` is added to the scores: a boolean one would be silently wrong, None masks nothing."""
        return self.attention(hidden_states=x_BSD, position_embeddings=angles, attention_mask=mask, cache=cache)[0]


def llama_layer(ours: GroupedAttention, geometry: Mapping[str, Any], implementation: str) -> TheirLayer:
    config = LlamaConfig(**_grouped_sizes(ours, geometry), attn_implementation=implementation)
    return _layer(_named(_grouped_weights(ours)), llama.LlamaAttention, llama.LlamaRotaryEmbedding, config)


def granite_layer(ours: GroupedAttention, geometry: Mapping[str, Any], implementation: str) -> TheirLayer:
    config = GraniteConfig(
        **_grouped_sizes(ours, geometry), attention_multiplier=ours.scale, attn_implementation=implementation
    )
    return _layer(_named(_grouped_weights(ours)), granite.GraniteAttention, granite.GraniteRotaryEmbedding, config)


def mistral_layer(ours: WindowAttention, geometry: Mapping[str, Any], implementation: str) -> TheirLayer:
    config = MistralConfig(
        **_grouped_sizes(ours, geometry), sliding_window=ours.shape.window, attn_implementation=implementation
    )
    return _layer(_named(_grouped_weights(ours)), mistral.MistralAttention, mistral.MistralRotaryEmbedding, config)


def gpt_oss_layer(ours: WindowAttention, geometry: Mapping[str, Any], implementation: str) -> TheirLayer:
    config = GptOssConfig(
        **_grouped_sizes(ours, geometry),
        sliding_window=ours.shape.window,
        layer_types=["sliding_attention"],
        num_hidden_layers=1,
        attention_bias=False,  # ours has none
        attn_implementation=implementation,
    )
    return _layer(
        {**_named(_grouped_weights(ours)), "sinks": ours.sink_H},
        gpt_oss.GptOssAttention,
        gpt_oss.GptOssRotaryEmbedding,
        config,
    )


def deepseek_v3_layer(ours: LatentAttention, geometry: Mapping[str, Any], implementation: str) -> TheirLayer:
    config = DeepseekV3Config(**latent_sizes(ours, geometry), attn_implementation=implementation)
    return _layer(_named(latent_weights(ours)), v3.DeepseekV3Attention, v3.DeepseekV3RotaryEmbedding, config)


def deepseek_v2_layer(ours: LatentAttention, geometry: Mapping[str, Any], implementation: str) -> TheirLayer:
    config = DeepseekV2Config(**latent_sizes(ours, geometry), attn_implementation=implementation)
    return _layer(_named(latent_weights(ours)), v2.DeepseekV2Attention, v2.DeepseekV2RotaryEmbedding, config)


def glm_layer(ours: LatentAttention, geometry: Mapping[str, Any], implementation: str) -> TheirLayer:
    config = Glm4MoeLiteConfig(**latent_sizes(ours, geometry), attn_implementation=implementation)
    return _layer(_named(latent_weights(ours)), glm.Glm4MoeLiteAttention, glm.Glm4MoeLiteRotaryEmbedding, config)


def evens_then_odds(k_r: Tensor) -> Tensor:
    """A rotary key of ours, whose pairs are neighbours, in the order that DeepseekV3Attention writes it in."""
    return torch.cat((k_r[..., 0::2], k_r[..., 1::2]), dim=-1)


def _layer(
    weights: Mapping[str, Tensor],
    attention_class: type[torch.nn.Module],
    rotary_class: type[torch.nn.Module],
    config: PreTrainedConfig,
) -> TheirLayer:
    return TheirLayer(attention=holding(weights, attention_class, config), rotary=rotary_class(config), config=config)


def _rope(geometry: Mapping[str, Any]) -> dict[str, Any]:
    scaling = geometry.get("rope_scaling") or {"type": "default"}
    parameters = {THEIR_NAMES.get(key, key): value for key, value in scaling.items()}
    return {
        "rope_parameters": {"rope_theta": geometry["rope_theta"], **parameters},
        "max_position_embeddings": geometry["max_position"],
    }


def _grouped_sizes(ours: GroupedAttention, geometry: Mapping[str, Any]) -> dict[str, Any]:
    shape = ours.shape
    return {
        "hidden_size": shape.hidden_size,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        **_rope(geometry),
    }


def _grouped_weights(ours: GroupedAttention) -> dict[str, Tensor]:
    return {"q_proj": ours.w_q, "k_proj": ours.w_k, "v_proj": ours.w_v, "o_proj": ours.w_o}


def latent_sizes(ours: LatentAttention, geometry: Mapping[str, Any]) -> dict[str, Any]:
    shape = ours.shape
    return {
        "hidden_size": shape.hidden_size,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_heads,
        "q_lora_rank": shape.q_lora_rank,
        "kv_lora_rank": shape.kv_lora_rank,
        "qk_nope_head_dim": shape.qk_nope_head_dim,
        "qk_rope_head_dim": shape.qk_rope_head_dim,
        "v_head_dim": shape.v_head_dim,
        **_rope(geometry),
    }


def latent_weights(ours: LatentAttention) -> dict[str, Tensor]:
    query = {"q_proj": ours.w_q}
    if ours.shape.q_lora_rank is not None:
        query = {"q_a_proj": ours.w_qa, "q_a_layernorm": ours.q_norm, "q_b_proj": ours.w_q}
    return {
        **query,
        "kv_a_proj_with_mqa": ours.w_kva,
        "kv_a_layernorm": ours.kv_norm,
        "kv_b_proj": ours.w_kvb.flatten(0, 1),
        "o_proj": ours.w_o,
    }


def holding(weights: Mapping[str, Tensor], attention_class: type, config: PreTrainedConfig) -> torch.nn.Module:
    """Their layer, with our tensors themselves as its weights: every one of its own must be given."""
    with torch.device("meta"):
        attention = attention_class(config, layer_idx=0)
    attention.load_state_dict(dict(weights), strict=True, assign=True)
    return attention.requires_grad_(False).eval()


def _named(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every matrix as theirs are called."""
    return {f"{name}.weight": weight for name, weight in weights.items()}
