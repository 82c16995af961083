"""Grouped attention over a sliding window: a query sees its own key and the ones before it, `window` of them in all.

A sequence keeps no more than its window needs, so the cache and the traffic of a decode step do not grow with the
context: min(Sk, window + Sq - 1) tokens, the union of what Sq new queries see. Sinks are gpt-oss's: a learnt logit a
head, which joins the softmax and has no value (model card, arXiv 2508.10925).
"""

from dataclasses import dataclass

from suite.configuration.values import one_of, whole_number
from suite.theory.geometry import Geometry
from suite.theory.shapes import GroupedShape, Pass, grouped_shape


@dataclass(frozen=True, kw_only=True)
class WindowShape(GroupedShape):
    window: int
    """Most keys that a query sees, its own among them."""
    sinks: bool = False

    def cached_tokens(self, forward: Pass) -> int:
        """Return the tokens that a step reads; of a whole prompt, those that the next token's window begins in."""
        return min(forward.seq_len, self.window) if forward.is_whole else self.read_tokens(forward)

    def read_tokens(self, forward: Pass) -> int:
        return min(forward.seq_len, self.window + forward.query_len - 1)

    def kernel_bytes_per_token(self, forward: Pass) -> int:
        if self._outgrows_the_cache(forward):
            return self.cache_elements_per_token * forward.element_bytes
        return super().kernel_bytes_per_token(forward)

    def moved_bytes(self, forward: Pass) -> int:
        """Count what the kernel reads and, of a prompt longer than its window, the end that is written to the cache
        beside it."""
        writes = self._outgrows_the_cache(forward) and not forward.is_training
        kept = self.cached_tokens(forward) * self.cache_bytes_per_token(forward) if writes else 0
        return super().moved_bytes(forward) + forward.batch * kept

    def _outgrows_the_cache(self, forward: Pass) -> bool:
        """A prompt is longer than its window, so that the kernel reads its keys and values as they were made."""
        return forward.is_whole and forward.seq_len > self.window

    def pairs(self, forward: Pass) -> int:
        return forward.pairs_within(self.window)

    @property
    def parameter_count(self) -> int:
        return super().parameter_count + (self.num_heads if self.sinks else 0)

    def projection_flops(self, forward: Pass) -> int:
        return 2 * forward.tokens * super().parameter_count

    def describe(self) -> str:
        return f"{super().describe()}, a window of {self.window} tokens{' and sinks' if self.sinks else ''}"


def window_shape(
    geometry: Geometry, *, tp: int = 1, kv_heads: int | None = None, window: int = 128, sinks: bool = False
) -> WindowShape:
    """Lay a sliding window over a geometry, whose heads are those of `grouped_shape`. Raises ValueError."""
    sizes = {"window": window, "sinks": sinks}
    return WindowShape(
        **vars(grouped_shape(geometry, tp=tp, kv_heads=kv_heads)),
        window=whole_number(sizes, "window", at_least=1, where="attention."),
        sinks=one_of(sizes, "sinks", (True, False), where="attention."),
    )
