"""Attention whose keys are its values too, after GTA (arXiv 2505.21487) but simplified: all of each row is turned.

A variant of another package that caches something else than ours do, and so brings its own closed forms.
"""

from suite.attention.grouped import GroupedAttention
from suite.theory.layers.algebra import CacheRows
from suite.theory.layers.shapes import GroupedShape, grouped_shape


class TiedShape(GroupedShape):
    @property
    def rows(self):
        return (CacheRows(width=self.head_dim, count=self.kv_heads),)

    @property
    def matrix_parameters(self):
        return self.hidden_size * self.head_dim * (2 * self.num_heads + self.kv_heads)


def tied_shape(geometry, **sizes):
    return TiedShape(**vars(grouped_shape(geometry, **sizes)))


class TiedAttention(GroupedAttention):
    def __init__(self, shape, **settings):
        super().__init__(shape, **settings)
        del self.w_v

    @property
    def cache_widths(self):
        return (self.shape.head_dim,)

    def new_rows(self, x_BSD, angles):
        return (self.apply_rope(self.heads(x_BSD, self.w_k), angles),)
