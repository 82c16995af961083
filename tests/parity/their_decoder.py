"""transformers' Llama with the weights of our decoder: the same function, in another library's code."""

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from suite.lm.decoder import Block, Decoder
from suite.lm.tokenizer import END


def llama_of(ours: Decoder, *, rope_theta: float) -> LlamaForCausalLM:
    """With copies of the weights. `rope_theta` as in the policy's file; a decoder keeps only what follows from it."""
    shape, layer = ours.shape, ours.shape.layer
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=layer.num_heads,
        num_key_value_heads=layer.kv_heads,
        head_dim=layer.head_dim,
        rope_parameters={"rope_theta": rope_theta, "rope_type": "default"},
        max_position_embeddings=len(ours.blocks[0].attention.cos_Sr),
        rms_norm_eps=shape.norm_eps,
        tie_word_embeddings=True,
        pad_token_id=None,  # an embedding of theirs gives its padding no gradient, and an untrained policy samples it
        bos_token_id=None,
        eos_token_id=END,
    )
    theirs = LlamaForCausalLM(config).to(ours.factory.dtype).eval()
    theirs.load_state_dict(weights_of(ours), strict=True)
    return theirs


def weights_of(ours: Decoder) -> dict[str, Tensor]:
    """Under their names; the head's are those of the embeddings."""
    return {name: weight.clone() for name, weight in _views_of(ours).items()}


def _views_of(ours: Decoder) -> dict[str, Tensor]:
    named = {"model.embed_tokens": ours.embedding, "model.norm": ours.norm, "lm_head": ours.embedding}
    for number, block in enumerate(ours.blocks):
        named |= {f"model.layers.{number}.{name}": weight for name, weight in _of_block(block).items()}
    return {f"{name}.weight": weight.detach() for name, weight in named.items()}


def _of_block(block: Block) -> dict[str, Tensor]:
    gate, up = block.w_gate_up.detach().chunk(2)
    attention = {f"self_attn.{name}_proj": getattr(block.attention, f"w_{name}") for name in "qkvo"}
    return {
        **attention,
        "mlp.gate_proj": gate,
        "mlp.up_proj": up,
        "mlp.down_proj": block.w_down,
        "input_layernorm": block.attention_norm,
        "post_attention_layernorm": block.mlp_norm,
    }


@torch.no_grad()
def largest_difference(ours: Decoder, theirs: LlamaForCausalLM, tokens_BS: Tensor) -> float:
    """Of logits."""
    return float((ours.logits(ours(tokens_BS)) - theirs(tokens_BS).logits).abs().max())
