"""Ways in which several devices share one attention layer, and the share of one of them.

Tensor parallelism (tp) shares out the heads. Grouped attention's key-value heads are shared with them until each device
has one; MLA's latent belongs to all heads, so every device keeps all of it. Servers of MLA therefore share something
else: the sequences of a batch (dp, data-parallel attention, every device with all heads and all weights) or the context
(dcp, decode context parallelism: every device holds a part of each sequence's cache, computes all heads over it, and
the parts of the softmax are joined). The weights around a kernel under dcp stay shared by heads, as under tp.
"""

from dataclasses import replace

from suite.theory.shapes import LayerShape, Pass

WAYS = ("tp", "dp", "dcp")


def heads_shared_by(way: str, devices: int) -> int:
    """Return the number of devices among which a kernel's heads are shared out."""
    return devices if way == "tp" else 1


def rank_pass(way: str, devices: int, whole: Pass) -> Pass:
    """Return one device's part of a pass: of the sequences, or of the context.

    Under dcp it is the longest part, and a decode step's, whose new tokens see about as many keys on every device.
    Raises ValueError where the pass cannot be shared so.
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
    own = forward.tokens * shape.num_heads // devices
    return (devices - 1) * own * (shape.qk_dim + shape.v_dim + 1)
