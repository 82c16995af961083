"""The chooser: whether a model fits on so many devices, in which layout, and what another attention would change.

The model as it is comes first, since its weights can be served with no other attention. Beside it MHA, MQA, GQA and MLA
are laid over the whole model as `suite explain` lays them over its main attention: each layer that mixes tokens becomes
one, windows and recurrent states too, and all else stays. Each takes the layout of the devices that is best for it,
unless the question names one.

The answers are those of capacity.py: weights and cache decide whether a batch fits, and a step takes its bound at
least and its calibration's time where the device has one. Energy is that of devices which draw the given watts all the
while, by default the specification's most; so it is an upper end where a step waits for memory.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from suite.configuration.files import choices, did_you_mean, read_choice, read_settings, read_yaml
from suite.configuration.values import not_negative, one_of, positive_number, whole_number
from suite.theory.answers.capacity import DTYPE, WEIGHT_BYTES, SharedModel, can_share_mlps, no_room
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.devices.gpus import Gpus, gpus_from
from suite.theory.layers.geometry import Geometry, geometry_from
from suite.theory.layers.latent_shapes import LATENT_SIZES, absorbed_shape
from suite.theory.layers.layer_plan import LayerPlan, plan_from
from suite.theory.layers.model_layers import MlpLayer
from suite.theory.layers.parallel import Layout, layouts, read_parallel
from suite.theory.layers.shapes import QUANTISED_DTYPES, GroupedShape, grouped_shape

OWN, MHA, GQA, MQA, MLA = VARIANTS = ("own", "mha", "gqa", "mqa", "mla")
"""OWN is the model as it is."""
CACHE_DTYPES = (DTYPE, *QUANTISED_DTYPES)
FITS, FASTEST, CHEAPEST = ORDERS = ("fits", "fastest", "cheapest")
BOUND, EXPECTED = "bound", "expected"
MILLION, HOUR_S = 1e6, 3600
USUAL_GROUPS, MOST_DEVICES = 8, 1024
SIZES = {
    "hidden_size": None,
    "num_layers": None,
    "num_heads": None,
    "num_kv_heads": None,
    "head_dim": None,
    "intermediate_size": None,
    "vocab_size": None,
}
"""Sizes of a model of one's own, all of which it has to say."""
TOKENS = re.compile(r"(\d+)(k|m)?", re.IGNORECASE)
PREFERRED = {
    "geometry": {
        "8b": "llama-3.1-8b",
        "70b": "llama-3.1-70b",
        "405b": "llama-3.1-405b",
        "1b": "llama-3.2-1b",
        "3b": "llama-3.2-3b",
        "7b": "qwen2.5-7b",
        "32b": "qwen2.5-32b",
        "72b": "qwen2.5-72b",
        "0.5b": "qwen2.5-0.5b",
        "1.5b": "qwen2.5-1.5b",
        "deepseek-r1": "deepseek-v3",
        "r1": "deepseek-v3",
        "671b": "deepseek-v3",
    },
    "hardware": {
        "a100": "a100-80gb-sxm4",
        "h100": "h100-sxm5-80gb",
        "h200": "h200-sxm-141gb",
    },
}
"""Short names that would be of several, and which of them is meant."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question about serving, as `question_from` checks it."""

    name: str
    """The model's."""
    settings: Mapping[str, Any]
    """The model's, as those of conf/geometry."""
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
    price: float | None
    """The price of a device for an hour, in any currency."""
    watts: float | None
    """The draw of a device, by default its specification's most."""


@dataclass(frozen=True, kw_only=True)
class Answer:
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
    """The reason why it does not fit."""
    token_bytes: float | None = None
    """Bytes that a token adds to the cache of the whole model."""
    sequence_bytes: int | None = None
    """Bytes that one sequence keeps on a device that holds it."""
    weight_bytes: float | None = None
    """On each device."""
    parameters: int | None = None
    largest_batch: int | None = None
    batch: int | None = None
    """The batch of the step."""
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
    """The reason why no time is expected."""
    tokens_per_s: float | None = None
    """These three by the clock that all answers share."""
    joules_per_million: float | None = None
    cost_per_million: float | None = None


@dataclass(frozen=True, kw_only=True)
class Answers:
    by: str | None
    """`expected` where such a time is known of all that fit, else `bound`; None where no time is known."""
    watts: float | None
    answers: Sequence[Answer]
    layouts: Sequence[Answer]
    """All possible layouts of the model as it is, the best first."""


def question_from(given: Mapping[str, Any]) -> Question:
    """Check a question: `model` or `sizes`, and the fields of a Question by their names.

    Raises ValueError, in one sentence, for what is wrong in itself, naming near names.
    """
    known = {"price": None, "watts": None, "batch": None, "new_tokens": 1, "weights": DTYPE, "cache_dtype": DTYPE}
    asked = {**known, "model": None, "sizes": None, "parallel": None, **given}
    name, settings = asked_model(asked)
    gpus = gpus_named(asked["gpus"])
    if gpus.count > MOST_DEVICES:
        raise ValueError(f"gpus must be at most {MOST_DEVICES} in number; got {gpus.count}")
    parallel = read_parallel(asked["parallel"], gpus.count)
    context = whole_number(asked, "context", at_least=2)
    new_tokens = whole_number(asked, "new_tokens", at_least=1, at_most=context - 1)
    if parallel is not None and parallel[0] == "dcp" and gpus.count > 1 and -(-context // gpus.count) <= new_tokens:
        raise ValueError(
            f"context / devices must be above new_tokens under dcp; got {context}, {gpus.count} and {new_tokens}"
        )
    batch = None if asked["batch"] is None else whole_number(asked, "batch", at_least=1)
    return Question(
        name=name,
        settings=settings,
        gpus=gpus,
        parallel=parallel,
        context=context,
        batch=batch,
        new_tokens=new_tokens,
        weights=one_of(asked, "weights", WEIGHT_BYTES),
        cache_dtype=one_of(asked, "cache_dtype", CACHE_DTYPES),
        price=None if asked["price"] is None else not_negative(asked, "price"),
        watts=None if asked["watts"] is None else positive_number(asked, "watts"),
    )


def answers_to(question: Question, order: str = FITS) -> Answers:
    """Answer for the model as it is, and then for each variant over it, the best by `order` first."""
    share = read_settings("capacity")["memory_share"]
    watts = question.watts
    if watts is None and question.gpus.device is not None:
        watts = question.gpus.device.tdp_w

    def compared(answers: Sequence[Answer]) -> list[Answer]:
        by = _clock([answer for answer in answers if answer.fits])
        return ordered([_priced(question, answer, by, watts) for answer in answers], order)

    layouts_of = [compared(_answers(question, laid, share)) for laid in variants_of(question.settings)]
    answers = compared([of_variant[0] for of_variant in layouts_of])
    return Answers(
        by=_clock([answer for answer in answers if answer.fits]), watts=watts, answers=answers, layouts=layouts_of[0]
    )


def ordered(answers: Sequence[Answer], order: str) -> list[Answer]:
    """Sort answers by one of ORDERS, the model as it is before all variants; those of which the size is not known come
    behind, and last those that do not fit."""

    def place(answer: Answer) -> tuple[bool, bool, float]:
        is_variant = answer.variant != OWN
        if not answer.fits:
            return is_variant, True, -(answer.largest_batch or 0)
        cost = answer.joules_per_million if answer.cost_per_million is None else answer.cost_per_million
        size = {FITS: answer.largest_batch, FASTEST: answer.tokens_per_s, CHEAPEST: cost}[order]
        return is_variant, False, float("inf") if size is None else size if order == CHEAPEST else -size

    return sorted(answers, key=place)


@dataclass(frozen=True, kw_only=True)
class Laid:
    """A variant over a model."""

    variant: str
    settings: Mapping[str, Any]
    kv_heads: int | None = None
    like: str | None = None


def variants_of(settings: Mapping[str, Any]) -> list[Laid]:
    """Return the model as it is and, laid over it, each variant that it is not already."""
    geometry, plan = geometry_from(settings), plan_from(settings)
    like, own_groups = _own_variant(geometry, plan)
    laid = [Laid(variant=OWN, settings=settings, like=like, kv_heads=own_groups)]
    seen = {own_groups}
    for variant, groups in {MHA: geometry.num_heads, GQA: usual_groups(geometry), MQA: 1}.items():
        if groups not in seen:
            seen.add(groups)
            sizes = _grouped_sizes(settings, plan, grouped_shape(geometry, kv_heads=groups).head_dim, groups)
            laid.append(Laid(variant=variant, settings=sizes, kv_heads=groups))
    if like != MLA:
        shape = absorbed_shape(geometry)
        latent = {name: getattr(shape, name) for name in LATENT_SIZES}
        sizes = {**_without_attention(settings, plan, "latent"), "attention": MLA, "num_kv_heads": None, **latent}
        laid.append(Laid(variant=MLA, settings=sizes))
    return laid


def usual_groups(geometry: Geometry) -> int:
    """Return the geometry's own groups where it has them, else the usual eight, or the nearest divisor below."""
    if geometry.attention == GQA:
        return geometry.num_kv_heads
    heads = geometry.num_heads
    return max(count for count in range(1, USUAL_GROUPS + 1) if heads % count == 0 and count < max(2, heads))


def gpus_named(text: object) -> Gpus:
    """Read a set of GPUs by short names too, as 4xh100. Raises ValueError, in one sentence, for what is none."""
    count, _, one = text.partition("x") if isinstance(text, str) else ("", "", "")
    return gpus_from(f"{count}x{short_names('hardware').get(one, one)}" if one else text)


def tokens_from(text: str, name: str) -> int:
    """Read a number of tokens, as 32768 or 32k, which is 32 times 1,024."""
    found = TOKENS.fullmatch(text.strip().replace(",", ""))
    if found is None:
        raise ValueError(f"{name} must be a whole number of tokens, as 32768 or 32k; got {text!r}")
    return int(found[1]) * {"": 1, "k": 1024, "m": 1024**2}[(found[2] or "").lower()]


def sizes_from(text: str) -> dict[str, int]:
    """Read sizes of one's own, as `hidden_size=4096,num_layers=32,…`."""
    given: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if name not in SIZES:
            raise ValueError(f"sizes must be of {', '.join(SIZES)}; got {name!r}{did_you_mean(name, SIZES)}")
        if not value.isdecimal():
            raise ValueError(f"sizes.{name} must be a whole number of at least 1; got {value!r}")
        given[name] = int(value)
    return given


def model_named(name: str) -> str:
    """Return a published geometry's name by it or by a short one. Raises ValueError with near names for another."""
    found = short_names("geometry").get(name, name)
    if found not in choices("geometry"):
        parts = set(name.split("-"))
        near = [option for option in choices("geometry") if parts <= set(option.split("-"))]
        meant = f"; did you mean {' or '.join(near[:4])}?" if near else did_you_mean(name, choices("geometry"))
        raise ValueError(f"model must be a geometry, which `suite ls geometry` lists; got {name!r}{meant}")
    return found


@functools.cache
def short_names(group: str) -> dict[str, str]:
    """Return the short names of a group's options: aliases, and each run of a name's parts that no other name has."""
    runs: dict[str, list[str]] = {}
    for option in choices(group):
        parts = option.split("-")
        every = {"-".join(parts[start:end]) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1)}
        aliases = read_yaml(f"{group}/{option}.yaml").get("aliases", ()) if group == "hardware" else ()
        for run in every | set(aliases):
            runs.setdefault(run, []).append(option)
    found = {run: options[0] for run, options in runs.items() if len(options) == 1}
    return found | PREFERRED.get(group, {}) | {option: option for option in choices(group)}


def own_model(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a dense model of one's own. Raises ValueError for wrong sizes."""
    checked = {name: whole_number(sizes, name, at_least=1, where="sizes.") for name in SIZES}
    heads, groups, width = (checked[name] for name in ("num_heads", "num_kv_heads", "head_dim"))
    if heads % groups:
        raise ValueError(f"sizes.num_heads must be a multiple of sizes.num_kv_heads; got {heads} and {groups}")
    if width % 4:
        raise ValueError(f"sizes.head_dim must be a multiple of 4, since MLA rotates half of it in pairs; got {width}")
    return {
        "name": "own",
        "attention": MHA if groups == heads else GQA,
        "rope_theta": 10_000,
        "tie_embeddings": False,
        **checked,
    }


def asked_model(asked: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if (asked["model"] is None) == (asked["sizes"] is None):
        raise ValueError(
            "a question is of one model: say model or sizes; got " + ("both" if asked["model"] else "none")
        )
    if asked["sizes"] is not None:
        return "own", own_model(asked["sizes"])
    name = model_named(asked["model"])
    return name, read_choice("geometry", name)


def _own_variant(geometry: Geometry, plan: LayerPlan) -> tuple[str | None, int | None]:
    """Which variant the model as it is is, and its groups; None where its layers are of several kinds."""
    mixing = [layer for layer in plan.layers if not isinstance(layer, MlpLayer)]
    if len(mixing) != 1 or not mixing[0].is_plain:
        return None, None
    (layer,) = mixing
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


def _without_attention(settings: Mapping[str, Any], plan: LayerPlan, kind: str) -> dict[str, Any]:
    """A model's settings with layers of one kind instead of its own, but for its blocks without attention."""
    blocks = sum(layer.count for layer in plan.layers if isinstance(layer, MlpLayer))
    mixing = sum(layer.count for layer in plan.layers) - blocks
    rest = {name: value for name, value in settings.items() if name not in OWN_ATTENTION}
    return {
        **rest,
        "layers": [{"kind": kind, "count": mixing}, *([{"kind": "mlp", "count": blocks}] if blocks else [])],
    }


def _grouped_sizes(settings: Mapping[str, Any], plan: LayerPlan, width: int, groups: int) -> dict[str, Any]:
    return {
        **_without_attention(settings, plan, "full"),
        "attention": GQA,
        "head_dim": width,
        "num_kv_heads": groups,
    }


def _answers(question: Question, laid: Laid, share: float) -> list[Answer]:
    """Answer for one variant in each layout that is possible, but for what hangs on the clock; else say once why."""
    models, why = _models(question, laid, question.parallel)
    if models:
        return [_answer(question, laid, layout, model, share) for layout, model in models.items()]
    if question.parallel is not None and question.parallel[0] == "tp":
        possible = [layout.name for layout in _models(question, laid, None)[0] if not layout.shares_mlps]
        why += f"; possible: {', '.join(possible)}"
    return [Answer(variant=laid.variant, kv_heads=laid.kv_heads, like=laid.like, why=why)]


def _models(question: Question, laid: Laid, parallel: tuple[str, int] | None) -> tuple[dict[Layout, SharedModel], str]:
    """The possible layouts, and why the last of the others is impossible."""
    models, why = {}, ""
    dtype = None if question.cache_dtype == DTYPE else question.cache_dtype
    for layout in layouts(question.gpus.count, parallel, shares_mlps=can_share_mlps(laid.settings)):
        try:
            models[layout] = SharedModel(laid.settings, layout=layout, weights=question.weights, cache_dtype=dtype)
        except ValueError as error:
            why = f"{layout.name} is impossible: {error}"
    return models, why


def _answer(question: Question, laid: Laid, layout: Layout, model: SharedModel, share: float) -> Answer:
    gpus = question.gpus
    sequence_bytes = model.cache_bytes(question.context)
    largest = model.largest_batch(gpus.memory_bytes * share, sequence_bytes)
    answer = Answer(
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
        return replace(answer, why=no_room(model.weight_bytes, sequence_bytes, gpus.memory_bytes, share))
    batch = largest if question.batch is None else question.batch
    if batch > largest:
        return replace(answer, why=f"at most {largest:,} sequences fit; got {batch:,}")
    return replace(answer, fits=True, batch=batch, **_times(question, model, batch))


def _times(question: Question, model: SharedModel, batch: int) -> dict[str, Any]:
    """The bound and the expected time of a step, or why there is none."""
    device, sizes = question.gpus.device, (batch, question.new_tokens, question.context)
    if device is None:
        return {"expected_why": "the devices are named by their memory alone"}
    ceilings = device.ceilings(DTYPE)
    if ceilings is None:
        return {"expected_why": f"{device.name} has no published {DTYPE} peak"}
    work = model.step(*sizes)
    bound_s = ceilings.bound_s(flops=work.flops, traffic_bytes=work.traffic_bytes)
    found = {"flops": work.flops, "traffic_bytes": work.traffic_bytes, "bound_s": bound_s}
    expected = model.expected(load_calibration(device.name), *sizes)
    if isinstance(expected, str):
        return found | {"expected_why": expected}
    ends = {"expected_low_s": expected.low, "expected_high_s": expected.high}
    return found | {"expected_s": expected.seconds, **ends, "expected_by": expected.family}


def _clock(fitting: Sequence[Answer]) -> str | None:
    """The clock by which all that fit compare."""
    if not fitting or fitting[0].bound_s is None:
        return None
    return EXPECTED if all(answer.expected_s is not None for answer in fitting) else BOUND


def _priced(question: Question, answer: Answer, by: str | None, watts: float | None) -> Answer:
    """Add the rate by the shared clock, and what a million tokens take."""
    step_s = {BOUND: answer.bound_s, EXPECTED: answer.expected_s, None: None}[by]
    if step_s is None or answer.batch is None:
        return answer
    rate, count = answer.batch * question.new_tokens / step_s, question.gpus.count
    return replace(
        answer,
        tokens_per_s=rate,
        joules_per_million=None if watts is None else watts * count / rate * MILLION,
        cost_per_million=None if question.price is None else question.price * count / HOUR_S / rate * MILLION,
    )
