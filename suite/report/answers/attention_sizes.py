"""Rulings on the article's claims on attention's sizes: MLA's cache and its FLOPs beside MHA's and GQA's.

Sizes need no statistics: they are what was counted on the real cache, or follow from a closed form.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from suite.records import numbers
from suite.report.answers.attention_time import EXPANDED, MOST_TOLD, RIVALS, machine_of
from suite.report.answers.claims import CONTRADICTED, DEPENDS, SUPPORTED, Verdict
from suite.report.answers.leads import lead_of_size
from suite.report.answers.trials import setting_name
from suite.report.attention import memory
from suite.report.attention.groups import axes_of
from suite.report.attention.timings import Timing, one_a_record, timings
from suite.report.blocks import Text, joined, say
from suite.report.model.experiment import grouped
from suite.report.model.labels import phase_name, rank, variant_label
from suite.report.model.results import Results
from suite.report.model.run import mapping
from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape, expanded_once_shape, expanded_shape
from suite.theory.layers.shapes import LayerShape, grouped_shape, kernel_flops, layer_flops

SHIPPED = "deepseek-v3"
"""The published model whose sizes closed forms take."""
CONTEXTS, LEAD_TOKENS = (512, 4096, 32_768, 131_072), 4096
"""Contexts at which FLOPs are compared, and the one that leads."""
KEPT_HEADS: Mapping[str, int | str] = {"mha": "all", "gqa8": 8, "gqa2": 2}
"""Key-value heads of the caches that MLA's is compared with."""


@dataclass(frozen=True, kw_only=True)
class Cached:
    """The bytes that MLA keeps of a token and layer beside another cache's."""

    other: Text
    where: Text
    ratio: float
    mode: str = "latent"
    """`latent`, or `expanded` for keys and values written out."""
    rival: str = "mha"
    timing: Timing | None = None
    """The record that was counted; None for a closed form."""
    elements: tuple[float, float] | None = None


def less_kv_memory(results: Results) -> Verdict:
    """The latent that MLA caches against MHA's keys and values. Where another cache is smaller is told beside it."""
    counted, forms = counted_caches(results), caches_by_form()
    caches = [*counted, *forms]
    against_mha = [cache for cache in caches if (cache.mode, cache.rival) == ("latent", "mha")]
    smaller = sum(cache.ratio < 1 for cache in against_mha)
    first = against_mha[0]
    evidence = [say("answer.told.cached", told=joined("notes", map(_told_cache, counted)))] if counted else []
    evidence.append(say("answer.told.cached_forms", model=SHIPPED, told=joined("notes", map(_told_cache, forms))))
    larger: dict[tuple[str, Text], Cached] = {}
    for cache in caches:
        if cache.ratio > 1:
            larger.setdefault((cache.mode, cache.other), cache)
    return Verdict(
        outcome=SUPPORTED if smaller == len(against_mha) else DEPENDS if smaller else CONTRADICTED,
        evidence=evidence,
        on=setting_name("geometry"),
        lead=lead_of_size(
            first.ratio,
            say("answer.about.cache", other=first.other, where=first.where),
            say("answer.of", share=numbers.percent(first.ratio), other=first.other),
        ),
        flips=say("answer.flips.cache", told=joined("notes", map(_told_cache, list(larger.values())[:MOST_TOLD]))),
        machine=machine_of(first.timing) if first.timing else "",
        is_projected=first.timing is None,
    )


def _told_cache(one: Cached) -> Text:
    return say(f"answer.told.cache.{one.mode}", other=one.other, where=one.where, ratio=numbers.times(one.ratio))


def counted_caches(results: Results) -> list[Cached]:
    """Return the caches that records counted, each geometry and rival once."""
    found = one_a_record(timing for timing in timings(results) if timing.axis("phase") == "decode" and timing.tokens)
    of_equal_heads = [timing for timing in found if timing.axis("match") in ("", "heads")]
    kept = [timing for timing in of_equal_heads if memory.COUNTED(timing) and not timing.axis("cache_dtype")]
    cases = grouped(
        kept,
        lambda timing: (axes_of(timing, ["attention", "backend", "query_len"]), timing.shared_extras, timing.label),
    )
    caches: dict[tuple[object, ...], Cached] = {}
    for case in cases.values():
        for mla in case:
            for other in case:
                if mla.variant in ("mla", EXPANDED) and other.variant in RIVALS and not mla.own_sizes + other.own_sizes:
                    mode = "expanded" if mla.variant == EXPANDED else "latent"
                    geometry, heads = mla.axis("geometry"), joined(", ", map(_extra, mla.shared_extras))
                    ratio = (memory.COUNTED(mla) or 0.0) / (memory.COUNTED(other) or 1.0)
                    key = (mode, other.variant, geometry, heads, mla.axis("tp"))
                    name = _grouped_name(other)
                    where = joined(
                        ", ", [geometry, heads, f"tp {mla.axis('tp')}" if mla.axis("tp") not in ("", "1") else ""]
                    )
                    cached = Cached(other=name, where=where, ratio=ratio, mode=mode, rival=other.variant, timing=mla)
                    caches.setdefault(key, cached)
    return sorted(caches.values(), key=_cache_place)


def _extra(setting: str) -> Text:
    name, _, value = setting.partition("=")
    return say("answer.value.heads", value=value) if name == "geometry.num_heads" else setting


def _cache_place(one: Cached) -> tuple[object, ...]:
    """Sort caches: latents first, then by rival, those of models with a latent of their own before others."""
    assert one.timing is not None
    timing, extras = one.timing, one.timing.shared_extras
    geometry = mapping(timing.record.settings, "geometry")
    sizes = len(extras) + (timing.axis("tp") not in ("", "1")), timing.axis("geometry"), extras, timing.axis("tp")
    return one.mode != "latent", rank(one.rival), geometry.get("attention") != "mla", *sizes


def _grouped_name(timing: Timing) -> str:
    """A variant with its key-value heads, by what its cache is of MHA's: GQA-2."""
    heads, share = mapping(timing.record.settings, "geometry").get("num_heads"), timing.cache_share
    if timing.variant != "gqa" or not isinstance(heads, int) or not share:
        return variant_label(timing.variant)
    tp = timing.axis("tp")
    return f"{variant_label('gqa')}-{share * heads / int(tp if tp.isdecimal() else 1):.0f}"


def caches_by_form() -> list[Cached]:
    """Return MLA's cache beside others by closed form, at a published model's sizes."""
    geometry, forward = load_geometry(SHIPPED), _step(1)
    latent, wide = absorbed_shape(geometry), expanded_shape(geometry)
    grouped_caches = {name: grouped_shape(geometry, kv_heads=heads) for name, heads in KEPT_HEADS.items()}
    names = {"mha": variant_label("mha"), "gqa8": "GQA-8", "gqa2": "GQA-2"}

    def cached(ours: LayerShape, name: str, mode: str) -> Cached:
        ratio = ours.cache_bytes_per_token(forward) / grouped_caches[name].cache_bytes_per_token(forward)
        return Cached(other=names[name], where=SHIPPED, ratio=ratio, mode=mode, rival=name)

    return [*(cached(latent, name, "latent") for name in KEPT_HEADS), cached(wide, "mha", "expanded")]


def _step(seq_len: int, query_len: int = 1) -> Pass:
    return Pass(batch=1, query_len=query_len, seq_len=seq_len, element_bytes=2)


def lowers_compute(results: Results) -> Verdict:
    """FLOPs of MLA's whole layer against MHA's, by closed forms: expanded in a prefill and absorbed in decode.

    MLA's projections are smaller and its kernel is larger, so the ratio grows with the context.
    """
    geometry = load_geometry(SHIPPED)
    mha = grouped_shape(geometry, kv_heads=KEPT_HEADS["mha"])
    modes = {"prefill": expanded_once_shape(geometry), "decode": absorbed_shape(geometry)}
    ratios = {
        (phase, tokens): layer_flops(shape, forward) / layer_flops(mha, forward)
        for phase, shape in modes.items()
        for tokens in CONTEXTS
        for forward in [_step(tokens, tokens if phase == "prefill" else 1)]
    }
    evidence: list[Text] = [
        say(
            "answer.told.compute",
            phase=phase_name(phase),
            model=SHIPPED,
            told=joined(
                "list",
                [
                    say("answer.told.at", ratio=numbers.times(ratios[phase, tokens]), tokens=numbers.count(tokens))
                    for tokens in CONTEXTS
                ],
            ),
        )
        for phase in modes
    ]
    kernels = [kernel_flops(shape, _step(1)) / kernel_flops(mha, _step(1)) for shape in modes.values()]
    evidence.append(
        say("answer.told.kernels", prefill=numbers.times(kernels[0]), decode=numbers.times(kernels[1]), model=SHIPPED)
    )
    least, most = min(ratios.values()), max(ratios.values())
    outcome = SUPPORTED if most < 1 else CONTRADICTED if least > 1 else DEPENDS
    even = {
        "mha": _evens_at(modes["decode"], mha),
        "gqa": _evens_at(modes["decode"], grouped_shape(geometry, kv_heads=8)),
    }
    lead = ratios["prefill", LEAD_TOKENS]
    return Verdict(
        outcome=outcome,
        evidence=evidence,
        on=joined("list", map(setting_name, ("seq_len", "phase"))),
        lead=lead_of_size(
            lead, say("answer.about.compute", model=SHIPPED, tokens=numbers.count(LEAD_TOKENS)), numbers.times(lead)
        ),
        flips=say("answer.flips.compute", even_mha=numbers.count(even["mha"]), even_gqa=numbers.count(even["gqa"])),
        is_projected=True,
    )


def _evens_at(ours: LayerShape, theirs: LayerShape) -> int:
    """The context from which a decode step of a whole layer takes more FLOPs, which grow evenly with it."""
    first, second = ([layer_flops(shape, _step(tokens)) for tokens in (1, 2)] for shape in (ours, theirs))
    slope, ahead = (first[1] - first[0]) - (second[1] - second[0]), second[0] - first[0]
    return max(1, 1 + -(-ahead // slope)) if slope > 0 else 0
