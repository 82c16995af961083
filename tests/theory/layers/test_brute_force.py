"""Every closed form against counting: multiply-adds pair by pair, bytes as the set of what is touched."""

import itertools
import math
from dataclasses import replace

import pytest

from suite.theory.layers.algebra import Pass, Work
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape, expanded_once_shape, expanded_shape, reexpanded_shape
from suite.theory.layers.shapes import cache_bytes, grouped_shape, kernel_work, layer_work, tied_shape, window_shape

TINY = load_geometry("tiny")
GEOMETRIES = (TINY, replace(TINY, hidden_size=40, num_heads=6, num_kv_heads=6, v_head_dim=10))
VARIANTS = {
    "mha": lambda geometry: grouped_shape(geometry, kv_heads="all"),
    "gqa": lambda geometry: grouped_shape(geometry, kv_heads=2),
    "mqa": lambda geometry: grouped_shape(geometry, kv_heads=1),
    "mla": lambda geometry: absorbed_shape(geometry, q_lora_rank=0, qk_rope_head_dim=6),
    "mla of query rank 24": lambda geometry: absorbed_shape(geometry, q_lora_rank=24, v_head_dim=5),
    "mla_latent": lambda geometry: reexpanded_shape(geometry, qk_rope_head_dim=6, v_head_dim=9),
    "mla_expanded": lambda geometry: expanded_shape(geometry, qk_rope_head_dim=6, v_head_dim=9),
    "mla_deployed": lambda geometry: expanded_once_shape(geometry, qk_rope_head_dim=6, v_head_dim=9),
    "mla frozen": lambda geometry: absorbed_shape(geometry, kv_lora_rank=30, latent="frozen", q_lora_rank=24),
    "mla sliced": lambda geometry: absorbed_shape(geometry, kv_lora_rank=30, latent="slice", latent_norm=False),
    "gla": lambda geometry: absorbed_shape(geometry, latent_heads=2, qk_rope_head_dim=6),
    "gla of two heads a latent": lambda geometry: absorbed_shape(
        replace(geometry, num_heads=6), latent_heads=3, kv_lora_rank=33
    ),
    "gla_deployed": lambda geometry: expanded_once_shape(geometry, latent_heads=2, qk_rope_head_dim=6, v_head_dim=9),
    "gta": lambda geometry: tied_shape(replace(geometry, v_head_dim=12), kv_heads=2),
    "window": lambda geometry: window_shape(geometry, kv_heads=2, window=4),
    "window with sinks": lambda geometry: window_shape(geometry, kv_heads=2, window=3, sinks=True),
}
SIZES = [
    *itertools.product((1, 3), (1, 2, 5), (0, 4, 11), (None, "fp8")),
    *itertools.product((1, 3), (1, 5), ("training",), (None,)),
]


def passes_of(variant):
    """The expanded form that is deployed is one of whole prompts, which nothing comes before."""
    for batch, query_len, context, cache_dtype in SIZES:
        is_training = context == "training"
        if variant.endswith("_deployed") and context in (4, 11):
            continue
        yield Pass(
            batch=batch,
            query_len=query_len,
            seq_len=query_len + (0 if is_training else context),
            element_bytes=2,
            cache_dtype=cache_dtype,
            is_training=is_training,
        )


class Counter:
    """A variant as loops over what it computes and touches, with nothing in common with the closed forms."""

    def __init__(self, variant, shape, forward):
        self.variant, self.s, self.f = variant, shape, forward
        self.past = forward.seq_len - forward.query_len
        self.is_latent = variant.startswith(("mla", "gla"))
        self.is_expanded = self.is_latent and variant.endswith(("_latent", "_expanded", "_deployed"))
        self.pairs = list(self.each_pair())

    def each_pair(self):
        s, f = self.s, self.f
        for batch, head, query, key in itertools.product(*map(range, (f.batch, s.num_heads, f.query_len, f.seq_len))):
            if query + self.past - (getattr(s, "window", None) or f.seq_len) < key <= query + self.past:
                yield batch, head, query, key

    def widths(self):
        s = self.s
        if self.is_expanded:
            return s.qk_nope_head_dim + s.qk_rope_head_dim, s.v_head_dim
        if self.is_latent:
            return s.kv_lora_rank // s.latent_heads + s.qk_rope_head_dim, s.kv_lora_rank // s.latent_heads
        return s.head_dim, s.head_dim

    def kernel_multiply_adds(self):
        scored, summed = self.widths()
        forward = scored + summed
        backward = 2 * scored + 2 * summed  # dQ and dK; dP and dV
        return sum(forward + (backward if self.f.is_training else 0) for _ in self.pairs)

    def projections(self):
        """Rows, inner width and columns of every matrix product around the kernel."""
        s, f = self.s, self.f
        new, hidden, heads = f.batch * f.query_len, s.hidden_size, s.num_heads
        if not self.is_latent:
            yield from [(new, hidden, heads * s.head_dim), (new, heads * s.head_dim, hidden)]
            if self.variant == "gta":
                yield from [(new, hidden, s.kv_heads * s.head_dim), (new, hidden, s.head_dim // 2)]
            else:
                yield from [(new, hidden, s.kv_heads * s.head_dim)] * 2
            return
        wide = heads * (s.qk_nope_head_dim + s.qk_rope_head_dim)
        yield from (
            [(new, hidden, s.q_lora_rank), (new, s.q_lora_rank, wide)] if s.q_lora_rank else [(new, hidden, wide)]
        )
        yield new, hidden, s.qk_rope_head_dim
        if self.variant != "mla sliced":
            yield new, hidden, s.kv_lora_rank
        yield new, heads * s.v_head_dim, hidden
        expanded = f.batch * f.seq_len if self.variant == "mla_latent" else new
        for _ in range(heads):  # absorbing W_UK and W_UV for the new tokens, or expanding keys and values with them
            yield expanded, s.qk_nope_head_dim, s.kv_lora_rank // s.latent_heads
            yield expanded, s.kv_lora_rank // s.latent_heads, s.v_head_dim

    def layer_multiply_adds(self):
        passes = 3 if self.f.is_training else 1
        around = sum(rows * inner * columns for rows, inner, columns in self.projections())
        gradient = self.f.batch * self.f.query_len * self.frozen()  # the product that a frozen weight does without
        return self.kernel_multiply_adds() + passes * around - gradient

    def frozen(self):
        """Elements of a frozen weight in training, whose gradient is neither computed nor written."""
        return self.s.hidden_size * self.s.kv_lora_rank if self.variant == "mla frozen" and self.f.is_training else 0

    def attended(self):
        """Elements of keys and values that some pair touches: rows by name, each once, of the width that it gives. The
        absorbed value is a part of its key."""
        scored, summed = self.widths()
        rows = {}
        for batch, head, key in {(batch, head, key) for batch, head, _, key in self.pairs}:
            if self.is_latent and not self.is_expanded:
                latent = head * self.s.latent_heads // self.s.num_heads
                beside = latent if self.s.latent_heads > 2 else "between"
                rows["latent", batch, key, latent] = summed
                rows["rotary", batch, key, beside] = scored - summed
                continue
            group = head if self.is_expanded else head * self.s.kv_heads // self.s.num_heads
            if self.variant == "gta" and self.past:  # the state is value and key, and a rotary key is for all groups
                rows["state", batch, group, key] = summed
                rows["rotary", batch, key] = scored // 2
                continue
            rows["key", batch, group, key] = scored
            rows["value", batch, group, key] = summed
        return sum(rows.values())

    def queries_and_outputs(self):
        return self.f.batch * self.f.query_len * self.s.num_heads * sum(self.widths())

    def kept(self):
        """Rows of one token's cache: width, and whether it is a rotary key that stands apart."""
        s = self.s
        if self.variant == "mla_expanded":
            return [(s.qk_nope_head_dim, False), (s.qk_rope_head_dim, True), (s.v_head_dim, False)] * s.num_heads
        if self.is_latent:
            beside = 1 if s.latent_heads <= 2 else s.latent_heads
            return [(s.kv_lora_rank // s.latent_heads, False)] * s.latent_heads + [(s.qk_rope_head_dim, True)] * beside
        if self.variant == "gta":
            return [(s.head_dim, False)] * s.kv_heads + [(s.head_dim // 2, True)]
        return [(s.head_dim, False)] * (2 * s.kv_heads)

    def kept_tokens(self):
        """Tokens whose rows this pass reads; after a whole prompt those of the last window."""
        s, f = self.s, self.f
        if not self.variant.startswith("window"):
            return f.batch * f.seq_len
        if not self.past:
            return f.batch * len(range(f.seq_len)[-s.window :])
        return len({(batch, key) for batch, _, _, key in self.pairs})

    def kept_bytes(self):
        tokens, element = self.kept_tokens(), self.f.element_bytes
        if self.f.cache_dtype is None:
            return tokens * sum(width for width, _ in self.kept()) * element
        return tokens * sum(width * 2 if apart else width + 4 * math.ceil(width / 128) for width, apart in self.kept())


def expected(variant, shape, forward):
    counter = Counter(variant, shape, forward)
    element, passes = forward.element_bytes, 3 if forward.is_training else 1
    is_long_prompt = variant.startswith("window") and forward.is_whole and forward.seq_len > shape.window
    is_deployed = variant.endswith("_deployed") or (variant == "gta" and forward.is_whole)
    # Where they are apart, the kernel reads something else than the cache keeps.
    is_apart = variant == "mla_latent" or is_deployed or is_long_prompt
    reads = counter.attended() * element if is_apart or not forward.cache_dtype else None
    reads = counter.kept_bytes() if reads is None else reads
    kernel = passes * (reads + counter.queries_and_outputs() * element)
    layer = kernel + (passes * shape.parameter_count - counter.frozen()) * element
    if (is_deployed or is_long_prompt) and not forward.is_training:  # what is kept is written beside it
        layer += counter.kept_bytes()
    if variant == "mla_latent":  # the latent is read, what is expanded is written first; the rotary key is not expanded
        tokens, s = forward.batch * forward.seq_len, shape
        made = 2 * tokens * s.num_heads * (s.qk_nope_head_dim + s.v_head_dim) * element
        layer += passes * (counter.kept_bytes() + made - reads)
    return {
        "kernel": Work(flops=2 * counter.kernel_multiply_adds(), traffic_bytes=kernel),
        "layer": Work(flops=2 * counter.layer_multiply_adds(), traffic_bytes=layer),
        "cache": counter.kept_bytes(),
    }


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=["tiny", "odd"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_closed_form_is_what_counting_gives(variant, geometry):
    shape, passes = VARIANTS[variant](geometry), list(passes_of(variant))
    forms = {"kernel": kernel_work, "layer": layer_work, "cache": cache_bytes}
    found = {forward: {name: form(shape, forward) for name, form in forms.items()} for forward in passes}
    assert found == {forward: expected(variant, shape, forward) for forward in passes}


def test_at_least_five_hundred_cases_are_counted():
    assert sum(len(set(passes_of(variant))) for variant in VARIANTS) * len(GEOMETRIES) >= 500


@pytest.mark.parametrize("variant", VARIANTS)
def test_recomputing_scores_does_one_more_product_a_pair(variant):
    shape = VARIANTS[variant](TINY)
    forward = Pass(batch=2, query_len=5, seq_len=5, element_bytes=2, is_training=True)
    scored, summed = shape.qk_dim, shape.v_dim
    again = kernel_work(shape, forward).flops + shape.recomputation_flops(forward)
    ratio = (again - shape.core_flops(forward)) / shape.core_flops(forward)
    assert ratio == pytest.approx((3 * scored + 2 * summed) / (scored + summed))
