"""The data of the page's chooser: models, devices, calibrations and algorithms, as small as the closed forms allow.

suite/report/page/scripts/choose.js computes the answers of suite.theory.answers.choose and .fit from it alone; a test
asks both the same questions. A field at its default is left out.
"""

from collections.abc import Mapping
from dataclasses import asdict, astuple, fields
from typing import Any

from suite.configuration.files import choices, read_choice, read_settings, read_text
from suite.theory.answers.capacity import WEIGHT_BYTES
from suite.theory.answers.choose import (
    CACHE_DTYPES,
    MOST_DEVICES,
    ORDERS,
    OWN,
    SIZES,
    Answer,
    short_names,
    usual_groups,
    variants_of,
)
from suite.theory.answers.fit import BESIDE, DEFAULTS, algorithm_named, reserve_bytes
from suite.theory.answers.step_memory import MOST_APART, PRECISIONS, ModelSizes, model_sizes
from suite.theory.devices.calibration import (
    DTYPE,
    FEWEST_TOKENS,
    GQA,
    LEAST_BOUND_S,
    MLA,
    PRODUCTS_AROUND,
    Calibration,
    Fit,
    Products,
    load_calibration,
)
from suite.theory.devices.gpus import GPU_GIGABYTES, SHARDS
from suite.theory.devices.hardware import Hardware, known_hardware
from suite.theory.layers.geometry import geometry_from
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.layer_kinds import LatentLayers, LayerKind
from suite.theory.layers.layer_plan import plan_from
from suite.theory.layers.parameters import parameters_from

LATENT = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
SHAPES = ("absorbed", "expanded", "geometry")
"""Fields of a layer that follow from others."""


def decide_data() -> dict[str, Any]:
    """Return all that the chooser knows, as plain data."""
    return {
        "models": {name: _model(name) for name in choices("geometry")},
        "devices": {device.name: _device(device) for device in known_hardware()},
        "algorithms": {name: _algorithm(name) for name in choices("algorithm")},
        "short_models": _shorter("geometry"),
        "short_devices": _shorter("hardware"),
        "weights": WEIGHT_BYTES,
        "cache_dtypes": CACHE_DTYPES,
        "orders": ORDERS,
        "sizes": list(SIZES),
        "most_devices": MOST_DEVICES,
        "precisions": PRECISIONS,
        "dtype": DTYPE,
        "fewest_tokens": FEWEST_TOKENS,
        "least_bound": LEAST_BOUND_S,
        "products_around": {kernel: PRODUCTS_AROUND[kernel] for kernel in (GQA, MLA)},
        "memory_share": read_settings("capacity")["memory_share"],
        "reserve_bytes": reserve_bytes(),
        "shards": SHARDS,
        "gigabytes": GPU_GIGABYTES,
        "beside": BESIDE,
        "answer": [field.name for field in fields(Answer)],
        "rl_sizes": [field.name for field in fields(ModelSizes)],
        "step": DEFAULTS,
        "most_apart": MOST_APART,
    }


def decide_words(lang: str) -> dict[str, str]:
    """Return the sentences of the chooser's script in one language, by their keys."""
    return {key: text for key, text in read_text("report", lang).items() if key.startswith("decide.")}


def _model(name: str) -> dict[str, Any]:
    settings = read_choice("geometry", name)
    geometry, counted = geometry_from(settings), parameters_from(settings)
    experts = settings.get("moe") or {}
    own = variants_of(settings)[0]
    assert own.variant == OWN
    shape = absorbed_shape(geometry)
    found = {
        "hidden": geometry.hidden_size,
        "heads": geometry.num_heads,
        "width": geometry.v_head_dim if geometry.is_latent else geometry.head_dim,
        "groups": usual_groups(geometry),
        "like": own.like,
        "kv_heads": own.kv_heads,
        "latent": [getattr(shape, size) for size in LATENT],
        "table": settings["vocab_size"] * settings["hidden_size"],
        "mlps": counted.mlps,
        "idle": counted.idle,
        "norms": counted.norms,
        "rest": counted.embeddings + counted.head + counted.other,
        "blocks": counted.blocks,
        "experts": [experts["n_routed"], experts["top_k"], counted.expert_layers] if experts.get("n_routed") else None,
        "layers": [_layer(layer) for layer in plan_from(settings).layers],
        "rl": _rl(settings),
    }
    return {key: value for key, value in found.items() if value}


def _layer(layer: LayerKind) -> dict[str, Any]:
    """A layer's sizes; of a latent one those of its geometry."""
    defaults = {field.name: field.default for field in fields(layer)}
    sizes = {name: getattr(layer, name) for name in defaults if name not in (*SHAPES, "hidden_size")}
    if isinstance(layer, LatentLayers):
        sizes |= {"num_heads": layer.geometry.num_heads, "latent": [getattr(layer.geometry, size) for size in LATENT]}
    indexer = sizes.pop("indexer", None)
    if indexer is not None:
        indexer_defaults = {field.name: field.default for field in fields(indexer)}
        sizes["indexer"] = {name: value for name, value in asdict(indexer).items() if value != indexer_defaults[name]}
    settings = {name: value for name, value in sizes.items() if value is not None and value != defaults.get(name)}
    return {"kind": layer.kind, **settings}


def _rl(settings: Mapping[str, Any]) -> list[int] | None:
    """The sizes that a step's memory follows from, in the order of ModelSizes; None of a model that it is not
    of."""
    try:
        return [int(value) for value in asdict(model_sizes(settings)).values()]
    except ValueError:
        return None


def _device(device: Hardware) -> dict[str, Any]:
    ceilings = device.ceilings(DTYPE)
    found: dict[str, Any] = {"memory": device.memory_bytes, "watts": device.tdp_w, "bytes_per_s": device.bytes_per_s}
    if ceilings is not None:
        found["flops_per_s"] = ceilings.flops_per_s
    calibration = load_calibration(device.name)
    if calibration is not None:
        found["calibration"] = _calibration(calibration)
    return found


def _calibration(calibration: Calibration) -> dict[str, Any]:
    """The fits as rows. Of kernels: name, heads, key-value heads, two widths, floor, shares of bandwidth and of
    the peak; of products: kind, weights, rows, floor, share. Then all end with the family and its errors: nine in ten
    within, median, cells."""
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


def _algorithm(name: str) -> list[Any]:
    known = algorithm_named(name)
    return [known.label, known.has_critic, known.has_reference, known.kl_in_loss]


def _shorter(group: str) -> dict[str, str]:
    return {short: name for short, name in short_names(group).items() if short != name}
