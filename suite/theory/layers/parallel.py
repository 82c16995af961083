"""Ways in which several devices share one attention layer, and the share of one of them.

Tensor parallelism (tp) shares out the heads. Grouped attention's key-value heads are shared with them until each device
has one; MLA's latent belongs to all heads, so every device keeps all of it. Servers of MLA therefore share something
else: the sequences of a batch (dp, data-parallel attention, every device with all heads and all weights) or the context
(dcp, decode context parallelism: every device holds a part of each sequence's cache, computes all heads over it, and
the parts of the softmax are joined). The weights around a kernel under dcp stay shared by heads, as under tp.

A whole model lies on devices in groups, each with sequences of its own: replicas of tp. Where it has experts or MLA,
servers can also let the groups share MLPs and experts, and repeat attention and embeddings alone (attention dp, as
SGLang's --enable-dp-attention and vLLM's data parallelism with experts). vLLM's dp of a dense model is replicas.
"""

import re
from dataclasses import dataclass, replace

from suite.theory.layers.algebra import Pass
from suite.theory.layers.shapes import LayerShape

WAYS = ("tp", "dp", "dcp")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A model on equal devices."""

    tp: int
    """Devices that share the heads of a group; under dcp they share the context."""
    groups: int = 1
    shares_mlps: bool = False
    """Attention dp: all groups share MLPs, experts and head. Else each is a replica."""
    shares_context: bool = False

    @property
    def name(self) -> str:
        """The layout for `--parallel` on its number of devices: `tp4`, `dp2` or `dcp8`."""
        if self.shares_context:
            return f"dcp{self.tp}"
        return f"dp{self.groups}" if self.shares_mlps else f"tp{self.tp}"


def read_parallel(text: object, devices: int) -> tuple[str, int] | None:
    """Read `tp4`, `dp2`, `dcp` and the like as way and size; None for None. Without a number it is all devices. Raises
    ValueError, in one sentence, for what these devices cannot be divided by."""
    if text is None:
        return None
    match = re.fullmatch(r"(tp|dp|dcp)([1-9]\d*)?", str(text))
    size = devices if match is None or match[2] is None else int(match[2])
    if match is None or devices % size or (match[1] == "dcp" and size != devices):
        sizes = "|".join(str(size) for size in range(1, devices + 1) if devices % size == 0)
        raise ValueError(
            f"parallel must be tp, dp (followed by {sizes}, the size on {devices} devices) or dcp; got {text!r}"
        )
    return match[1], size


def layouts(devices: int, parallel: tuple[str, int] | None, *, shares_mlps: bool) -> list[Layout]:
    """The layouts that `parallel` names; without it all replicas of tp and, where `shares_mlps` says that the
    model can be served so, attention dp."""
    if parallel is None:
        sizes = [size for size in range(devices, 0, -1) if devices % size == 0]
        replicas = [Layout(tp=size, groups=devices // size) for size in sizes]
        return replicas + [
            replace(layout, shares_mlps=True) for layout in replicas if shares_mlps and layout.groups > 1
        ]
    way, size = parallel
    if way == "dp":
        return [Layout(tp=devices // size, groups=size, shares_mlps=shares_mlps and size > 1)]
    return [Layout(tp=size, groups=devices // size, shares_context=way == "dcp" and size > 1)]


def heads_shared_by(way: str, devices: int) -> int:
    """The number of devices among which a kernel's heads are shared out: all under tp, else one."""
    return devices if way == "tp" else 1


def rank_pass(way: str, devices: int, whole: Pass) -> Pass:
    """The pass of one device: under dp a part of the sequences, under dcp of the context, else the whole pass.

    Under dcp it is the longest part of the context, and only of a decode step, whose new tokens see about as many keys
    on every device. Raises ValueError where the pass cannot be divided so.
    """
    if way == "dp":
        if whole.batch % devices:
            raise ValueError(f"batch must be a multiple of tp under parallel=dp; got {whole.batch} and {devices}")
        return replace(whole, batch=whole.batch // devices)
    if way == "dcp" and devices > 1:
        if whole.query_len == whole.seq_len:
            raise ValueError(f"parallel must be tp or dp where no context is cached yet; got {way!r}")
        part = -(-whole.seq_len // devices)
        if part < whole.query_len:
            raise ValueError(
                f"seq_len / tp must be at least query_len under parallel=dcp; got {whole.seq_len}, {devices} and "
                f"{whole.query_len}"
            )
        return replace(whole, seq_len=part)
    return whole


def exchanged_elements(way: str, devices: int, shape: LayerShape, forward: Pass) -> int:
    """Count the elements that one device sends to others around a layer's kernel, whose shape has all heads.

    Under dcp every device gathers the others' queries, and of its output, with a logarithm of the softmax's sum for
    each head, it sends all but its own heads' part. The exchanges of tp and dp lie outside of attention.
    """
    if way != "dcp":
        return 0
    token_heads = forward.tokens * shape.num_heads // devices
    return (devices - 1) * token_heads * (shape.qk_dim + shape.v_dim + 1)
