"""`suite explain`: what a variant is, in about twenty lines, with numbers from the closed forms. Needs no torch.

The texts lie in `suite/texts/explain`, a file a language, with a placeholder wherever a number or a table stands, so
that no language can claim a number of its own.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.commands import explain_rl
from suite.configuration.files import read_text
from suite.configuration.values import one_of
from suite.records import numbers
from suite.theory.answers.choose import usual_groups
from suite.theory.answers.published import published_caches
from suite.theory.devices.calibration import DTYPE, ELEMENT_BYTES, GQA, WIDTHS, Expected
from suite.theory.devices.calibration_file import calibrated_by, load_calibration
from suite.theory.devices.hardware import load_hardware
from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import Geometry, load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.layer_plan import load_plan
from suite.theory.layers.roofline import Ceilings
from suite.theory.layers.shapes import GroupedShape, LayerShape, cache_bytes, grouped_shape

DEFAULT_GEOMETRY = {"mla": "deepseek-v3", "gqa": "llama-3.1-8b", "grpo": "llama-3.1-8b", "ppo": "llama-3.1-8b"}
DEVICES = {"H100": "h100-sxm5-80gb", "H200": "h200-sxm-141gb", "H20": "h20-96gb"}
CONTEXT = 131_072
RANKS = 8
"""Tensor-parallel devices of the text's example."""
LISTED = 5
"""Smaller models named before the list ends in dots."""


def explain(topic: str, *, geometry: str | None = None, lang: str = "en", calibration: Path | None = None) -> str:
    """Write the text for a topic. `calibration`: a file of `suite calibrate`.

    Raises ValueError, naming the choices, for an unknown topic, geometry or language, and for a file that is none.
    """
    topic = one_of({"topic": topic}, "topic", DEFAULT_GEOMETRY)
    words = read_text("explain", lang)
    sizes = load_geometry(geometry or DEFAULT_GEOMETRY[topic])
    if topic in explain_rl.CLAIMS:
        facts = explain_rl.facts_of(topic, sizes.name, words, _in_columns)
    else:
        with calibrated_by(calibration):
            facts = _facts(sizes, words)
    text: str = words[topic].format_map(facts)
    return text


def _facts(geometry: Geometry, words: Mapping[str, Any]) -> dict[str, str]:
    """Every placeholder's text."""
    gqa = grouped_shape(geometry, kv_heads=usual_groups(geometry))
    mla = absorbed_shape(geometry)
    mha = grouped_shape(geometry, kv_heads="all")
    shapes: dict[str, LayerShape] = {
        "MHA": mha,
        f"GQA-{gqa.kv_heads}": gqa,
        "MQA": grouped_shape(geometry, kv_heads=1),
        "MLA": mla,
    }
    # Published models that cache fewer elements a token and layer, averaged over their layers.
    per_layer = {model.name: model.plan.growth_elements_per_layer for model in published_caches()}
    per_layer.pop(geometry.name, None)
    smaller = {name: count for name, count in per_layer.items() if 0 < count < mla.cache_elements_per_token}
    listed = [f"{name} {count:,.0f}" for name, count in sorted(smaller.items(), key=lambda item: item[1])]
    return {
        "geometry": geometry.name,
        "heads": str(geometry.num_heads),
        "head_dim": str(mha.head_dim),
        "groups": str(gqa.kv_heads),
        "layers": str(geometry.num_layers),
        "latent": str(mla.kv_lora_rank),
        "rotary": str(mla.qk_rope_head_dim),
        "mla_elements": f"{mla.cache_elements_per_token:,}",
        "mha_elements": f"{mha.cache_elements_per_token:,}",
        "gqa_elements": f"{gqa.cache_elements_per_token:,}",
        "heads_a_group": str(geometry.num_heads // gqa.kv_heads),
        "table": _table(shapes, geometry.num_layers, words),
        "context": f"{CONTEXT:,}",
        "speed": _ratios(decode_speedups(gqa, mla)),
        "speed_mha": _ratios(decode_speedups(mha, gqa)),
        "expected": _expected(gqa, mla, words),
        "expected_mha": _expected(mha, gqa, words),
        "measured": _measured(gqa, words),
        "ranks": str(RANKS),
        # Heads are shared out among the ranks, the latent is not.
        "gqa_rank": f"{2 * max(1, gqa.kv_heads // RANKS) * gqa.head_dim:,}",
        "mla_rank": f"{mla.cache_elements_per_token:,}",
        "notes": _notes(geometry, words),
        "smaller": ", ".join(listed[:LISTED] + ["…"] * (len(listed) > LISTED)) or str(words["none"]),
    }


def _notes(geometry: Geometry, words: Mapping[str, Any]) -> str:
    """Say how the variants that the model itself does not have are laid over it, and which limits its figures have."""
    notes = ["latent_model" if geometry.is_latent else "grouped_model"]
    plan = load_plan(geometry.name)
    if len(plan.layers) > 1 or plan.fixed_bytes:
        notes.append("plan")
    facts = {
        "geometry": geometry.name,
        "growth": numbers.bytes_iec(plan.growth_bytes),
        "fixed": numbers.bytes_iec(plan.fixed_bytes),
        "context": f"{CONTEXT:,}",
        "whole": f"{plan.cache_bytes(CONTEXT) / 1e9:.1f}",
    }
    return "\n".join(words[note].format(**facts) for note in notes)


def decode_intensity(shape: LayerShape) -> float:
    """FLOP per byte of a decode step: the kernel's arithmetic over the cache that it reads."""
    step = _decode_step()
    return shape.core_flops(step) / cache_bytes(shape, step)


def _decode_step() -> Pass:
    return Pass(batch=1, query_len=1, seq_len=CONTEXT, element_bytes=ELEMENT_BYTES)


def _ceilings(device: str) -> Ceilings:
    ceilings = load_hardware(DEVICES[device]).ceilings(DTYPE)
    assert ceilings is not None, device
    return ceilings


def _ratios(ratios: Sequence[tuple[str, float]]) -> str:
    """Write how many times as fast a decode step is, by device or size."""
    return ", ".join(f"{name} {ratio:.1f}×" if ratio >= 1 else f"{name} {ratio:.2f}×" for name, ratio in ratios)


def decode_speedups(before: LayerShape, after: LayerShape) -> list[tuple[str, float]]:
    """Least time of a decode step of `before` over that of `after`, for each device."""
    step = _decode_step()

    def bound_s(shape: LayerShape, device: str) -> float:
        flops, traffic = shape.core_flops(step), cache_bytes(shape, step)
        return _ceilings(device).bound_s(flops=flops, traffic_bytes=traffic)

    return [(device, bound_s(before, device) / bound_s(after, device)) for device in DEVICES]


def expected_times(before: LayerShape, after: LayerShape) -> dict[str, tuple[Expected, Expected]]:
    """Return both times of a decode step that are expected of good kernels, by device with a calibration of both."""
    found = {}
    for device, name in DEVICES.items():
        calibration = load_calibration(name)
        if calibration is not None:
            first, second = (calibration.expected(shape, _decode_step(), DTYPE) for shape in (before, after))
            if first and second:
                found[device] = first, second
    return found


def _expected(before: LayerShape, after: LayerShape, words: Mapping[str, Any]) -> str:
    """Write how many times as fast a decode step of `after` is expected to be, and by which fits."""
    times = expected_times(before, after)
    families = dict.fromkeys(", ".join(found.family for found in both) for both in times.values())
    ratios = _ratios([(device, first.seconds / second.seconds) for device, (first, second) in times.items()])
    if not times:
        return str(words["not_calibrated"])
    unknown = [words["unknown"].format(device=device) for device in DEVICES if device not in times]
    return ", ".join([f"{ratios} ({'; '.join(families)})", *unknown])


def _measured(gqa: GroupedShape, words: Mapping[str, Any]) -> str:
    """Write how many times as fast others measured MLA at these heads, on the first device of which they say it."""
    for device, name in DEVICES.items():
        calibration = load_calibration(name)
        of_sizes = [
            found
            for found in (calibration.speedups if calibration else ())
            if (found.heads, found.kv_heads, gqa.head_dim) == (gqa.num_heads, gqa.kv_heads, WIDTHS[GQA][1])
        ]
        ranges = [("–".join(f"{tokens // 1024}k" for tokens in found.tokens), found.speedup) for found in of_sizes]
        if ranges:
            return f"{device}: {_ratios(ranges)}"
    return str(words["not_measured"])


def _table(shapes: dict[str, LayerShape], num_layers: int, words: Mapping[str, Any]) -> str:
    """Write one line a variant: cache, intensity, and on each device which ceiling holds it back."""
    step = _decode_step()
    ridges = [f"{device} {_ceilings(device).ridge_flops_per_byte:.0f}" for device in DEVICES]
    rows = [["", *(column.format(context=f"{CONTEXT:,}") for column in words["columns"]), *ridges]]
    for name, shape in shapes.items():
        whole_gb = cache_bytes(shape, step) * num_layers / 1e9
        bound_by = [
            words[_ceilings(device).regime(flops=shape.core_flops(step), traffic_bytes=cache_bytes(shape, step))]
            for device in DEVICES
        ]
        per_token = f"{shape.cache_elements_per_token * ELEMENT_BYTES:,}"
        rows.append([name, per_token, f"{whole_gb:.1f}", f"{decode_intensity(shape):.1f}", *bound_by])
    return _in_columns(rows)


def _in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Write rows below each other, flush right."""
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(map(_right, row, widths)) for row in rows)


def _right(text: str, width: int) -> str:
    return " " * (width - _width(text)) + text


def _width(text: str) -> int:
    """Terminal columns: an East Asian wide character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
