"""Counts that layers are described by: rows that stay in a cache, query-key pairs under a bound, work of a kernel.

A pass is one of shapes.py: the last query sees every token, and p is a query's position counted from 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

from suite.theory.layers.shapes import Pass, Work, quantised_bytes

SERVED_BYTES = 2
"""Bytes of an element of a cache that is not quantised."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Elements that every `every`-th token leaves in the cache, of the last `at_most` tokens or of all."""

    elements: int
    every: int = 1
    at_most: int | None = None
    width: int | None = None
    """Width of the rows that they are, where a quantised cache has them as bytes with scales; None of what stays in 16
    bits."""

    def growth_bytes(self, cache_dtype: str | None = None) -> float:
        """Return the bytes that a token adds in the long run."""
        return self.row_bytes(SERVED_BYTES, cache_dtype) / self.every if self.at_most is None else 0.0

    def bytes_at(self, tokens: int, cache_dtype: str | None = None) -> int:
        tokens = tokens if self.at_most is None else min(tokens, self.at_most)
        return self.row_bytes(SERVED_BYTES, cache_dtype) * (tokens // self.every)

    def row_bytes(self, element_bytes: int, cache_dtype: str | None) -> int:
        """Return the bytes of what one `every`-th token leaves."""
        if cache_dtype is None or self.width is None:
            return self.elements * element_bytes
        return self.elements // self.width * quantised_bytes(self.width)


def _between(total: Callable[[int], int], forward: Pass) -> int:
    """Sum over the pass's queries of what each sees, from the sum over the first n positions of a sequence."""
    return total(forward.seq_len) - total(forward.seq_len - forward.query_len)


def capped_pairs(forward: Pass, cap: int | None) -> int:
    """Count query-key pairs of a head and sequence where a query sees at most `cap` tokens: the sum of min(p, cap)."""
    return forward.pairs if cap is None else forward.pairs_within(cap)


def chunked_pairs(forward: Pass, chunk: int) -> int:
    """Return the same where a query sees only its own chunk of the sequence: the sum of (p - 1) % chunk + 1."""

    def total(count: int) -> int:
        chunks, rest = divmod(count, chunk)
        return chunks * chunk * (chunk + 1) // 2 + rest * (rest + 1) // 2

    return _between(total, forward)


def compressed_pairs(forward: Pass, every: int, cap: int | None = None) -> int:
    """Return the same where a query sees one row for each `every` tokens, of at most `cap`: the sum of
    min(p // every, cap)."""

    def uncapped(count: int) -> int:
        blocks, rest = divmod(count, every)
        return every * blocks * (blocks - 1) // 2 + blocks * (rest + 1)

    def total(count: int) -> int:
        if cap is None or count < cap * every:
            return uncapped(count)
        return uncapped(cap * every - 1) + cap * (count - cap * every + 1)

    return _between(total, forward)


def attend(forward: Pass, *, heads: int, qk_dim: int, v_dim: int, pairs: int, row_bytes: int, rows: int) -> Work:
    """Return the work of a kernel over so many pairs of a head and sequence, which reads so many rows of a sequence."""
    around = forward.tokens * heads * (qk_dim + v_dim)
    return Work(
        flops=2 * forward.batch * heads * pairs * (qk_dim + v_dim),
        traffic_bytes=forward.batch * rows * row_bytes + around * forward.element_bytes,
    )


def rows_seen(forward: Pass, window: int | None) -> int:
    """Count rows of a sequence that the queries together see, where each sees a window."""
    return forward.seq_len if window is None else min(forward.seq_len, window + forward.query_len - 1)


def rows_picked(forward: Pass, picked: int, of: int) -> int:
    """Count rows of `of` that are read where each query picks its own."""
    return min(of, picked * forward.query_len)
