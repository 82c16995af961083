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
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from suite.theory.devices.hardware import load_hardware
from suite.theory.layers.algebra import SERVED_BYTES, Pass
from suite.theory.layers.latent_shapes import ExpandedShape
from suite.theory.layers.roofline import Ceilings
from suite.theory.layers.shapes import GroupedShape, LayerShape, kernel_work, layer_work

DTYPE = "bfloat16"
"""All that is fitted is measured in it, and whole models are computed in it."""
GQA, MLA, EXPANDED = KERNELS = ("gqa", "mla", "mla_expanded")
WIDTHS = {GQA: (128, 128), MLA: (576, 512), EXPANDED: (192, 128)}
"""Widths of score and value where a fit does not state them."""
PREFILL = {GQA: "GQA prefill", EXPANDED: "MLA expanded prefill"}
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


def add_times(parts: Iterable[Expected], family: str) -> Expected:
    """The time of parts that run one after the other. Its ends are those of all parts at once, since kernels of
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
        """Its family's name: `GQA 64/8` with heads and key-value heads, or `MLA 128` with heads."""
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
        return self.kv_heads * width * SERVED_BYTES

    def distance(self, other: "Kernel") -> tuple[float, float, float]:
        """How far `other` is, compared as a tuple: in heads per group, then in heads, then in groups, as logarithms."""
        heads, groups = math.log(other.heads / self.heads), math.log(other.kv_heads / self.kv_heads)
        return round(abs(heads - groups), 9), round(abs(heads), 9), round(abs(groups), 9)


@dataclass(frozen=True, kw_only=True)
class TwoNumbers:
    """A floor and a share, and how well they predict cells that they were not fitted on."""

    share: float
    """The part of the time, without its floor, that the roofline bound is."""
    floor_s: float
    median_error: float
    """This and the next: |ln(predicted / measured)|."""
    p90_error: float
    cells: int
    """Those fitted on and those not seen."""


@dataclass(frozen=True, kw_only=True)
class Fit(TwoNumbers):
    """A family of decode kernels, at one new token."""

    of: Kernel
    largest_error: float

    @property
    def family(self) -> str:
        """The name of its kernel's family, as `GQA 64/8`."""
        return self.of.family


@dataclass(frozen=True, kw_only=True)
class Products(TwoNumbers):
    """Matrix products of at least so many rows, up to the rows of the next."""

    kind: str
    """MATRICES or EXPERTS, whose rows are all tokens of the step."""
    weights: str
    rows: int

    @property
    def family(self) -> str:
        """Its name, as `bfloat16 matrices with 65 or more rows`."""
        return f"{self.weights} {self.kind}{f' with {self.rows} or more rows' if self.rows > 1 else ''}"


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
        """`flops` and `traffic_bytes` by the closed forms, as Ceilings take them."""
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
        """The device's specified peaks in bfloat16."""
        ceilings = load_hardware(self.name).ceilings(DTYPE)
        assert ceilings is not None, self.name
        return ceilings

    def has(self, *kernels: str) -> bool:
        """Whether decode kernels of all these names were fitted."""
        return set(kernels) <= {fit.of.kernel for fit in self.decode}

    def unknown(self, shape: LayerShape, forward: Pass, dtype: str) -> str | None:
        """The reason, in words, why no time is expected of this kernel; None where it lies within what was measured."""
        if dtype != DTYPE or forward.cache_dtype is not None:
            return f"its calibration covers only {DTYPE}, for the cache too"
        if forward.is_training:
            return "its calibration has no training"
        if forward.is_prompt:
            return self._unknown_prefill(shape, forward)
        cell = decode_cell(shape, forward)
        if cell is None:
            return "its calibration has decode kernels of grouped attention and of absorbed MLA alone"
        return self._unknown_decode(cell)

    def expected(self, shape: LayerShape, forward: Pass, dtype: str) -> Expected | None:
        """The expected time of the kernel; None for what `unknown` gives a reason for."""
        if self.unknown(shape, forward, dtype) is not None:
            return None
        kernel = prefill_kernel(shape)
        if not forward.is_prompt or kernel is None:
            return self.decoded_shape(shape, forward)
        memory_s, arithmetic_s = self._least_s(**asdict(kernel_work(shape, forward)))
        # Shares of prefill are of the peak, not of the bound, which memory may set in short prompts.
        seconds = max(arithmetic_s / interpolated(self.prefill[kernel], forward.seq_len), memory_s)
        return Expected(seconds=seconds, low=None, high=None, family=PREFILL[kernel])

    def decoded_shape(self, shape: LayerShape, forward: Pass) -> Expected:
        """The expected time of a decode kernel that has a fit, however many new tokens there are."""
        cell = decode_cell(shape, forward)
        assert cell is not None
        # Many new tokens at a short context: queries and outputs, which the fits do not count, may weigh more.
        least_s = max(self._least_s(**asdict(kernel_work(shape, forward))))
        return _at_least(least_s, self.decoded(cell.of, **cell.work))

    def expected_cell(self, cell: Cell) -> Expected | None:
        """The expected time of a decode kernel by its sizes; None outside what was measured."""
        return None if self._unknown_decode(cell) else self.decoded(cell.of, **cell.work)

    def decoded(self, kernel: Kernel, *, flops: float, traffic_bytes: float) -> Expected:
        """The time expected of `kernel` for this work, by the nearest family's fit; never shorter than the bound."""
        fit = self.nearest(kernel)
        memory_s, arithmetic_s = self._least_s(flops, traffic_bytes)
        memory_share, share = self.shares[fit]
        by_memory_s, by_arithmetic_s = memory_s / memory_share, 0.0 if share is None else arithmetic_s / share
        return _expected(fit, fit.floor_s + max(by_memory_s, by_arithmetic_s), max(memory_s, arithmetic_s))

    def expected_layer(
        self, shape: LayerShape, forward: Pass, dtype: str, around: LayerShape | None = None
    ) -> Expected | None:
        """The expected time of a layer: its kernel's plus that of the products around it; None if either is unknown."""
        kernel = self.expected(shape, forward, dtype)
        decoding = None if forward.is_prompt else decode_kernel(shape)
        return kernel and self.with_rest(
            kernel,
            around=decoding.kernel if decoding else str(prefill_kernel(shape)),
            rows=forward.tokens,
            **asdict(layer_work(shape, forward, around) - kernel_work(shape, forward)),
        )

    def with_rest(self, kernel: Expected, *, around: str, rows: int, **work: float) -> Expected | None:
        """`kernel`'s time plus that of the matrix products around it; None where nobody measured such products.
        `around`: one of KERNELS. `work`: FLOPs and bytes of all these products together."""
        rest = self.multiplied(MATRICES, DTYPE, rows=rows, count=PRODUCTS_AROUND[around], **work)
        return rest and add_times([kernel, rest], kernel.family)

    def multiplied(
        self, kind: str, weights: str, *, rows: int, count: int, flops: float, traffic_bytes: float
    ) -> Expected | None:
        """The expected time of `count` matrix products that do this work together; None for unmeasured weights."""
        fits = [fit for fit in self.products if (fit.kind, fit.weights) == (kind, weights) and fit.rows <= rows]
        if not fits:
            return None
        fit, bound_s = max(fits, key=lambda fit: fit.rows), max(self._least_s(flops, traffic_bytes))
        return _expected(fit, count * fit.floor_s + bound_s / fit.share, bound_s)

    @property
    def errors(self) -> dict[str, Fit | Products]:
        """Every fit by the name of its family, with its errors."""
        fits: list[Fit | Products] = [*self.decode, *self.products]
        return {fit.family: fit for fit in fits}

    def nearest(self, kernel: Kernel) -> Fit:
        """The fit of the family nearest to `kernel`. Raises ValueError where none has the same widths."""
        return min(self._comparable_fits(kernel), key=lambda fit: fit.of.distance(kernel))

    def _comparable_fits(self, kernel: Kernel) -> list[Fit]:
        widths = (kernel.kernel, kernel.qk_dim, kernel.v_dim)
        return [fit for fit in self.decode if (fit.of.kernel, fit.of.qk_dim, fit.of.v_dim) == widths]

    def _least_s(self, flops: float, traffic_bytes: float) -> tuple[float, float]:
        return traffic_bytes / self.ceilings.bytes_per_s, flops / self.ceilings.flops_per_s

    def _unknown_decode(self, cell: Cell) -> str | None:
        """The reason why no time is expected of a decode kernel, or None."""
        name = cell.of.kernel.upper()
        if not self.has(cell.of.kernel):
            return f"its calibration has no {name} kernels"
        if not self._comparable_fits(cell.of):
            return f"its calibration has no {name} kernel with heads of widths {cell.of.qk_dim} and {cell.of.v_dim}"
        if cell.seq_len < FEWEST_TOKENS:
            return f"its calibration begins at {FEWEST_TOKENS} tokens of context"
        memory_s, arithmetic_s = self._least_s(**cell.work)
        memory_share, share = self.shares[self.nearest(cell.of)]
        if max(memory_s, arithmetic_s) < LEAST_BOUND_S:
            least_us = LEAST_BOUND_S * 1e6
            return f"a kernel here is shorter than all measured ones, whose least times begin at {least_us:g} µs"
        if share is None and arithmetic_s / NEAR_PEAK > memory_s / memory_share:
            return "its calibration does not say how fast this kernel computes where arithmetic limits it"
        return None

    def _unknown_prefill(self, shape: LayerShape, forward: Pass) -> str | None:
        """The reason why no time is expected of a prefill kernel, or None."""
        kernel = prefill_kernel(shape)
        shares = self.prefill.get(kernel or "")
        if kernel is None or not shares or (shape.qk_dim, shape.v_dim) != WIDTHS[kernel]:
            return "its calibration has no prefill of this kernel"
        if forward.seq_len < min(shares):
            return f"its calibration of prefill begins at {min(shares)} tokens"
        if kernel_work(shape, forward).flops < LEAST_PREFILL_FLOPS:
            return f"its calibration of prefill begins at {LEAST_PREFILL_FLOPS / 1e12:g} TFLOP of work"
        return None

    @functools.cached_property
    def shares(self) -> dict[Fit, tuple[float, float | None]]:
        """Each family's share of the bandwidth, and of the peak where that is known.

        Of the bandwidth: for a family that arithmetic limits, that of the nearest one that it does not limit. Of the
        peak: a family's own where arithmetic limits it, else the highest that its kernel is known to reach.
        """
        shares: dict[Fit, tuple[float, float | None]] = {}
        for fit in self.decode:
            kernel = fit.of.kernel
            # The least times of memory and of arithmetic for one new token, of a token of context.
            times_s = {
                rival: self._least_s(rival.of.flops_per_token, rival.of.bytes_per_token)
                for rival in self._comparable_fits(fit.of)
            }
            by_memory = [rival for rival, (memory_s, arithmetic_s) in times_s.items() if memory_s >= arithmetic_s]
            memory_share = min(by_memory, key=lambda rival: rival.of.distance(fit.of), default=fit).share
            reached = [
                rival.share * arithmetic_s / max(memory_s, arithmetic_s)
                for rival, (memory_s, arithmetic_s) in times_s.items()
                if arithmetic_s >= NEAR_PEAK * memory_s
            ]
            reached += [self.arithmetic[kernel]] if kernel in self.arithmetic else []
            if prompt_shares := self.prefill.get(kernel):
                reached.append(prompt_shares[max(prompt_shares)])
            is_own = times_s[fit][1] > times_s[fit][0]
            shares[fit] = memory_share, fit.share if is_own else max(reached, default=None)
        return shares


def _expected(fit: Fit | Products, seconds: float, bound_s: float) -> Expected:
    reach = math.exp(fit.p90_error)
    return _at_least(bound_s, Expected(seconds=seconds, low=seconds / reach, high=seconds * reach, family=fit.family))


def _at_least(bound_s: float, time: Expected) -> Expected:
    low, high = (None if end is None else max(bound_s, end) for end in (time.low, time.high))
    return replace(time, seconds=max(bound_s, time.seconds), low=low, high=high)


def decode_kernel(shape: LayerShape) -> Kernel | None:
    """The sizes of a decode kernel of a kind that calibrations may have, else None."""
    if not shape.is_plain:
        return None
    kernel, groups = (GQA, shape.kv_heads) if isinstance(shape, GroupedShape) else (MLA, 1)
    return Kernel(kernel=kernel, heads=shape.num_heads, kv_heads=groups, qk_dim=shape.qk_dim, v_dim=shape.v_dim)


def decode_cell(shape: LayerShape, forward: Pass) -> Cell | None:
    """A decode step of this kernel, without its time; None for a kind that calibrations do not have."""
    kernel = decode_kernel(shape)
    if kernel is None:
        return None
    return Cell(of=kernel, batch=forward.batch, seq_len=forward.seq_len, query_len=forward.query_len)


def prefill_kernel(shape: LayerShape) -> str | None:
    """The name of a prefill kernel of a kind that calibrations may have, else None."""
    if isinstance(shape, GroupedShape) and shape.is_plain:
        return GQA
    return EXPANDED if isinstance(shape, ExpandedShape) else None


def interpolated(shares: Mapping[int, float], tokens: int) -> float:
    """The share at `tokens`, interpolated over the length's logarithm; beyond the longest length that one's share."""
    lengths = sorted(shares)
    at = bisect(lengths, tokens)
    if at == len(lengths):
        return shares[lengths[-1]]
    below, above = lengths[at - 1], lengths[at]
    part = math.log(tokens / below) / math.log(above / below)
    return shares[below] + part * (shares[above] - shares[below])


def relative_errors(cells: Sequence[tuple[Calibration, Cell]]) -> list[float]:
    """|expected / measured - 1|, ascending, of the cells that have an expected time."""
    times = [(calibration.expected_cell(cell), cell.time_s) for calibration, cell in cells]
    return sorted(abs(expected.seconds / time_s - 1) for expected, time_s in times if expected is not None)
