"""The plan of an attention case by closed forms, before anything is allocated.

The parent process, which holds no torch, refuses wrong settings here; the worker takes its exact quantities
from the same object.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from suite.configuration.devices import device_kind
from suite.configuration.files import in_phase, locate
from suite.configuration.values import one_of, optional_whole_number, whole_number
from suite.theory.layers import algebra, shapes
from suite.theory.layers.batch_spec import read_batch
from suite.theory.layers.geometry import Geometry, geometry_from
from suite.theory.layers.latent_shapes import ReexpandedShape, absorbed_shape
from suite.theory.layers.parallel import exchanged_elements, heads_shared_by, rank_pass
from suite.theory.layers.roofline import MeasuredCeilings
from suite.theory.layers.shapes import LayerShape, grouped_shape

MATCHES = ("heads", "params", "cache")
LARGEST_RESIDUAL = 0.15
MOST_TIMES_THE_HEADS = 4
"""The most heads that `params` tries: MQA needs twice MHA's."""

BuildShape = Callable[..., LayerShape]


class UnmatchedError(Exception):
    """Right in itself, but no size of this variant comes near enough; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Match:
    shape: LayerShape
    residual: float | None = None
    """Share by which the matched quantity misses its target; None where nothing was moved."""
    described: str | None = None


def match_shape(
    match: str, build: BuildShape, geometry: Geometry, *, tp: int, cache_size: str | None, sizes: Mapping[str, Any]
) -> Match:
    """Lay a variant over a geometry under one of MATCHES: a quantity is held equal, so that a comparison is fair.

    - heads: the same hidden width and number of heads; nothing is changed.
    - params: the number of heads moves, at fixed head width, until the layer has nearly as many parameters as MHA on
      the same geometry (as the TPA paper does, arXiv 2501.06425).
    - cache: the one size that sets a variant's cache (`cache_size` in its YAML) moves until a token leaves nearly as
      many elements as the published model's own attention does.

    Counts are whole, so a residual remains. It is kept in the record, and a match that misses by more than
    LARGEST_RESIDUAL is refused. `build` is the variant's shape function.

    Raises ValueError for wrong sizes, UnmatchedError where there is no match.
    """
    if match == "params":
        return _by_parameters(build, geometry, tp, sizes)
    if match == "cache":
        return _by_cache(build, geometry, tp, cache_size, sizes)
    return Match(shape=build(geometry, tp=tp, **sizes))


def _by_parameters(build: BuildShape, geometry: Geometry, tp: int, sizes: Mapping[str, Any]) -> Match:
    """The variant with the number of heads, at fixed width, that brings its parameters nearest to MHA's."""
    target = grouped_shape(geometry, kv_heads="all").parameter_count
    counts: dict[int, int] = {}
    for heads in range(tp, MOST_TIMES_THE_HEADS * geometry.num_heads + 1, tp):
        try:
            counts[heads] = build(replace(geometry, num_heads=heads), **sizes).parameter_count
        except ValueError:  # these heads do not divide into the variant's groups
            continue
    if not counts:  # then it is wrong in itself, and is refused as it stands
        build(geometry, tp=tp, **sizes)
    heads = min(counts, key=lambda heads: abs(counts[heads] - target))
    residual = counts[heads] / target - 1
    described = f"heads {geometry.num_heads} → {heads} at fixed width: {residual:+.1%} of MHA's parameters"
    return _match_if_near(build(replace(geometry, num_heads=heads), tp=tp, **sizes), residual, described)


def _by_cache(
    build: BuildShape, geometry: Geometry, tp: int, cache_size: str | None, sizes: Mapping[str, Any]
) -> Match:
    """The variant with the `cache_size` that brings a token's cached elements nearest to the published model's."""
    if cache_size is None:
        raise UnmatchedError("match=cache needs a size that sets the variant's cache, and this variant has none")
    if sizes.get(cache_size) is not None:
        raise ValueError(f"match=cache sets attention.{cache_size} itself; got {sizes[cache_size]}")
    published = (
        absorbed_shape(geometry) if geometry.is_latent else grouped_shape(geometry, kv_heads=geometry.num_kv_heads)
    )
    target = published.cache_elements_per_token

    def lay(size: int, tp: int = 1) -> LayerShape:
        return build(geometry, tp=tp, **{**sizes, cache_size: size})

    def cached_elements(size: int) -> int:
        return lay(size).cache_elements_per_token

    choices = _candidate_sizes(cache_size, geometry, target, sizes)
    # A cache grows with its size.
    at = bisect_left(choices, target, key=cached_elements)
    size = min(choices[max(0, at - 1) : at + 1], key=lambda size: abs(cached_elements(size) - target))
    residual = cached_elements(size) / target - 1
    described = f"{cache_size} set to {size}: {residual:+.1%} of the {target:,} elements that the model itself keeps"
    return _match_if_near(lay(size, tp), residual, described)


def _candidate_sizes(cache_size: str, geometry: Geometry, target: int, sizes: Mapping[str, Any]) -> Sequence[int]:
    """The values of `cache_size` to choose from, ascending. For `kv_heads` all divisors of the geometry's heads. Other
    sizes are multiples of the number of latents, up to `target`: each unit of such a size is at least one cached
    element."""
    if cache_size == "kv_heads":
        return [groups for groups in range(1, geometry.num_heads + 1) if geometry.num_heads % groups == 0]
    least = sizes.get("latent_heads", 1)  # latents are equally wide
    return range(least, target + 1, least)


def _match_if_near(shape: LayerShape, residual: float, described: str) -> Match:
    """The match. Raises UnmatchedError, quoting `described`, if |residual| is above LARGEST_RESIDUAL."""
    if abs(residual) > LARGEST_RESIDUAL:
        raise UnmatchedError(f"the nearest match misses by more than {LARGEST_RESIDUAL:.0%} ({described})")
    return Match(shape=shape, residual=residual, described=described)


ELEMENT_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
PHASES = ("prefill", "decode", "train")
NO_SIZES = ("_target_", "shape", "cache_size", "fixed", "mode", "in_phase")
"""Keys under `attention` that are no sizes of the variant."""


class AttentionPlan:
    """The settings of one attention case, checked, with its closed forms. Raises ValueError for wrong ones."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.phase: str = one_of(settings, "phase", PHASES)
        match: str = one_of(settings, "match", MATCHES)
        self.dtype: str = one_of(settings, "dtype", ELEMENT_BYTES)
        self.device: str = device_kind(settings)
        self.threads = whole_number(settings, "threads", at_least=1)
        self.seed = whole_number(settings, "seed", at_least=0)
        self.tp = tp = whole_number(settings, "tp", at_least=1)
        seq_len = whole_number(settings, "seq_len", at_least=1)
        query_len = whole_number(settings, "query_len", at_least=1) if self.phase == "decode" else seq_len
        if query_len > seq_len and settings.get("seqs") is None:
            raise ValueError(
                f"query_len must be at most seq_len, which counts all tokens; got {query_len} and {seq_len}"
            )
        self.parallel = self.parallel_way(settings)
        whole = algebra.Pass(
            batch=whole_number(settings, "batch", at_least=1),
            query_len=query_len,
            seq_len=seq_len,
            element_bytes=ELEMENT_BYTES[self.dtype],
            cache_dtype=one_of(settings, "cache_dtype", (None, *algebra.QUANTISED_DTYPES)),
            is_training=self.phase == "train",
        )
        self.forward = rank_pass(self.parallel, tp, whole)
        self.sequences = read_batch(settings, whole, self.phase)
        self.passes = [self.forward]
        """The pass of each group of equal sequences; `forward` is of as many sequences of their mean length."""
        self.page_size = optional_whole_number(settings, "page_size") if "page_size" in settings else None
        if self.is_ragged or self.page_size:
            self._check_ragged(whole)
        if self.is_ragged:
            self.passes = [
                replace(self.forward, batch=s.count, query_len=s.query_len, seq_len=s.seq_len) for s in self.sequences
            ]
        geometry = geometry_from(settings["geometry"])
        self.attention = in_phase(settings["attention"], self.phase)
        self.hidden_size = geometry.hidden_size
        self.refusal: str | None = None
        """The reason why a case that is right in itself cannot be laid out; it then has no shape."""
        try:
            self.match = lay_over(match, geometry, self.attention, heads_shared_by(self.parallel, tp))
            self.around = self.match.shape
            if self.parallel == "dcp":  # the weights stay shared by heads
                if self.shape.mode == ReexpandedShape.mode:
                    raise ValueError(
                        "parallel=dcp shares a cache that is attended to as it lies; attention=mla_latent, which "
                        "expands it at every step, takes tp or dp"
                    )
                self.around = lay_over(match, geometry, self.attention, tp).shape
        except UnmatchedError as error:
            self.refusal = str(error)
        else:
            self.refusal = self.shape.refusal(self.forward)
        self.mha_shape = shapes.grouped_shape(geometry, tp=heads_shared_by(self.parallel, tp), kv_heads="all")

    @property
    def is_ragged(self) -> bool:
        """Whether sequences of the batch differ in length, or in the number of new tokens."""
        return len(self.sequences) > 1

    def _check_ragged(self, whole: algebra.Pass) -> None:
        """Raise ValueError for a setting that sequences of different lengths do not go with."""
        for name, value, needed in (
            ("phase", self.phase, "decode"),  # of page_size
            ("parallel", self.parallel, "tp"),
            ("cache_dtype", whole.cache_dtype, None),
        ):
            if value != needed:
                raise ValueError(f"{name} must be {needed or 'null'} beside seqs, lengths and page_size; got {value!r}")

    @staticmethod
    def parallel_way(settings: Mapping[str, Any]) -> str:
        """The way in which devices share the layer: `tp`, since a case that runs is one rank's share of the heads."""
        return "tp"

    @property
    def shape(self) -> shapes.LayerShape:
        """The matched layer that this device runs. Raises AttributeError where nothing matched (see `refusal`)."""
        return self.match.shape

    @property
    def spans(self) -> tuple[str, ...]:
        """The timed spans: the layer, what comes before its kernel, and the kernel."""
        return ("layer", *self.shape.before_kernel(self.forward), "kernel")

    def constants(self) -> dict[str, dict[str, float]]:
        """Exact quantities by span: FLOPs and traffic of layer and timed parts; in `case` weights' and cache's
        sizes."""
        shape, forward, passes = self.shape, self.forward, self.passes
        kernel: dict[str, float] = asdict(sum((shapes.kernel_work(shape, each) for each in passes), algebra.NO_WORK))
        # All groups are projected together, so that each parameter is read once.
        read_again = algebra.Work(flops=0, traffic_bytes=self.around.parameter_count * forward.element_bytes)
        layers = (shapes.layer_work(shape, each, self.around) for each in passes)
        layer: dict[str, float] = asdict(sum(layers, read_again * (1 - len(passes))))
        tokens = sum(each.tokens for each in passes)
        case: dict[str, float] = {"parameter_count": self.around.parameter_count, "tokens": tokens}
        if forward.is_training:
            kernel["flops_with_recomputation"] = kernel["flops"] + shape.recomputation_flops(forward)
        else:
            case["cache_bytes"] = sum(shapes.cache_bytes(shape, each) for each in passes)
            case["cache_bytes_mha"] = sum(shapes.cache_bytes(self.mha_shape, each) for each in passes)
        if sent := exchanged_elements(self.parallel, self.tp, shape, forward):
            kernel["exchanged_bytes"] = sent * forward.element_bytes
        if self.match.residual is not None:
            case["match_residual"] = self.match.residual
        before = {span: asdict(work) for span, work in shape.before_kernel(forward).items()}
        return {**before, "kernel": kernel, "layer": layer, "case": case}

    def facts(self) -> dict[str, Any]:
        """For a record's provenance: the variant's shape, mode and match in words, without those that are None."""
        mode = self.shape.describe_mode(self.forward)
        facts = {"shape": self.shape.describe(), "mode": mode, "match": self.match.described}
        return {name: fact for name, fact in facts.items() if fact is not None}

    def least_bytes(self) -> float:
        """Bytes of weights, cache and the new tokens' input; in training the weights' gradients instead of a cache."""
        forward, element_bytes = self.forward, ELEMENT_BYTES[self.dtype]
        input_elements = sum(each.tokens for each in self.passes) * self.hidden_size
        weights = self.around.parameter_count * element_bytes
        gradients = weights - self.around.frozen_parameters * element_bytes
        # Sequences with equally many new tokens lie in one tensor, with room for the longest.
        cached = [
            replace(each, seq_len=max(s.seq_len for s in self.passes if s.query_len == each.query_len))
            for each in self.passes
        ]
        cache = gradients if forward.is_training else sum(shapes.cache_bytes(self.shape, each) for each in cached)
        return weights + cache + input_elements * element_bytes

    def predicted_step_s(self, measured: MeasuredCeilings) -> float:
        """The least time of one step in seconds, which runs every span once, by ceilings measured on the device."""
        constants = self.constants()
        spans = [{name: constants[span][name] for name in ("flops", "traffic_bytes")} for span in self.spans]
        return sum(measured.at(work["traffic_bytes"]).bound_s(**work) for work in spans)


def lay_over(match: str, geometry: Geometry, attention: Mapping[str, Any], tp: int) -> Match:
    """Lay a variant over a geometry on one of `tp` ranks, by its own shape function, under one of MATCHES. Raises
    ValueError for a setting that the function does not know and for another `mode` than it computes by, and
    UnmatchedError where nothing matches."""
    sizes = {key: value for key, value in attention.items() if key not in NO_SIZES}
    build = locate(attention["shape"])
    try:
        laid = match_shape(match, build, geometry, tp=tp, cache_size=attention.get("cache_size"), sizes=sizes)
    except TypeError as error:
        raise ValueError(f"the settings under attention do not fit {attention['shape']} ({error})") from error
    if (mode := attention.get("mode")) not in (None, laid.shape.mode):
        raise ValueError(
            f"attention.mode must be {laid.shape.mode}, which is how {attention['shape']} computes; got {mode!r}"
        )
    return laid
