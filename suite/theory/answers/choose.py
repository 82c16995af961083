"""The chooser: whether a model fits on so many devices, in which layout, and what another attention would change.

The model as it is comes first, since its weights can be served with no other attention. Beside it MHA, MQA, GQA and MLA
are laid over the whole model as `suite explain` lays them over its main attention: each layer that mixes tokens becomes
one, windows and recurrent states too, and all else stays. Each takes the layout of the devices that is best for it,
unless the question names one.

The answers are those of capacity.py: weights and cache decide whether a batch fits, and a step takes its bound at
least and its calibration's time where the device has one. Energy is that of devices which draw the given watts all the
while, by default the specification's most; so it is an upper end where a step waits for memory.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from suite.configuration.files import read_settings
from suite.configuration.values import not_negative, one_of, optional_whole_number, positive_number, whole_number
from suite.theory.answers.asked import asked_model, gpus_named
from suite.theory.answers.capacity import WEIGHT_BYTES, SharedModel, can_share_mlps, no_room
from suite.theory.devices.calibration import DTYPE
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.devices.gpus import Gpus
from suite.theory.layers.algebra import QUANTISED_DTYPES
from suite.theory.layers.geometry import Geometry, geometry_from
from suite.theory.layers.latent_shapes import LATENT_SIZES, absorbed_shape
from suite.theory.layers.layer_plan import LayerPlan, plan_from
from suite.theory.layers.parallel import Layout, layouts, read_parallel
from suite.theory.layers.roofline import Ceilings
from suite.theory.layers.shapes import GroupedShape

OWN, MHA, GQA, MQA, MLA = VARIANTS = ("own", "mha", "gqa", "mqa", "mla")
"""OWN is the model as it is."""
CACHE_DTYPES = (DTYPE, *QUANTISED_DTYPES)
FITS, FASTEST, CHEAPEST = ORDERS = ("fits", "fastest", "cheapest")
BOUND, EXPECTED = "bound", "expected"
MILLION, HOUR_S = 1e6, 3600
DEADLINES = ("tpot", "ttft")  # in seconds, of a step and of a prompt
USUAL_GROUPS, MOST_DEVICES = 8, 1024


@dataclass(frozen=True, kw_only=True)
class ServingQuestion:
    """A question about serving a model, as `question_from` checks it."""

    name: str
    settings: Mapping[str, Any]
    """As those of conf/geometry."""
    gpus: Gpus
    parallel: tuple[str, int] | None
    """None asks for the best layout."""
    context: int
    """Tokens of each sequence, new ones included."""
    batch: int | None
    """None asks for the largest that fits."""
    new_tokens: int
    weights: str
    cache_dtype: str
    tpot_s: float | None
    """The longest time that a step may take: the time per output token of a sequence."""
    ttft_s: float | None
    """The longest time that a prompt of `context` tokens may take by itself: the time to its first token."""
    price: float | None
    """The price of a device for an hour, in any currency."""
    watts: float | None
    """The draw of a device, by default its specification's most."""


@dataclass(frozen=True, kw_only=True)
class ServingAnswer:
    """The answer for one variant; None for a size that is not known or does not apply."""

    variant: str
    """One of VARIANTS."""
    kv_heads: int | None = None
    """Those of grouped attention, in all layers."""
    like: str | None = None
    """The variant that the model as it is is."""
    layout: str | None = None
    """Its name for `--parallel`."""
    groups: int | None = None
    """Groups of devices with sequences of their own."""
    fits: bool = False
    why: str | None = None
    token_bytes: float | None = None
    """Bytes that a token adds to the cache of the whole model."""
    sequence_bytes: int | None = None
    """Bytes that one sequence keeps on a device that holds it."""
    weight_bytes: float | None = None
    """On each device."""
    parameters: int | None = None
    largest_batch: int | None = None
    batch: int | None = None
    flops: int | None = None
    """This and the traffic: of a step, on each device."""
    traffic_bytes: int | None = None
    bound_s: float | None = None
    expected_s: float | None = None
    expected_low_s: float | None = None
    """Between both ends lie nine in ten of the kernels that were measured; their errors are taken to add up."""
    expected_high_s: float | None = None
    expected_by: str | None = None
    """The families of the calibration that it comes from."""
    expected_why: str | None = None
    prompt_s: float | None = None
    """The least time of a prompt by itself; None without a deadline for it."""
    tokens_per_s: float | None = None
    """These three by the clock that all answers share."""
    joules_per_million: float | None = None
    cost_per_million: float | None = None


@dataclass(frozen=True, kw_only=True)
class ServingAnswers:
    by: str | None
    """`expected` where such a time is known of all that fit, else `bound`; None where no time is known."""
    watts: float | None
    answers: Sequence[ServingAnswer]
    layouts: Sequence[ServingAnswer]
    """All possible layouts of the model as it is, the best first."""


def question_from(given: Mapping[str, Any]) -> ServingQuestion:
    """Check a question: `model` or `sizes`, and the fields of a ServingQuestion by their names.

    Raises ValueError, in one sentence, for what is wrong in itself, naming near names.
    """
    optional = ("price", "watts", "batch", "model", "sizes", "parallel", "tpot", "ttft")
    question = {**dict.fromkeys(optional), "new_tokens": 1, "weights": DTYPE, "cache_dtype": DTYPE, **given}
    name, settings = asked_model(question)
    gpus = gpus_named(question["gpus"])
    if gpus.count > MOST_DEVICES:
        raise ValueError(f"gpus must be at most {MOST_DEVICES} in number; got {gpus.count}")
    parallel = read_parallel(question["parallel"], gpus.count)
    context = whole_number(question, "context", at_least=2)
    new_tokens = whole_number(question, "new_tokens", at_least=1, at_most=context - 1)
    if parallel is not None and parallel[0] == "dcp" and gpus.count > 1 and -(-context // gpus.count) <= new_tokens:
        raise ValueError(
            f"context / devices must be above new_tokens under dcp; got {context}, {gpus.count} and {new_tokens}"
        )
    deadlines = {name: None if question[name] is None else positive_number(question, name) for name in DEADLINES}
    for deadline, value in deadlines.items():
        if value is not None and (gpus.device is None or gpus.device.ceilings(DTYPE) is None):
            raise ValueError(f"{deadline} needs GPUs by name, with a published {DTYPE} peak; got {question['gpus']}")
    if deadlines["ttft"] is not None and parallel is not None and parallel[0] == "dcp":
        raise ValueError("ttft needs tp or dp: no time of a prompt is computed under dcp")
    return ServingQuestion(
        name=name,
        settings=settings,
        gpus=gpus,
        parallel=parallel,
        context=context,
        batch=optional_whole_number(question, "batch"),
        new_tokens=new_tokens,
        weights=one_of(question, "weights", WEIGHT_BYTES),
        cache_dtype=one_of(question, "cache_dtype", CACHE_DTYPES),
        tpot_s=deadlines["tpot"],
        ttft_s=deadlines["ttft"],
        price=None if question["price"] is None else not_negative(question, "price"),
        watts=None if question["watts"] is None else positive_number(question, "watts"),
    )


def answers_to(question: ServingQuestion, order: str = FITS) -> ServingAnswers:
    """Answer for the model as it is, then for each variant over it in its best layout, sorted by one of ORDERS."""
    share = read_settings("capacity")["memory_share"]
    watts = question.watts
    if watts is None and question.gpus.device is not None:
        watts = question.gpus.device.tdp_w

    def sort_key(answer: ServingAnswer) -> tuple[bool, bool, float]:
        """Sorts by `order`: the model as it is first, those that do not fit last."""
        is_variant = answer.variant != OWN
        if not answer.fits:
            return is_variant, True, -(answer.largest_batch or 0)
        cost = answer.joules_per_million if answer.cost_per_million is None else answer.cost_per_million
        size = {FITS: answer.largest_batch, FASTEST: answer.tokens_per_s, CHEAPEST: cost}[order]
        return is_variant, False, float("inf") if size is None else size if order == CHEAPEST else -size

    def rank(answers: Sequence[ServingAnswer]) -> list[ServingAnswer]:
        clock = _shared_clock(answers)
        return sorted((_with_rate_and_price(question, answer, clock, watts) for answer in answers), key=sort_key)

    by_variant = [rank(_answers_by_layout(question, variant, share)) for variant in variants_of(question.settings)]
    answers = rank([best for best, *_ in by_variant])
    return ServingAnswers(by=_shared_clock(answers), watts=watts, answers=answers, layouts=by_variant[0])


@dataclass(frozen=True, kw_only=True)
class LaidVariant:
    """A variant over a model."""

    variant: str
    settings: Mapping[str, Any]
    kv_heads: int | None = None
    like: str | None = None


def variants_of(settings: Mapping[str, Any]) -> list[LaidVariant]:
    """The model as it is and, laid over it, each variant that it is not already."""
    geometry, plan = geometry_from(settings), plan_from(settings)
    like, own_groups = _own_variant(geometry, plan)
    laid = [LaidVariant(variant=OWN, settings=settings, like=like, kv_heads=own_groups)]
    width = geometry.v_head_dim if geometry.is_latent else geometry.head_dim
    for name, groups in {MHA: geometry.num_heads, GQA: usual_groups(geometry), MQA: 1}.items():
        if groups not in {variant.kv_heads for variant in laid}:
            sizes = {"attention": GQA, "head_dim": width, "num_kv_heads": groups}
            laid.append(
                LaidVariant(variant=name, settings=_with_layers(settings, plan, "full", sizes), kv_heads=groups)
            )
    if like != MLA:
        shape = absorbed_shape(geometry)
        sizes = {"attention": MLA, "num_kv_heads": None, **{name: getattr(shape, name) for name in LATENT_SIZES}}
        laid.append(LaidVariant(variant=MLA, settings=_with_layers(settings, plan, "latent", sizes)))
    return laid


def usual_groups(geometry: Geometry) -> int:
    """The geometry's own groups if it is GQA, else the largest divisor of its heads below them, up to USUAL_GROUPS."""
    if geometry.attention == GQA:
        return geometry.num_kv_heads
    heads = geometry.num_heads
    return max(count for count in range(1, USUAL_GROUPS + 1) if heads % count == 0 and count < max(2, heads))


def _own_variant(geometry: Geometry, plan: LayerPlan) -> tuple[str | None, int | None]:
    """Which of VARIANTS the model itself is, and its groups; both None where its layers are of several kinds."""
    layer, *further = [layer for layer in plan.layers if layer.kind != "mlp"]
    if further or not layer.is_plain:
        return None, None
    if not isinstance(layer, GroupedShape):
        return MLA, None
    width = geometry.v_head_dim if geometry.is_latent else geometry.head_dim
    if (layer.num_heads, layer.head_dim) != (geometry.num_heads, width):
        return None, None
    return {geometry.num_heads: MHA, 1: MQA}.get(layer.kv_heads, GQA), layer.kv_heads


OWN_ATTENTION = (
    *("layers", "attention", "head_dim", "num_kv_heads", *LATENT_SIZES),
    *("qk_norm", "qkv_bias", "o_bias", "sinks", "output_gate"),
)
"""Settings of a model that are its own attention's, which a variant has not."""


def _with_layers(settings: Mapping[str, Any], plan: LayerPlan, kind: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The model's settings with each layer that mixes tokens replaced by one of `kind` with `sizes`."""
    blocks = sum(layer.count for layer in plan.layers if layer.kind == "mlp")
    mixing = sum(layer.count for layer in plan.layers) - blocks
    rest = {name: value for name, value in settings.items() if name not in OWN_ATTENTION}
    layers = [{"kind": kind, "count": mixing}, {"kind": "mlp", "count": blocks}]
    return {**rest, **sizes, "layers": [layer for layer in layers if layer["count"]]}


def _answers_by_layout(question: ServingQuestion, laid: LaidVariant, share: float) -> list[ServingAnswer]:
    """One answer for each possible layout, without rates and prices; if none is possible, one answer that says why."""
    models, why = _possible_models(question, laid, question.parallel)
    if models:
        return [_answer_in_layout(question, laid, layout, model, share) for layout, model in models.items()]
    if question.parallel is not None and question.parallel[0] == "tp":
        possible = [layout.name for layout in _possible_models(question, laid, None)[0] if not layout.shares_mlps]
        why += f"; possible: {', '.join(possible)}"
    return [ServingAnswer(variant=laid.variant, kv_heads=laid.kv_heads, like=laid.like, why=why)]


def _possible_models(
    question: ServingQuestion, laid: LaidVariant, parallel: tuple[str, int] | None
) -> tuple[dict[Layout, SharedModel], str]:
    """The model in each layout that it can be served in, and why the last of the impossible ones is so."""
    models, why = {}, ""
    dtype = None if question.cache_dtype == DTYPE else question.cache_dtype
    for layout in layouts(question.gpus.count, parallel, shares_mlps=can_share_mlps(laid.settings)):
        try:
            models[layout] = SharedModel(laid.settings, layout=layout, weights=question.weights, cache_dtype=dtype)
        except ValueError as error:
            why = f"{layout.name} is impossible: {error}"
    return models, why


def _answer_in_layout(
    question: ServingQuestion, laid: LaidVariant, layout: Layout, model: SharedModel, share: float
) -> ServingAnswer:
    """Whether the batch fits, its sizes, and the times of its step; without rate and price."""
    memory_bytes, sequence_bytes = question.gpus.memory_bytes, model.cache_bytes(question.context)
    largest = model.largest_batch(memory_bytes * share, sequence_bytes)
    answer = ServingAnswer(
        variant=laid.variant,
        kv_heads=laid.kv_heads,
        like=laid.like,
        layout=layout.name,
        groups=layout.groups,
        token_bytes=model.token_bytes,
        sequence_bytes=sequence_bytes,
        weight_bytes=model.weight_bytes,
        parameters=model.parameters.total,
        largest_batch=largest,
    )
    if not largest:
        return replace(answer, why=no_room(model.weight_bytes, sequence_bytes, memory_bytes, share))
    if question.batch is not None and question.batch > largest:
        return replace(answer, why=f"at most {largest:,} sequences fit; got {question.batch:,}")
    if question.ttft_s is not None:
        work = asdict(model.step(1, question.context, question.context))
        prompt_s = _ceilings(question).bound_s(**work)
        answer = replace(answer, prompt_s=prompt_s)
        if prompt_s > question.ttft_s:
            return replace(answer, why=_too_slow("a prompt takes at least", prompt_s, "ttft", question.ttft_s))
    batch = largest if question.batch is None else question.batch
    if question.tpot_s is not None:
        smallest = 1 if question.batch is None else batch
        in_time = _largest_in_time(question, model, smallest, batch)
        if not in_time:
            what = f"a step of batch {smallest:,} takes"
            return replace(answer, why=_too_slow(what, _step_s(question, model, smallest), "tpot", question.tpot_s))
        batch = in_time
    return replace(answer, fits=True, batch=batch, **_step_times(question, model, batch))


def _too_slow(what: str, took_s: float, name: str, allowed_s: float) -> str:
    took, allowed = (f"{ms:,.0f}" if ms > 999 else f"{ms:.3g}" for ms in (1e3 * took_s, 1e3 * allowed_s))
    return f"{what} {took} ms, and {name} allows {allowed} ms"


def _ceilings(question: ServingQuestion) -> Ceilings:
    """Those of the question's devices, which a deadline needs."""
    assert question.gpus.device is not None
    ceilings = question.gpus.device.ceilings(DTYPE)
    assert ceilings is not None
    return ceilings


def _step_s(question: ServingQuestion, model: SharedModel, batch: int) -> float:
    times = _step_times(question, model, batch)
    step_s: float = times["bound_s"] if times.get("expected_s") is None else times["expected_s"]
    return step_s


def _largest_in_time(question: ServingQuestion, model: SharedModel, smallest: int, largest: int) -> int:
    """The largest batch from `smallest` to `largest` whose step meets `tpot`; 0 where none does.

    Between the batches at which a calibration turns to the fit of more rows, a step's time grows with the batch.
    """
    assert question.gpus.device is not None
    calibration = load_calibration(question.gpus.device.name)
    rows = {fit.rows for fit in calibration.products} if calibration else set()
    turns = {batch for count in rows for batch in model.batches_of_rows(count, question.new_tokens)}
    starts = sorted({smallest, *(batch for batch in turns if smallest < batch <= largest)})
    for first, last in reversed([*zip(starts, [*(start - 1 for start in starts[1:]), largest], strict=True)]):
        in_time = bisect_right(
            range(first, last + 1), question.tpot_s or 0.0, key=lambda batch: _step_s(question, model, batch)
        )
        if in_time:
            return first + in_time - 1
    return 0


def _step_times(question: ServingQuestion, model: SharedModel, batch: int) -> dict[str, Any]:
    """Fields of a ServingAnswer: a step's work, its bound and its expected time, or `expected_why`."""
    device, sizes = question.gpus.device, (batch, question.new_tokens, question.context)
    if device is None:
        return {"expected_why": "the devices are named by their memory alone"}
    ceilings = device.ceilings(DTYPE)
    if ceilings is None:
        return {"expected_why": f"{device.name} has no published {DTYPE} peak"}
    work = asdict(model.step(*sizes))
    times = {**work, "bound_s": ceilings.bound_s(**work)}
    expected = model.expected(load_calibration(device.name), *sizes)
    if isinstance(expected, str):
        return times | {"expected_why": expected}
    ends = {"expected_low_s": expected.low, "expected_high_s": expected.high}
    return times | {"expected_s": expected.seconds, **ends, "expected_by": expected.family}


def _shared_clock(answers: Sequence[ServingAnswer]) -> str | None:
    """EXPECTED if all answers that fit have an expected time, BOUND if they only have a bound, else None."""
    fitting = [answer for answer in answers if answer.fits]
    if not fitting or fitting[0].bound_s is None:
        return None
    return EXPECTED if all(answer.expected_s is not None for answer in fitting) else BOUND


def _with_rate_and_price(
    question: ServingQuestion, answer: ServingAnswer, clock: str | None, watts: float | None
) -> ServingAnswer:
    """The answer with tokens a second by `clock`, and with joules and cost of a million tokens where known."""
    step_s = {BOUND: answer.bound_s, EXPECTED: answer.expected_s, None: None}[clock]
    if step_s is None or answer.batch is None:
        return answer
    rate, count = answer.batch * question.new_tokens / step_s, question.gpus.count
    return replace(
        answer,
        tokens_per_s=rate,
        joules_per_million=None if watts is None else watts * count / rate * MILLION,
        cost_per_million=None if question.price is None else question.price * count / HOUR_S / rate * MILLION,
    )
