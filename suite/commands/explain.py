"""`suite explain`: what a variant is, in about twenty lines, with numbers from the closed forms. Needs no torch.

The texts lie in `suite/texts/explain`, a file a language, with a placeholder wherever a number or a table stands, so
that no language can claim a number of its own.
"""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.configuration.files import read_choice, read_settings, read_text, read_yaml
from suite.configuration.values import one_of
from suite.console.table import folded, number_column, table_lines
from suite.records import numbers
from suite.theory.answers import step_memory
from suite.theory.answers.choose import usual_groups
from suite.theory.answers.fit import algorithm_named, reserve_bytes
from suite.theory.answers.published import published_caches
from suite.theory.devices.calibration import DTYPE, GQA, WIDTHS
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
# The decode step that every ratio is of.
STEP = Pass(batch=1, query_len=1, seq_len=CONTEXT, element_bytes=SERVED_BYTES)
# Tensor-parallel devices of the text's example.
RANKS = 8
# Smaller models named before the list ends in dots.
MOST_LISTED = 5
# The claim of conf/claims.yaml whose literature a topic quotes: what is saved, and what the critic is worth.
CLAIMS = {"grpo": "grpo-cheaper", "ppo": "grpo-sample-efficient"}
WITHOUT_KL, LOW_LAMBDA = "dr_grpo", "ppo_lam95"
# Rows of the table, by owner and kind; the rest is activations, and little else.
PARTS = {
    "weights": [(step_memory.POLICY, step_memory.PARAMETERS)],
    "gradients": [(step_memory.POLICY, step_memory.GRADIENTS)],
    "moments": [(step_memory.POLICY, step_memory.OPTIMISER)],
    "reference": [(step_memory.REFERENCE, step_memory.PARAMETERS)],
    "critic": [(step_memory.CRITIC, step_memory.PARAMETERS), (step_memory.CRITIC, step_memory.OPTIMISER)],
    "logits": [(step_memory.POLICY, step_memory.LOGITS)],
}
REST, TOTAL = "rest", "together"
# Times that a small critic is smaller (AsyPPO, arXiv 2510.01656).
SMALLER = 10
# Tokens between an action and its reward, in the text's example.
FAR = 100
# A smaller share is nothing.
LEAST_SAVED = 1e-3
WIDTH = 119
# The texts of one language.
Words = Mapping[str, Any]


def explain(
    topic: str,
    *,
    geometry: str | None = None,
    lang: str = "en",
    calibration: Path | None = None,
    width: int | None = None,
) -> str:
    """The text of a topic, with its numbers filled in, in lines of at most WIDTH letters. `calibration`: a file of
    `suite calibrate`. `width`: how many letters a terminal's line has, where that is less.

    Raises ValueError, naming the choices, for an unknown topic, geometry or language, and for a file that is none.
    """
    topic = one_of({"topic": topic}, "topic", DEFAULT_GEOMETRY)
    words = read_text("explain", lang)
    sizes = load_geometry(geometry or DEFAULT_GEOMETRY[topic])
    width = min(width or WIDTH, WIDTH)
    if topic in CLAIMS:
        facts = _rl_facts(topic, sizes.name, words, width)
    else:
        with calibrated_by(calibration):
            facts = _attention_facts(sizes, words, width)
    text: str = words[topic].format_map(facts)
    lines = list[str]()
    for line in text.splitlines():
        # Wide gaps are those of a formula, a row or a command, which is copied whole.
        lines += [line] if "  " in line else folded([line], width)
    return "\n".join([*lines, ""])


def _attention_facts(geometry: Geometry, words: Words, width: int) -> dict[str, str]:
    """What stands for each placeholder of the topics `mla` and `gqa`, at a geometry's sizes."""
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
        "table": _variants_table(shapes, geometry.num_layers, words, width),
        "context": f"{CONTEXT:,}",
        "speed": _ratios(_decode_speedups(gqa, mla)),
        "speed_mha": _ratios(_decode_speedups(mha, gqa)),
        "expected": _expected(gqa, mla, words),
        "expected_mha": _expected(mha, gqa, words),
        "measured": _measured(gqa, words),
        "ranks": str(RANKS),
        # Heads are shared out among the ranks, the latent is not.
        "gqa_rank": f"{2 * max(1, gqa.kv_heads // RANKS) * gqa.head_dim:,}",
        "mla_rank": f"{mla.cache_elements_per_token:,}",
        "notes": _notes(geometry, words),
        "smaller": ", ".join(listed[:MOST_LISTED] + ["…"] * (len(listed) > MOST_LISTED)) or str(words["none"]),
    }


def _notes(geometry: Geometry, words: Words) -> str:
    """The sentences on which variants the model itself has and, if its layers differ, on what its whole cache takes."""
    plan = load_plan(geometry.name)
    facts = {
        "geometry": geometry.name,
        "growth": numbers.bytes_iec(plan.growth_bytes),
        "fixed": numbers.bytes_iec(plan.fixed_bytes),
        "context": f"{CONTEXT:,}",
        "whole": f"{plan.cache_bytes(CONTEXT) / 1e9:.1f}",
    }
    names = ["latent_model" if geometry.is_latent else "grouped_model"]
    if len(plan.layers) > 1 or plan.fixed_bytes:
        names.append("plan")
    return "\n".join(words[name].format(**facts) for name in names)


def _decode_speedups(before: LayerShape, after: LayerShape) -> list[tuple[str, float]]:
    """By device, the ratio of the roofline bounds of a decode step: `before` divided by `after`."""

    def bound_s(shape: LayerShape, device: str) -> float:
        return _ceilings(device).bound_s(flops=shape.core_flops(STEP), traffic_bytes=cache_bytes(shape, STEP))

    return [(device, bound_s(before, device) / bound_s(after, device)) for device in DEVICES]


def _ceilings(device: str) -> Ceilings:
    ceilings = load_hardware(DEVICES[device]).ceilings(DTYPE)
    assert ceilings is not None, device
    return ceilings


def _ratios(ratios: Sequence[tuple[str, float]]) -> str:
    """`H100 3.6×, H20 0.54×`"""
    return ", ".join(f"{name} {ratio:.1f}×" if ratio >= 1 else f"{name} {ratio:.2f}×" for name, ratio in ratios)


def _expected(before: LayerShape, after: LayerShape, words: Words) -> str:
    """`H100 2.4× (GQA 128/8, MLA 128), H20 unknown`: the expected speed-up of a decode step of `after` over `before`,
    with the fits that say so; a text without a number where no device has a fit of both."""
    ratios, families = list[tuple[str, float]](), dict[str, None]()
    for device, name in DEVICES.items():
        if calibration := load_calibration(name):
            first, second = (calibration.expected(shape, STEP, DTYPE) for shape in (before, after))
            if first and second:
                ratios.append((device, first.seconds / second.seconds))
                families[f"{first.family}, {second.family}"] = None
    if not ratios:
        return str(words["not_calibrated"])
    unknown = [words["unknown"].format(device=device) for device in DEVICES if device not in dict(ratios)]
    return ", ".join([f"{_ratios(ratios)} ({'; '.join(families)})", *unknown])


def _measured(gqa: GroupedShape, words: Words) -> str:
    """`H100: 4k–32k 0.69×, …`: the speed-ups of MLA over GQA that others measured with these heads, on the first device
    that has any; a text without a number where none has."""
    for device, name in DEVICES.items():
        calibration = load_calibration(name)
        ratios = [
            ("–".join(f"{tokens // 1024}k" for tokens in speedup.tokens), speedup.speedup)
            for speedup in (calibration.speedups if calibration else ())
            if (speedup.heads, speedup.kv_heads, gqa.head_dim) == (gqa.num_heads, gqa.kv_heads, WIDTHS[GQA][1])
        ]
        if ratios:
            return f"{device}: {_ratios(ratios)}"
    return str(words["not_measured"])


def _variants_table(shapes: dict[str, LayerShape], num_layers: int, words: Words, width: int) -> str:
    """A table with a line for each variant: its cache, its intensity, and what limits it on each device."""
    ridges = [f"{device} ({_ceilings(device).ridge_flops_per_byte:.0f})" for device in DEVICES]
    rows = []
    for name, shape in shapes.items():
        flops, traffic = shape.core_flops(STEP), cache_bytes(shape, STEP)
        per_token, whole_gb = f"{shape.cache_elements_per_token * SERVED_BYTES:,}", f"{traffic * num_layers / 1e9:.1f}"
        regimes = [words[_ceilings(device).regime(flops=flops, traffic_bytes=traffic)] for device in DEVICES]
        rows.append([name, per_token, whole_gb, f"{flops / traffic:.1f}", *regimes])
    titles = ["", *(column.format(context=f"{CONTEXT:,}") for column in words["columns"])]
    return _table([*titles, *ridges], rows, [*(0 for _ in titles), *range(1, 1 + len(ridges))], width)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], ranks: Sequence[int], width: int) -> str:
    """A table as text: its columns flush right, each line indented by two blanks. Where there is no room for all, the
    column of the highest rank is left out first, and one of rank 0 never."""
    columns = [
        number_column(title, cells, str, rank=rank)
        for title, cells, rank in zip(titles, zip(*rows, strict=True), ranks, strict=True)
    ]
    return "\n".join(f"  {line}" for line in table_lines(columns, width=width - 2))


def _rl_facts(topic: str, geometry: str, words: Words, width: int) -> dict[str, str]:
    """What stands for each placeholder of the topics `grpo` and `ppo`, at a geometry's sizes.

    Raises ValueError for a geometry with experts or uneven layers.
    """
    settings = read_settings("rl_memory")
    seq_len, cache_bytes = settings["seq_len"], load_plan(geometry).cache_bytes(settings["seq_len"])
    steps = [_step(geometry, name, settings) for name in ("grpo", WITHOUT_KL, "ppo")]
    grpo, free, ppo = map(_bytes_by_part, steps)
    critic_bytes, weights_bytes = (
        ppo["critic"],
        step_memory.held_in(step_memory.UPDATE, steps[2])[step_memory.CRITIC, step_memory.PARAMETERS],
    )
    model = steps[0].model

    def with_critic(nbytes: float) -> dict[str, float]:
        return {**ppo, "critic": nbytes, TOTAL: ppo[TOTAL] - critic_bytes + nbytes}

    on_trunk = with_critic(critic_bytes / weights_bytes * model.hidden * SERVED_BYTES)

    def saved(from_bytes: float, to_bytes: float = grpo[TOTAL]) -> str:
        """The share of `from_bytes` that `to_bytes` is smaller by, in percent; a tiny or negative one as `< 0.10%`."""
        share = 1 - to_bytes / from_bytes
        return numbers.percent(share) if share >= LEAST_SAVED else f"< {numbers.percent(LEAST_SAVED)}"

    arms, gpus = (grpo, free, ppo, on_trunk), [*map(_fewest_gpus, steps), _fewest_gpus(steps[0])]
    rows = [[words["parts"][part], *(_gigabytes(arm[part]) for arm in arms)] for part in grpo]
    rows.append([words["gpus"].format(sizes=" / ".join(map(str, GPU_GIGABYTES))), *gpus])
    low_lambda = read_choice("algorithm", LOW_LAMBDA)["lam"]
    (claim,) = (claim for claim in read_yaml("claims.yaml")["claims"] if claim["id"] == CLAIMS[topic])
    wrap = textwrap.TextWrapper(width, subsequent_indent="    ", break_on_hyphens=False)
    works = [
        wrap.fill(f"{words['says'][work['says']]}{work['what']} ({work['source']})") for work in claim["literature"]
    ]
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
        "table": _table(["", *words["arms"]], rows, [0, 0, 2, 1, 3], width),
        "saved": saved(ppo[TOTAL]),
        "saved_together": saved(ppo[TOTAL] + weights_bytes),
        "saved_free": saved(ppo[TOTAL], free[TOTAL]),
        "saved_small": saved(with_critic(critic_bytes / SMALLER)[TOTAL]),
        "smaller": str(SMALLER),
        "saved_shared": saved(on_trunk[TOTAL]),
        "critic": f"{weights_bytes / SERVED_BYTES / 1e9:.3g}",
        "cache": numbers.bytes_iec(cache_bytes),
        "at_once": f"{int((grpo['gradients'] + grpo['logits'] + grpo[REST]) // cache_bytes):,}",
        "literature": "\n".join(works),
    }


def _step(geometry: str, algorithm: str, settings: Mapping[str, Any]) -> step_memory.StepSizes:
    """An algorithm's update step at a geometry's sizes, by these settings of workload=rl_memory, on one device."""
    holds = algorithm_named(algorithm)
    return step_memory.StepSizes(
        model=step_memory.model_sizes(read_choice("geometry", geometry)),
        has_critic=holds.has_critic,
        has_reference=holds.has_reference,
        kl_in_loss=holds.kl_in_loss,
        precision=step_memory.BF16,
        lora_rank=None,
        seq_len=settings["seq_len"],
        prompt_len=settings["prompt_len"],
        completions=settings["prompts_per_step"] * settings["num_generations"],
        micro_batch=settings["micro_batch"],
    )


def _bytes_by_part(step: step_memory.StepSizes) -> dict[str, float]:
    nbytes = Counter(step_memory.held_in(step_memory.UPDATE, step))
    parts = {part: float(sum(nbytes[label] for label in labels)) for part, labels in PARTS.items()}
    return {**parts, REST: nbytes.total() - sum(parts.values()), TOTAL: float(nbytes.total())}


def _gigabytes(value: float) -> str:
    return f"{value / 1e9:.1f}" if value >= 5e7 else numbers.NOTHING


def _fewest_gpus(step: step_memory.StepSizes) -> str:
    """The fewest GPUs that hold a step, for each size of GPU, as `8 / 4 / 2 / 1`; a dash where no count does."""
    peaks = {shards: sum(step_memory.step_peak(replace(step, shards=shards))[1].values()) for shards in SHARDS}
    rooms = [gigabytes * 1e9 - reserve_bytes() for gigabytes in GPU_GIGABYTES]
    fewest = (next((str(shards) for shards, peak in peaks.items() if peak <= room), "–") for room in rooms)
    return " / ".join(fewest)
