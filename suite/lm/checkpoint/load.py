"""A published model in the suite's own decoder: the same function, by the code that trains and samples all others.

tests/parity compares its logits with transformers'.
"""

import torch
from torch import Tensor

from suite.attention.grouped import GroupedAttention
from suite.configuration.values import clipped
from suite.lm.checkpoint.locate import CheckpointFiles, locate_checkpoint, missing
from suite.lm.checkpoint.sizes import read_sizes, shape_from
from suite.lm.checkpoint.tensors import stored_tensors
from suite.lm.decoder import Block, Decoder, FactoryKwargs
from suite.measure.workload import UnsupportedError

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_FREQUENCIES = ".rotary_emb.inv_freq"  # some older files keep them; they follow from the sizes
MOST_NAMED = 3  # weights that do not fit, as many as a sentence names


def load_decoder(checkpoint: str, *, positions: int, dtype: torch.dtype, device: torch.device) -> Decoder:
    """The suite's decoder with a package's or folder's weights. Raises ValueError or UnsupportedError."""
    if (sentence := missing(checkpoint)) is not None:
        raise UnsupportedError(sentence)
    shape, attention = shape_from(read_sizes(checkpoint, "checkpoint"), "checkpoint")
    place = locate_checkpoint(checkpoint)
    factory = FactoryKwargs(dtype=dtype, device=device, generator=torch.Generator(device))
    decoder = Decoder(shape, attention, positions=positions, factory=factory)
    fill(decoder, place)
    return decoder


@torch.no_grad()
def fill(decoder: Decoder, place: CheckpointFiles) -> None:
    """Copy the checkpoint's weights into the decoder.

    Raises UnsupportedError for a weight that is missing, of another size, not finite, or has no place in this decoder:
    the checkpoint's answers would then rest on more than was loaded.
    """
    wanted = named_weights(decoder)
    strange, head = [], None
    for name, stored in stored_tensors(place):
        if name == HEAD and decoder.head is None and stored.shape == decoder.embedding.shape:
            head = stored.read()
        elif name in wanted and wanted[name].shape == stored.shape:
            weight = wanted.pop(name).copy_(stored.read())
            if not weight.isfinite().all():
                raise UnsupportedError(
                    f"{name} of {place.name} has numbers that are not finite as {decoder.factory.dtype}"
                )
        elif not name.endswith(_FREQUENCIES):
            strange.append(name)
    if head is not None and not torch.equal(head.to(decoder.embedding), decoder.embedding):
        strange.append(HEAD)
    if strange or wanted:
        faults = []
        for misfits, fault in ((strange, "not expected or of another size"), (wanted, "missing")):
            if misfits:
                names = sorted(clipped(name)[1:-1] for name in misfits)
                more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
                faults.append(f"{', '.join(names[:MOST_NAMED])}{more} {'are' if len(names) > 1 else 'is'} {fault}")
        raise UnsupportedError(f"the weights of {place.name} do not fit its sizes: {' and '.join(faults)}")


def named_weights(decoder: Decoder) -> dict[str, Tensor]:
    """The decoder's own weights, or views of them, under the names that transformers gives them."""
    named: dict[str, Tensor] = {EMBEDDING: decoder.embedding, "model.norm.weight": decoder.norm}
    if decoder.head is not None:
        named[HEAD] = decoder.head
    for number, block in enumerate(decoder.blocks):
        assert isinstance(block, Block)
        attention = block.attention
        assert isinstance(attention, GroupedAttention)
        gate, up = block.w_gate_up.chunk(2)
        weights: dict[str, Tensor | None] = {
            **{f"self_attn.{name}_proj.weight": getattr(attention, f"w_{name}") for name in "qkvo"},
            **{f"self_attn.{name}_proj.bias": getattr(attention, f"b_{name}") for name in "qkv"},
            "mlp.gate_proj.weight": gate,
            "mlp.up_proj.weight": up,
            "mlp.down_proj.weight": block.w_down,
            "input_layernorm.weight": block.attention_norm,
            "post_attention_layernorm.weight": block.mlp_norm,
        }
        named |= {f"model.layers.{number}.{name}": weight for name, weight in weights.items() if weight is not None}
    return named
