"""The small attention by which sparse layers pick what they attend to (DeepSeek-V3.2 and V4, GLM-5, MiniMax-M3)."""

from dataclasses import dataclass

from suite.theory.layers.layer_work import Kept, compressed_pairs
from suite.theory.layers.shapes import NO_WORK, Pass, Work


@dataclass(frozen=True, kw_only=True)
class Indexer:
    """A small attention that only scores, and so picks the tokens that the layer attends to (DeepSeek-V3.2)."""

    heads: int
    head_dim: int
    top_k: int
    """Tokens that a query picks; rows, in a compressed layer."""
    every: int = 1
    """Tokens of which one key is made."""
    block: int = 1
    """Tokens that are picked together, by their best score. Keys are kept for each token all the same."""
    shared: bool = False
    """It picks what the last layer's with an indexer of its own picked, and has no weights, keys or work."""
    weighted: bool = True
    """Heads' scores are weighted by the token and summed; else each group of heads picks its own."""

    @property
    def kept(self) -> tuple[Kept, ...]:
        """Keys, and keys and gates of the tokens whose common key is not made yet."""
        if self.shared:
            return ()
        waiting = Kept(elements=2 * self.head_dim, at_most=self.every - 1)
        return (self._keys, waiting) if self.every > 1 else (self._keys,)

    @property
    def _keys(self) -> Kept:
        return Kept(elements=self.head_dim, every=self.every, width=self.head_dim)

    def matrix_parameters(self, hidden_size: int, query_rank: int | None) -> int:
        """Count projections of queries (from their latent where there is one), of the key and of the weights, and the
        gate by which keys are pooled."""
        if self.shared:
            return 0
        queries = (query_rank or hidden_size) * self.heads * self.head_dim
        keys = self.head_dim * (2 if self.every > 1 else 1)
        return queries + hidden_size * (keys + (self.heads if self.weighted else 0))

    @property
    def vector_parameters(self) -> int:
        """Gain and bias of a layer norm on the key, or a norm each on query and key; biases of pooling by place."""
        pooling = self.every * self.head_dim if self.every > 1 else 0
        return 0 if self.shared else 2 * self.head_dim + pooling

    def work(self, forward: Pass) -> Work:
        """Score every query against every key; the weighted sum over heads is left out."""
        if self.shared:
            return NO_WORK
        pairs = compressed_pairs(forward, self.every)
        keys = forward.batch * (forward.seq_len // self.every)
        key_bytes = self._keys.row_bytes(forward.element_bytes, forward.cache_dtype)
        queries = forward.tokens * self.heads * self.head_dim
        return Work(
            flops=2 * forward.batch * self.heads * self.head_dim * pairs,
            traffic_bytes=keys * key_bytes + queries * forward.element_bytes,
        )
