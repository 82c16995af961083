"""The data of the page's chooser: models, devices, calibrations and algorithms, as coefficients of the closed forms.

The page's scripts choose.js and fit.js answer as suite.theory.answers.choose and .fit do; a test asks both the same
questions. They multiply what stands here and take the larger: the formulas are those of suite.theory, called with a
`Polynomial` for a size. What is zero is left out of a model.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import astuple, fields, replace
from typing import Any, cast

from suite.configuration.files import choices, read_choice, read_settings
from suite.report.decide.polynomial import Polynomial, as_data
from suite.theory.answers import choose, step_memory
from suite.theory.answers.asked import SIZES, short_names
from suite.theory.answers.capacity import WEIGHT_BYTES
from suite.theory.answers.fit import BESIDE, DEFAULTS, algorithm_named, reserve_bytes
from suite.theory.devices.calibration import (
    DTYPE,
    FEWEST_TOKENS,
    GQA,
    LEAST_BOUND_S,
    MLA,
    NEAR_PEAK,
    PRODUCTS_AROUND,
    Calibration,
    Fit,
    Products,
)
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.devices.gpus import GPU_GIGABYTES, SHARDS
from suite.theory.devices.hardware import Hardware, known_hardware
from suite.theory.layers.algebra import CacheRows, Layer, Pass, Scan
from suite.theory.layers.decoder_shape import DecoderShape
from suite.theory.layers.geometry import geometry_from
from suite.theory.layers.latent_shapes import LATENT_SIZES, AbsorbedShape, ExpandedOnceShape, absorbed_shape
from suite.theory.layers.layer_plan import parameters_from, plan_from
from suite.theory.layers.shapes import GroupedShape, LayerShape

HEADS, GROUPS = "h", "g"  # one rank's share of the heads, and of the key-value heads
STEP, PROMPT = (Pass(batch=1, query_len=new, seq_len=2, element_bytes=2) for new in (1, 2))


def decide_data() -> dict[str, Any]:
    """All that the page's chooser computes from, as plain data for JSON."""
    # The layers that a reader can lay over a model, in its sizes; MLA with and without a rank of its queries.
    sizes = {name: _named(name) for name in ("hidden_size", "num_heads", "count")}
    latent = {name: _named(name) for name in LATENT_SIZES}
    variants = {
        "grouped": GroupedShape(**sizes, kv_heads=_named("kv_heads"), head_dim=_named("head_dim")),
        "latent": AbsorbedShape(**sizes, **{**latent, "q_lora_rank": None}, latent_norm=True),
        "ranked": AbsorbedShape(**sizes, **latent, latent_norm=True),
    }
    names = {group: short_names(group).items() for group in ("geometry", "hardware")}
    shorter = {group: {short: name for short, name in pairs if short != name} for group, pairs in names.items()}
    return {
        "models": {name: _model(name) for name in choices("geometry")},
        "own": _own_model(),
        "variants": {name: _layer(layer) for name, layer in variants.items()},
        "moments": {name: [_moments(name, rank) for rank in (None, _named("rank"))] for name in step_memory.PRECISIONS},
        "computed": step_memory.COMPUTED_BYTES,
        "divided": step_memory.DIVIDED,
        "devices": {device.name: _device(device) for device in known_hardware()},
        "algorithms": {
            name: [algorithm.label, algorithm.has_critic, algorithm.has_reference, algorithm.kl_in_loss]
            for name, algorithm in ((name, algorithm_named(name)) for name in choices("algorithm"))
        },
        "short_models": shorter["geometry"],
        "short_devices": shorter["hardware"],
        "weights": WEIGHT_BYTES,
        "cache_dtypes": choose.CACHE_DTYPES,
        "orders": choose.ORDERS,
        "sizes": list(SIZES),
        "most_devices": choose.MOST_DEVICES,
        "usual_groups": choose.USUAL_GROUPS,
        "precisions": step_memory.PRECISIONS,
        "dtype": DTYPE,
        "fewest_tokens": FEWEST_TOKENS,
        "least_bound": LEAST_BOUND_S,
        "near_peak": NEAR_PEAK,
        "products_around": {kernel: PRODUCTS_AROUND[kernel] for kernel in (GQA, MLA)},
        "memory_share": read_settings("capacity")["memory_share"],
        "reserve_bytes": reserve_bytes(),
        "shards": SHARDS,
        "gigabytes": GPU_GIGABYTES,
        "beside": BESIDE,
        "answer": [field.name for field in fields(choose.ServingAnswer)],
        "rl_sizes": [field.name for field in fields(step_memory.ModelSizes)],
        "step": DEFAULTS,
        "most_apart": step_memory.MOST_APART,
    }


def _named(name: str) -> Any:
    return Polynomial.named(name)


def _model(name: str) -> dict[str, Any]:
    """A published model's sizes, parameters, layers and RL sizes; what is zero is left out."""
    settings = read_choice("geometry", name)
    geometry, counted = geometry_from(settings), parameters_from(settings)
    experts = settings.get("moe") or {}
    as_published = choose.variants_of(settings)[0]
    assert as_published.variant == choose.OWN
    shape = absorbed_shape(geometry)
    content: dict[str, Any] = {
        "hidden_size": geometry.hidden_size,
        "num_heads": geometry.num_heads,
        "head_dim": geometry.v_head_dim if geometry.is_latent else geometry.head_dim,
        "groups": choose.usual_groups(geometry),
        "like": as_published.like,
        "kv_heads": as_published.kv_heads,
        "table": settings["vocab_size"] * settings["hidden_size"],
        "mlps": counted.mlps,
        "idle": counted.idle,
        "norms": counted.norms,
        "rest": counted.embeddings + counted.head + counted.other,
        "blocks": counted.blocks,
        "experts": [experts["n_routed"], experts["top_k"], counted.expert_layers] if experts.get("n_routed") else None,
        "layers": [_layer(layer) for layer in plan_from(settings).layers],
    }
    with contextlib.suppress(ValueError):  # of a model that no RL step is computed for
        content["rl"] = list(vars(step_memory.model_sizes(settings)).values())
    latent = {size: getattr(shape, size) or 0 for size in LATENT_SIZES}
    return {key: value for key, value in content.items() if value} | latent


def _own_model() -> dict[str, Any]:
    """A dense model of the reader's own sizes: closed forms in the names of SIZES."""
    hidden, layers, heads, groups, width, inner, vocabulary = map(_named, SIZES)
    layer = GroupedShape(hidden_size=hidden, num_heads=heads, kv_heads=groups, head_dim=width)
    block = DecoderShape(
        layer=layer, num_layers=layers, intermediate_size=inner, vocab_size=vocabulary, ties_embeddings=False
    )
    content = {
        "kv_heads": groups,
        # DeepSeek-V2's ratios, as absorbed_shape has them.
        "kv_lora_rank": 4 * width,
        "qk_nope_head_dim": width,
        "qk_rope_head_dim": width // 2,
        "v_head_dim": width,
        "table": vocabulary * hidden,
        "mlps": layers * (block.block_parameter_count - layer.parameter_count - 2 * hidden),
        "norms": (2 * layers + 1) * hidden,
        "rest": 2 * vocabulary * hidden,
        "blocks": layers,
        "rl": list(vars(step_memory.sizes_of(block)).values()),
    }
    return cast(dict[str, Any], as_data(content))


def _layer(layer: Layer) -> dict[str, Any]:
    """A layer's coefficients, for a share of its heads.

    `heads`: what ranks must divide. A row is [count, width, every, at most, stays in 16 bits]; a scan [FLOPs of a pair,
    elements of a token's queries and outputs, rows, every, window, picks, in chunks]. No bound is 0. `prompt`: those
    scans of a whole prompt, where they are others.
    """
    shares = {name: getattr(layer, name) * _named(HEADS) for name in layer.by_heads}
    content: dict[str, Any] = {
        "kind": layer.kind,
        "count": layer.count,
        "heads": [[name, getattr(layer, name)] for name in layer.by_heads],
        "indexed": bool(getattr(layer, "indexer", None)),
    }
    if isinstance(layer, GroupedShape):
        content["groups"] = layer.kv_heads
        shares["kv_heads"] = layer.kv_heads * _named(GROUPS)
    if isinstance(layer, LayerShape) and replace(layer, window=None).is_plain:
        kernel, groups = (GQA, shares["kv_heads"]) if isinstance(layer, GroupedShape) else (MLA, 1)
        content["plain"] = [kernel, shares["num_heads"], groups, layer.qk_dim, layer.v_dim, layer.window or 0]
    shared = replace(layer, **shares)
    content |= {
        "matrix": shared.matrix_parameters,
        "vector": shared.vector_parameters,
        "state": shared.state_bytes,
        "token": shared.token_work if shared.state_bytes else None,
        "rows": [_rows(rows) for rows in shared.cache_rows],
        "scans": list(map(_scan, shared.scans(STEP))),
    }
    if isinstance(shared, AbsorbedShape) and shared.is_plain:  # a whole prompt is expanded
        content["prompt"] = list(map(_scan, ExpandedOnceShape(**vars(shared)).scans(PROMPT)))
    return cast(dict[str, Any], as_data({key: value for key, value in content.items() if value}))


def _scan(scan: Scan) -> list[Any]:
    """A scan, as `_layer` describes it."""
    return [
        *(scan.pair_flops, scan.token_elements, [_rows(rows) for rows in scan.rows]),
        *(scan.stride, scan.window or 0, scan.picks or 0, int(scan.is_chunked)),
    ]


def _rows(rows: CacheRows) -> list[Any]:
    return [rows.count, rows.width, rows.stride, rows.at_most or 0, int(rows.is_wide)]


class _NamedSizes(step_memory.ModelSizes):
    is_deep = _named("is_deep")


class _NamedStep(step_memory.StepSizes):
    adds_up, completion_len, read_len = map(_named, ("adds_up", "completion_len", "read_len"))


def _moments(precision: str, lora_rank: Any) -> dict[str, Any]:
    """The bytes that an RL step holds throughout, by label, and the moments that may be its peak.

    A moment is its phase, its owner, whether it exists, and its bytes by label.
    """
    names = ("has_critic", "has_reference", "kl_in_loss", "seq_len", "prompt_len", "completions")
    step = _NamedStep(
        model=_NamedSizes(**{field.name: _named(field.name) for field in fields(step_memory.ModelSizes)}),
        precision=precision,
        lora_rank=lora_rank,
        **{name: _named(name) for name in names},
    )

    def bytes_by_label(sizes: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
        parts = {f"{owner}/{kind}": as_data(size) for (owner, kind), size in sizes.items()}
        return {label: size for label, size in parts.items() if size}

    peaks = [
        [moment.phase, moment.owner, as_data(moment.exists), bytes_by_label(moment.held)]
        for moment in step_memory.moments(step)
    ]
    return {"static": bytes_by_label(step_memory.static_parts(step)), "moments": peaks}


def _device(device: Hardware) -> dict[str, Any]:
    """A device's memory, watts and rates, and its calibration where there is one."""
    content: dict[str, Any] = {"memory": device.memory_bytes, "watts": device.tdp_w, "bytes_per_s": device.bytes_per_s}
    if ceilings := device.ceilings(DTYPE):
        content["flops_per_s"] = ceilings.flops_per_s
    if calibration := load_calibration(device.name):
        content["calibration"] = _calibration(calibration)
    return content


def _calibration(calibration: Calibration) -> dict[str, Any]:
    """The fits of a calibration as rows.

    Of kernels: name, heads, key-value heads, two widths, floor, shares of bandwidth and of the peak. Of products: kind,
    weights, rows, floor, share. All end as `_errors`.
    """
    kernels = [
        [*astuple(fit.of), fit.floor_s, *calibration.shares[fit], *_errors(fit.of.family, fit)]
        for fit in calibration.decode
    ]
    products = [
        [fit.kind, fit.weights, fit.rows, fit.floor_s, fit.share, *_errors(fit.family, fit)]
        for fit in calibration.products
    ]
    return {"fits": kernels, "products": products}


def _errors(family: str, fit: Fit | Products) -> list[Any]:
    return [family, fit.p90_error, fit.median_error, fit.cells]
