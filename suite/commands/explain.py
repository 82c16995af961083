"""`suite explain`: what a variant is, in about twenty lines, with numbers from the closed forms. Needs no torch.

The texts lie in `suite/texts/explain`, a file a language, with a placeholder wherever a number or a table stands, so
that no language can claim a number of its own.
"""

import textwrap
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.configuration.files import read_choice, read_settings, read_text, read_yaml
from suite.configuration.values import one_of
from suite.records import numbers
from suite.theory.answers.choose import usual_groups
from suite.theory.answers.fit import algorithm_named, reserve_bytes
from suite.theory.answers.published import published_caches
from suite.theory.answers.step_memory import (
    BF16,
    CRITIC,
    GRADIENTS,
    LOGITS,
    OPTIMISER,
    PARAMETERS,
    POLICY,
    REFERENCE,
    UPDATE,
    StepSizes,
    held_in,
    model_sizes,
    step_peak,
)
from suite.theory.devices.calibration import DTYPE, GQA, WIDTHS, Expected
from suite.theory.devices.calibration_file import calibrated_by, load_calibration
from suite.theory.devices.gpus import GPU_GIGABYTES, SHARDS
from suite.theory.devices.hardware import load_hardware
from suite.theory.layers.algebra import SERVED_BYTES, Pass
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
CLAIMS = {"grpo": "grpo-cheaper", "ppo": "grpo-sample-efficient"}
"""The claim of conf/claims.yaml whose literature a topic quotes: what is saved, and what the critic is worth."""
WITHOUT_KL, LOW_LAMBDA = "dr_grpo", "ppo_lam95"
PARTS = {
    "weights": [(POLICY, PARAMETERS)],
    "gradients": [(POLICY, GRADIENTS)],
    "moments": [(POLICY, OPTIMISER)],
    "reference": [(REFERENCE, PARAMETERS)],
    "critic": [(CRITIC, PARAMETERS), (CRITIC, OPTIMISER)],
    "logits": [(POLICY, LOGITS)],
}
"""Rows of the table, by owner and kind; the rest is activations, and little else."""
REST, TOGETHER = "rest", "together"
SMALLER = 10
"""Times that a small critic is smaller (AsyPPO, arXiv 2510.01656)."""
FAR = 100
"""Tokens between an action and its reward, in the text's example."""
LEAST_SAVED = 1e-3
"""A smaller share is nothing."""
WIDTH = 119


def explain(topic: str, *, geometry: str | None = None, lang: str = "en", calibration: Path | None = None) -> str:
    """Write the text for a topic. `calibration`: a file of `suite calibrate`.

    Raises ValueError, naming the choices, for an unknown topic, geometry or language, and for a file that is none.
    """
    topic = one_of({"topic": topic}, "topic", DEFAULT_GEOMETRY)
    words = read_text("explain", lang)
    sizes = load_geometry(geometry or DEFAULT_GEOMETRY[topic])
    if topic in CLAIMS:
        facts = _rl_facts(topic, sizes.name, words)
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
    return Pass(batch=1, query_len=1, seq_len=CONTEXT, element_bytes=SERVED_BYTES)


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
        per_token = f"{shape.cache_elements_per_token * SERVED_BYTES:,}"
        rows.append([name, per_token, f"{whole_gb:.1f}", f"{decode_intensity(shape):.1f}", *bound_by])
    return _in_columns(rows)


def _in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Write rows below each other, flush right."""
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  " + "  ".join(" " * (width - _width(text)) + text for text, width in zip(row, widths, strict=True))
        for row in rows
    )


def _width(text: str) -> int:
    """Terminal columns: an East Asian wide character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _rl_facts(topic: str, geometry: str, words: Mapping[str, Any]) -> dict[str, str]:
    """Every placeholder's text: what an update of each algorithm holds of a model, and what others found.

    Raises ValueError for a geometry with experts or uneven layers.
    """
    settings = read_settings("rl_memory")
    seq_len, cache = settings["seq_len"], load_plan(geometry).cache_bytes(settings["seq_len"])
    steps = [_step(geometry, name, settings) for name in ("grpo", WITHOUT_KL, "ppo")]
    grpo, free, ppo = map(_parts, steps)
    own_bytes = sum(held_in(UPDATE, steps[2])[label] for label in PARTS["critic"])
    weights_bytes = held_in(UPDATE, steps[2])[CRITIC, PARAMETERS]
    model = steps[0].model

    def with_critic(size_bytes: float) -> dict[str, float]:
        """PPO's update with another critic, which is as much larger or smaller in all."""
        parts = {**ppo, "critic": size_bytes}
        return {**parts, TOGETHER: ppo[TOGETHER] - own_bytes + size_bytes}

    on_trunk = with_critic(own_bytes / weights_bytes * model.hidden * SERVED_BYTES)

    def saved(from_bytes: float, kept_bytes: float = grpo[TOGETHER]) -> str:
        share = 1 - kept_bytes / from_bytes
        return numbers.percent(share) if share >= LEAST_SAVED else f"< {numbers.percent(LEAST_SAVED)}"

    low_lambda = read_choice("algorithm", LOW_LAMBDA)["lam"]
    (claim,) = (claim for claim in read_yaml("claims.yaml")["claims"] if claim["id"] == CLAIMS[topic])
    quoted = [f"{words['says'][work['says']]}{work['what']} ({work['source']})" for work in claim["literature"]]
    wrap = textwrap.TextWrapper(WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    literature = "\n".join(line for text in quoted for line in wrap.wrap(text))
    return {
        "geometry": geometry,
        "billions": f"{model.parameters / 1e9:.3g}",
        "group": str(settings["num_generations"]),
        "clip": f"{settings['clip_ratio_low']:g}",
        "kl": f"{read_choice('algorithm', 'grpo')['kl_coef']:g}",
        "lam": f"{read_choice('algorithm', 'ppo')['lam']:g}",
        "lam_low": f"{low_lambda:g}",
        "far": str(FAR),
        "left": numbers.percent(low_lambda**FAR),
        "seq_len": f"{seq_len:,}",
        "table": _in_columns(_rows([grpo, free, ppo, on_trunk], [*map(_gpus, steps), _gpus(steps[0])], words)),
        "saved": saved(ppo[TOGETHER]),
        "saved_together": saved(ppo[TOGETHER] + weights_bytes),
        "saved_free": saved(ppo[TOGETHER], free[TOGETHER]),
        "saved_small": saved(with_critic(own_bytes / SMALLER)[TOGETHER]),
        "smaller": str(SMALLER),
        "saved_shared": saved(on_trunk[TOGETHER]),
        "critic": f"{weights_bytes / SERVED_BYTES / 1e9:.3g}",
        "cache": numbers.bytes_iec(cache),
        "at_once": f"{int((grpo['gradients'] + grpo['logits'] + grpo[REST]) // cache):,}",
        "literature": literature,
    }


def _step(geometry: str, algorithm: str, settings: Mapping[str, Any]) -> StepSizes:
    """A step of an algorithm with workload=rl_memory's own settings, on one device."""
    holds = algorithm_named(algorithm)
    return StepSizes(
        model=model_sizes(read_choice("geometry", geometry)),
        has_critic=holds.has_critic,
        has_reference=holds.has_reference,
        kl_in_loss=holds.kl_in_loss,
        precision=BF16,
        lora_rank=None,
        seq_len=settings["seq_len"],
        prompt_len=settings["prompt_len"],
        completions=settings["prompts_per_step"] * settings["num_generations"],
        micro_batch=settings["micro_batch"],
    )


def _parts(step: StepSizes) -> dict[str, float]:
    """The bytes of an update by the table's rows."""
    held = Counter(held_in(UPDATE, step))
    parts = {row: float(sum(held[label] for label in labels)) for row, labels in PARTS.items()}
    whole = float(sum(held.values()))
    return {**parts, REST: whole - sum(parts.values()), TOGETHER: whole}


def _rows(arms: Sequence[Mapping[str, float]], gpus: Sequence[str], words: Mapping[str, Any]) -> list[list[str]]:
    """A line for each part of an update, the last their sum, and the GPUs that share a step."""
    sizes = " / ".join(map(str, GPU_GIGABYTES))
    rows = [[words["parts"][row], *(_gigabytes(parts[row]) for parts in arms)] for row in arms[0]]
    return [["", *words["arms"]], *rows, [words["gpus"].format(sizes=sizes), *gpus]]


def _gigabytes(value: float) -> str:
    return f"{value / 1e9:.1f}" if value >= 5e7 else "–"


def _gpus(step: StepSizes) -> str:
    """The fewest GPUs of each size that hold a step."""
    peaks = {shards: sum(step_peak(replace(step, shards=shards))[1].values()) for shards in SHARDS}
    rooms = [gigabytes * 1e9 - reserve_bytes() for gigabytes in GPU_GIGABYTES]
    fewest = (next((str(shards) for shards, peak in peaks.items() if peak <= room), "–") for room in rooms)
    return " / ".join(fewest)
