"""Times that good kernels are expected to take: a floor, and a share of the roofline, as others measured them.

The roofline bound is what no kernel can beat, and kernels miss it by different amounts: absorbed MLA by more than GQA,
and each at short contexts, where launching takes longer than reading. Of the decode kernels that people serve with,
time = floor + bound / share predicts most cells within a tenth on a card where the two were fitted. So three numbers
stand beside each other: bound (at least), expected (with its error), measured.

A fit knows one new token. With several, arithmetic may bind where memory did: so the bound's two sides have shares of
their own. Memory's is the family's. Arithmetic's is the highest rate at which a family of the same kernel was seen to
compute: for MLA that of 128 heads, since fewer never come near the card's peak; for GQA, where no family does, that of
its prefill. Simplifications: queries and outputs are not counted, as in the fits; what several new tokens add to the
floor is not known; a layer takes its kernel's time and that of its matrices, one after the other.

Matrix products follow the same two numbers, by their rows: of 65 to 256 rows, as serving has them, they reach a smaller
part of their bound than one of a thousand, and each has a floor of its own. So do grouped products of experts.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suite.configuration.files import choices, read_choice
from suite.configuration.untrusted import parse_yaml, read_bounded
from suite.configuration.values import clipped, number_between, one_of, short_text, whole_number
from suite.theory.devices.hardware import hardware_names, load_hardware
from suite.theory.layers.latent_shapes import ExpandedShape
from suite.theory.layers.roofline import Ceilings
from suite.theory.layers.shapes import (
    GroupedShape,
    LayerShape,
    Pass,
    kernel_bytes,
    kernel_flops,
    layer_bytes,
    layer_flops,
)

DTYPE, ELEMENT_BYTES = "bfloat16", 2
"""All that is fitted is measured in it."""
GQA, MLA, EXPANDED = KERNELS = ("gqa", "mla", "mla_expanded")
WIDTHS = {GQA: (128, 128), MLA: (576, 512), EXPANDED: (192, 128)}
"""Widths of score and value where a fit does not state them."""
PREFILL = {GQA: "GQA prefill", EXPANDED: "MLA expanded prefill"}
"""Families of prefill."""
MATRICES, EXPERTS = "matrices", "experts"
"""Kinds of products: with one matrix, and of all experts of a layer in one call."""
PRODUCTS_AROUND = {GQA: 2, MLA: 5, EXPANDED: 4}
"""Matrix products around a kernel where those of one input are joined; absorbed MLA has two more, for its heads."""
FEWEST_TOKENS = 512
"""The shortest context; below it kernels are slower than two numbers say."""
LEAST_BOUND_S = 2e-6
"""The shortest bound that was fitted. Below it the two numbers miss: GQA on an H100 takes a quarter longer."""
LEAST_PREFILL_FLOPS = 2e11
"""The least work of a prefill whose share was measured."""
MOST_BYTES, LONGEST_TEXT = 1 << 20, 1_000
LEAST_SHARE, MOST_ERROR, MOST_US, MOST_SIZE = 1e-6, 20.0, 1e9, 1 << 31
"""What a file may say, so that every time that follows from it is a number. Our least share is 0.32."""
NEAR_PEAK = 0.5
"""A family computes at a rate that says something of arithmetic if its bound's arithmetic takes this part of it."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A time that a good kernel is expected to take."""

    seconds: float
    low: float | None
    """Nine in ten of the cells that the fit had not seen lie between both ends; None where no error is published."""
    high: float | None
    family: str
    """The fit that it comes from, as `GQA 64/8`: heads and key-value heads."""


def added(parts: Iterable[Expected], family: str) -> Expected:
    """Return the time of parts that run one after the other. Its ends are those of all parts at once, since kernels of
    one kind miss alike; None where a part has none."""
    parts = list(parts)
    lows, highs = [part.low for part in parts], [part.high for part in parts]
    return Expected(
        seconds=sum(part.seconds for part in parts),
        low=None if None in lows else sum(filter(None, lows)),
        high=None if None in highs else sum(filter(None, highs)),
        family=family,
    )


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """The sizes by which families of decode kernels differ."""

    kernel: str
    heads: int
    kv_heads: int
    qk_dim: int
    v_dim: int

    @property
    def family(self) -> str:
        sizes = str(self.heads) if self.kernel == MLA else f"{self.heads}/{self.kv_heads}"
        return f"{self.kernel.upper()} {sizes}"

    @property
    def flops_per_token(self) -> int:
        """FLOPs of one new token for each token of the context."""
        return 2 * self.heads * (self.qk_dim + self.v_dim)

    @property
    def bytes_per_token(self) -> int:
        """Bytes of the cache for each token of the context. MLA's value is a part of its key."""
        width = self.qk_dim if self.kernel == MLA else self.qk_dim + self.v_dim
        return self.kv_heads * width * ELEMENT_BYTES

    def distance(self, other: "Kernel") -> tuple[float, float, float]:
        """Return how far another one is: in heads per group, then in heads, then in groups, as logarithms."""
        heads, groups = math.log(other.heads / self.heads), math.log(other.kv_heads / self.kv_heads)
        per_group, of_heads, of_groups = (round(abs(apart), 9) for apart in (heads - groups, heads, groups))
        return per_group, of_heads, of_groups


@dataclass(frozen=True, kw_only=True)
class TwoNumbers:
    """A floor and a share, and how well they predict cells that they were not fitted on."""

    share: float
    """The part of the time, without its floor, that the roofline bound is."""
    floor_s: float
    median_error: float
    """Both: |ln(predicted / measured)|."""
    p90_error: float
    cells: int
    """Those fitted on and those not seen."""


@dataclass(frozen=True, kw_only=True)
class Fit(TwoNumbers):
    """Those of a family of decode kernels, at one new token."""

    of: Kernel
    largest_error: float


@dataclass(frozen=True, kw_only=True)
class Products(TwoNumbers):
    """Those of matrix products of at least so many rows, up to the rows of the next."""

    kind: str
    """MATRICES or EXPERTS, whose rows are all tokens of the step."""
    weights: str
    rows: int

    @property
    def family(self) -> str:
        return f"{self.kind} in {self.weights}, rows from {self.rows}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A decode kernel with its batch and context."""

    of: Kernel
    batch: int
    seq_len: int
    query_len: int = 1
    time_s: float = 0.0
    """0 where nobody timed it."""
    by: str = ""

    @property
    def work(self) -> dict[str, float]:
        """Return FLOPs and bytes by the closed forms, as Ceilings take them."""
        pairs = self.query_len * (2 * self.seq_len - self.query_len + 1) // 2
        return {
            "flops": float(self.batch * pairs * self.of.flops_per_token),
            "traffic_bytes": float(self.batch * self.seq_len * self.of.bytes_per_token),
        }


@dataclass(frozen=True, kw_only=True)
class Speedup:
    """Measured speed of absorbed MLA over GQA at as many heads: the median over cells of so many cached tokens."""

    heads: int
    kv_heads: int
    tokens: tuple[int, int]
    """Cached tokens of all sequences, from and below."""
    speedup: float
    cells: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """The fits of one device. Equal only to itself, so that what follows from it can be cached."""

    name: str
    source: str
    made: str
    decode: Sequence[Fit]
    prefill: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    """Share of the peak by length of the prompt, by kernel."""
    arithmetic: Mapping[str, float] = field(default_factory=dict)
    """Share of the peak that a decode kernel reaches where its fits do not say."""
    speedups: Sequence[Speedup] = ()
    measured: Sequence[Cell] = ()
    products: Sequence[Products] = ()

    @functools.cached_property
    def ceilings(self) -> Ceilings:
        ceilings = load_hardware(self.name).ceilings(DTYPE)
        assert ceilings is not None, self.name
        return ceilings

    def has(self, *kernels: str) -> bool:
        """Return whether decode kernels of all these names were fitted."""
        return set(kernels) <= {fit.of.kernel for fit in self.decode}

    def unknown(self, shape: LayerShape, forward: Pass, dtype: str) -> str | None:
        """Return in words why nothing is expected of a kernel, which is outside what was measured; None where it is
        inside."""
        if dtype != DTYPE or forward.cache_dtype is not None:
            return f"its calibration is of {DTYPE}, cache included"
        if forward.is_training:
            return "its calibration has no training"
        if is_prefill(forward):
            return self._unknown_prefill(shape, forward)
        cell = decode_cell(shape, forward)
        if cell is None:
            return "its calibration has decode kernels of grouped attention and of absorbed MLA alone"
        return self._unknown_decode(cell)

    def expected(self, shape: LayerShape, forward: Pass, dtype: str) -> Expected | None:
        """Return the kernel's time; None for what `unknown` gives a reason for."""
        if self.unknown(shape, forward, dtype) is not None:
            return None
        if is_prefill(forward):
            kernel = prefill_kernel(shape)
            assert kernel is not None
            flops, traffic_bytes = kernel_flops(shape, forward), kernel_bytes(shape, forward)
            # Shares of prefill are of the peak, not of the bound, which memory may set in short prompts.
            of_peak = self.ceilings.flops_per_s * interpolated(self.prefill[kernel], forward.seq_len)
            seconds = max(flops / of_peak, traffic_bytes / self.ceilings.bytes_per_s)
            return Expected(seconds=seconds, low=None, high=None, family=PREFILL[kernel])
        return self.decoded_shape(shape, forward)

    def decoded_shape(self, shape: LayerShape, forward: Pass) -> Expected:
        """Return the time of a decode kernel of which something is known, however many new tokens there are."""
        cell = decode_cell(shape, forward)
        assert cell is not None
        bound_s = self.ceilings.bound_s(flops=kernel_flops(shape, forward), traffic_bytes=kernel_bytes(shape, forward))
        # Many new tokens at a short context: queries and outputs, which the fits do not count, may weigh more.
        return _at_least(bound_s, self.decoded(cell.of, **cell.work))

    def expected_cell(self, cell: Cell) -> Expected | None:
        """Return the time of a decode kernel by its sizes; None outside what was measured."""
        return None if self._unknown_decode(cell) else self.decoded(cell.of, **cell.work)

    def decoded(self, kernel: Kernel, *, flops: float, traffic_bytes: float) -> Expected:
        """Return the time that the nearest family takes for so much work, no shorter than the bound."""
        fit = self.nearest(kernel)
        memory_s, arithmetic_s = traffic_bytes / self.ceilings.bytes_per_s, flops / self.ceilings.flops_per_s
        memory_share, share = self.shares[fit]
        by_memory = memory_s / memory_share
        seconds = fit.floor_s + (by_memory if share is None else max(by_memory, arithmetic_s / share))
        reach = math.exp(fit.p90_error)
        found = Expected(seconds=seconds, low=seconds / reach, high=seconds * reach, family=fit.of.family)
        return _at_least(max(memory_s, arithmetic_s), found)

    def expected_layer(
        self, shape: LayerShape, forward: Pass, dtype: str, around: LayerShape | None = None
    ) -> Expected | None:
        """Return the whole layer's time: its kernel's, then that of the matrix products around it. None where either
        is not known."""
        kernel = self.expected(shape, forward, dtype)
        name = (prefill_kernel if is_prefill(forward) else decode_kernel)(shape)
        return kernel and self.with_rest(
            kernel,
            around=name.kernel if isinstance(name, Kernel) else str(name),
            rows=forward.tokens,
            flops=layer_flops(shape, forward, around) - kernel_flops(shape, forward),
            traffic_bytes=layer_bytes(shape, forward, around) - kernel_bytes(shape, forward),
        )

    def with_rest(self, kernel: Expected, *, around: str, rows: int, **work: float) -> Expected | None:
        """Return a kernel's time and that of so much work of the products around one of KERNELS; None where they are
        not known."""
        rest = self.multiplied(MATRICES, DTYPE, rows=rows, count=PRODUCTS_AROUND[around], **work)
        return rest and added([kernel, rest], kernel.family)

    def multiplied(self, kind: str, weights: str, *, rows: int, count: int, **work: float) -> Expected | None:
        """Return the time of so many products of so much work in all; None for weights that nobody measured."""
        fits = [fit for fit in self.products if (fit.kind, fit.weights) == (kind, weights) and fit.rows <= rows]
        if not fits:
            return None
        fit, bound_s = max(fits, key=lambda fit: fit.rows), self.ceilings.bound_s(**work)
        seconds, reach = count * fit.floor_s + bound_s / fit.share, math.exp(fit.p90_error)
        return Expected(seconds=seconds, low=max(bound_s, seconds / reach), high=seconds * reach, family=fit.family)

    @property
    def errors(self) -> dict[str, Fit | Products]:
        """Fits by their family, with how far each is off."""
        return {**{fit.of.family: fit for fit in self.decode}, **{fit.family: fit for fit in self.products}}

    def nearest(self, kernel: Kernel) -> Fit:
        """Return the fit of the nearest family. There must be one of the same widths."""
        return min(self._alike(kernel), key=lambda fit: fit.of.distance(kernel))

    def _alike(self, kernel: Kernel) -> list[Fit]:
        key = (kernel.kernel, kernel.qk_dim, kernel.v_dim)
        return [fit for fit in self.decode if (fit.of.kernel, fit.of.qk_dim, fit.of.v_dim) == key]

    def _unknown_decode(self, cell: Cell) -> str | None:
        if not self.has(cell.of.kernel):
            return f"its calibration has no {cell.of.kernel.upper()} kernels"
        if not self._alike(cell.of):
            widths = f"{cell.of.qk_dim} and {cell.of.v_dim}"
            return f"its calibration has no {cell.of.kernel.upper()} kernel with heads of widths {widths}"
        if cell.seq_len < FEWEST_TOKENS:
            return f"its calibration begins at {FEWEST_TOKENS} tokens of context"
        fit, work = self.nearest(cell.of), cell.work
        memory_s = work["traffic_bytes"] / self.ceilings.bytes_per_s
        arithmetic_s = work["flops"] / self.ceilings.flops_per_s
        memory_share, share = self.shares[fit]
        if max(memory_s, arithmetic_s) < LEAST_BOUND_S:
            return f"a kernel is shorter than any that was fitted, whose bounds begin at {LEAST_BOUND_S * 1e6:g} µs"
        if share is None and arithmetic_s / NEAR_PEAK > memory_s / memory_share:
            return "its calibration does not say how fast this kernel computes where arithmetic limits it"
        return None

    def _unknown_prefill(self, shape: LayerShape, forward: Pass) -> str | None:
        kernel = prefill_kernel(shape)
        shares = self.prefill.get(kernel or "")
        if kernel is None or not shares or (shape.qk_dim, shape.v_dim) != WIDTHS[kernel]:
            return "its calibration has no prefill of this kernel"
        if forward.seq_len < min(shares):
            return f"its calibration of prefill begins at {min(shares)} tokens"
        if kernel_flops(shape, forward) < LEAST_PREFILL_FLOPS:
            return f"its calibration of prefill begins at {LEAST_PREFILL_FLOPS / 1e12:g} TFLOP of work"
        return None

    def _parts(self, fit: Fit) -> tuple[float, float]:
        """How long one new token's memory traffic and arithmetic take at least, of a token of context."""
        kernel = fit.of
        return kernel.bytes_per_token / self.ceilings.bytes_per_s, kernel.flops_per_token / self.ceilings.flops_per_s

    @functools.cached_property
    def shares(self) -> dict[Fit, tuple[float, float | None]]:
        """Each family's share of the bandwidth, and of the peak where that is known."""
        return {fit: (self._memory_share(fit), self._arithmetic_share(fit)) for fit in self.decode}

    def _memory_share(self, fit: Fit) -> float:
        """A family's share of the bandwidth; of one that arithmetic limits, that of the nearest that it does not."""
        bound = [other for other in self._alike(fit.of) if self._parts(other)[0] >= self._parts(other)[1]]
        return min(bound, key=lambda other: other.of.distance(fit.of), default=fit).share

    def _arithmetic_share(self, fit: Fit) -> float | None:
        """A family's share of the peak: its own where arithmetic limits it, else the highest that its kernel is
        known to reach."""
        memory_s, arithmetic_s = self._parts(fit)
        if arithmetic_s > memory_s:
            return fit.share
        known = []
        for other in self._alike(fit.of):
            memory_s, arithmetic_s = self._parts(other)
            if arithmetic_s >= NEAR_PEAK * memory_s:
                known.append(other.share * arithmetic_s / max(memory_s, arithmetic_s))
        of_prompts = self.prefill.get(fit.of.kernel, {})
        known += [self.arithmetic[fit.of.kernel]] if fit.of.kernel in self.arithmetic else []
        known += [of_prompts[max(of_prompts)]] if of_prompts else []
        return max(known, default=None)


def _at_least(bound_s: float, found: Expected) -> Expected:
    """The expected time, no part of it shorter than the bound."""
    low, high = (None if end is None else max(bound_s, end) for end in (found.low, found.high))
    return replace(found, seconds=max(bound_s, found.seconds), low=low, high=high)


def is_prefill(forward: Pass) -> bool:
    """Return whether a pass is over a whole prompt."""
    return forward.query_len == forward.seq_len > 1


def decode_kernel(shape: LayerShape) -> Kernel | None:
    """Return the sizes of a decode kernel that calibrations may have; None of another."""
    if not shape.is_plain:
        return None
    kernel, groups = (GQA, shape.kv_heads) if isinstance(shape, GroupedShape) else (MLA, 1)
    return Kernel(kernel=kernel, heads=shape.num_heads, kv_heads=groups, qk_dim=shape.qk_dim, v_dim=shape.v_dim)


def decode_cell(shape: LayerShape, forward: Pass) -> Cell | None:
    """Return a kernel in a decode step, without its time; None of one that calibrations do not have."""
    kernel = decode_kernel(shape)
    if kernel is None:
        return None
    return Cell(of=kernel, batch=forward.batch, seq_len=forward.seq_len, query_len=forward.query_len)


def prefill_kernel(shape: LayerShape) -> str | None:
    """Return the name of a prefill kernel that calibrations may have; None of another."""
    if isinstance(shape, GroupedShape) and shape.is_plain:
        return GQA
    return EXPANDED if isinstance(shape, ExpandedShape) else None


def interpolated(shares: Mapping[int, float], tokens: int) -> float:
    """Return a share between two lengths, straight over the length's logarithm; beyond the longest its own."""
    lengths = sorted(shares)
    if tokens >= lengths[-1]:
        return shares[lengths[-1]]
    above = next(length for length in lengths if length > tokens)
    below = max(length for length in lengths if length <= tokens)
    part = math.log(tokens / below) / math.log(above / below)
    return shares[below] + part * (shares[above] - shares[below])


_in_force: dict[str, Calibration] = {}
"""Calibrations of a user's own, by device, in place of those of conf/calibration."""


@contextmanager
def calibrated_by(file: Path | None) -> Iterator[None]:
    """Use a file of `suite calibrate` instead of conf/calibration for its device meanwhile; None changes nothing."""
    own = None if file is None else read_calibration(file)
    before = dict(_in_force)
    if own is not None:
        _in_force[own.name] = own
    try:
        yield
    finally:
        _in_force.clear()
        _in_force.update(before)


def load_calibration(name: str) -> Calibration | None:
    """Return a device's calibration by the name of conf/hardware; None where there is none."""
    return _in_force.get(name) or (_packaged(name) if name in choices("calibration") else None)


@functools.cache
def _packaged(name: str) -> Calibration:
    return calibration_from(read_choice("calibration", name))


def known_calibrations() -> list[Calibration]:
    """Return those of all devices."""
    return [found for name in hardware_names() if (found := load_calibration(name))]


def read_calibration(file: Path) -> Calibration:
    """Read a file that `suite calibrate` wrote. Raises ValueError, in one sentence, for what is none."""
    try:
        return calibration_from(parse_yaml(read_bounded(file, MOST_BYTES, may_be_link=True)))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"calibration must be a file of suite calibrate; got {str(file)!r} ({reason})") from error


def calibration_from(content: Any) -> Calibration:
    """Return a calibration from the contents of its file, which may be anybody's. Raises ValueError."""
    if not isinstance(content, dict):
        raise ValueError(f"it must hold name, source, made and decode; got {clipped(content)}")
    fits = [
        Fit(of=_kernel(row), largest_error=number_between(row, "largest_error", 0, MOST_ERROR), **_two_numbers(row))
        for row in _rows(content, "decode")
    ]
    name = short_text(content, "name", longest=LONGEST_TEXT)
    if name not in hardware_names() or load_hardware(name).ceilings(DTYPE) is None:
        raise ValueError(f"name must be a device of conf/hardware with a {DTYPE} peak; got {clipped(name)}")
    if not fits:
        raise ValueError("decode must have a row at least; got none")
    if len({fit.of for fit in fits}) < len(fits):
        raise ValueError("decode must have one row for each kernel and its sizes; got two of one")
    products = _rows(content, "products")
    if "products" not in content and name in choices("calibration"):  # `suite calibrate` has no records of them to fit
        products = read_choice("calibration", name).get("products", [])
    return Calibration(
        name=name,
        source=short_text(content, "source", longest=LONGEST_TEXT),
        made=short_text(content, "made", longest=LONGEST_TEXT),
        decode=fits,
        prefill={one_of(row, "kernel", PREFILL): _shares(row, "shares", int) for row in _rows(content, "prefill")},
        arithmetic=_shares(content, "arithmetic", str),
        speedups=[
            Speedup(
                **{size: _size(row, size) for size in ("heads", "kv_heads", "cells")},
                tokens=_range(row, "tokens"),
                speedup=number_between(row, "speedup", LEAST_SHARE, 1 / LEAST_SHARE),
            )
            for row in _rows(content, "speedups")
        ],
        measured=[
            Cell(
                of=_kernel(row),
                batch=_size(row, "batch"),
                seq_len=_size(row, "seq_len"),
                time_s=number_between(row, "best_us", LEAST_SHARE, MOST_US) * 1e-6,
                by=short_text(row, "by", longest=LONGEST_TEXT),
            )
            for row in _rows(content, "measured")
        ],
        products=[
            Products(
                kind=one_of(row, "kind", (MATRICES, EXPERTS)),
                weights=short_text(row, "weights", longest=LONGEST_TEXT),
                rows=_size(row, "rows"),
                **_two_numbers(row),
            )
            for row in products
        ],
    )


def _rows(content: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = content.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{name} must be a list of rows with names and values; got {clipped(rows)}")
    return rows


def _kernel(row: Mapping[str, Any]) -> Kernel:
    kernel = one_of(row, "kernel", (GQA, MLA))
    sizes = {**dict(zip(("qk_dim", "v_dim"), WIDTHS[kernel], strict=True)), **row}
    return Kernel(kernel=kernel, **{name: _size(sizes, name) for name in ("heads", "kv_heads", "qk_dim", "v_dim")})


def _two_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "share": number_between(row, "share", LEAST_SHARE, 1),
        "floor_s": number_between(row, "floor_us", 0, MOST_US) * 1e-6,
        **{name: number_between(row, name, 0, MOST_ERROR) for name in ("median_error", "p90_error")},
        "cells": whole_number(row, "cells", at_least=0, at_most=MOST_SIZE),
    }


def _size(row: Mapping[str, Any], name: str) -> int:
    return whole_number(row, name, at_least=1, at_most=MOST_SIZE)


def _range(row: Mapping[str, Any], name: str) -> tuple[int, int]:
    ends = row.get(name)
    if not isinstance(ends, list) or len(ends) != 2:
        raise ValueError(f"{name} must be a first and a last number; got {clipped(ends)}")
    return _size({name: ends[0]}, name), _size({name: ends[1]}, name)


def _shares(row: Mapping[str, Any], name: str, of: type) -> dict[Any, float]:
    """Shares by length of the prompt, or by kernel."""
    shares = row.get(name, {})
    is_known = isinstance(shares, dict) and all(type(key) is of for key in shares)
    if not is_known or not all(of is str or 1 <= key <= MOST_SIZE for key in shares):
        raise ValueError(f"{name} must hold shares by {'tokens' if of is int else 'kernel'}; got {clipped(shares)}")
    return {key: number_between(shares, key, LEAST_SHARE, 1, where=f"{name}.") for key in shares}


def relative_errors(cells: Sequence[tuple[Calibration, Cell]]) -> list[float]:
    """Return |expected / measured - 1| of the cells of which something is expected, sorted."""
    found = [(calibration.expected_cell(cell), cell) for calibration, cell in cells]
    return sorted(abs(expected.seconds / cell.time_s - 1) for expected, cell in found if expected is not None)
