"""Verdicts on the article's claims on attention's sizes: MLA's cache and its FLOPs beside MHA's and GQA's.

Sizes need no statistics: they are what was counted on the real cache, or follow from a closed form.
"""

from dataclasses import dataclass

from suite.records import numbers
from suite.report.answers.attention_time import RIVALS
from suite.report.answers.claims import Claim, ClaimVerdict, setting_name, standing_of_sizes
from suite.report.answers.trials import machine_of
from suite.report.attention import memory
from suite.report.attention.groups import side_by_side
from suite.report.attention.timings import Timing, one_per_record, timings
from suite.report.blocks import Text, joined, say
from suite.report.evidence import lead_number
from suite.report.model.labels import phase_name, rank, variant_label
from suite.report.model.results import Results
from suite.report.model.run import mapping
from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape, expanded_once_shape, expanded_shape
from suite.theory.layers.shapes import LayerShape, grouped_shape, layer_flops

SHIPPED = "deepseek-v3"
"""The published model whose sizes closed forms take."""
CONTEXTS, LEAD_TOKENS = (512, 4096, 32_768, 131_072), 4096
"""Contexts at which FLOPs are compared, and the one that leads."""
MODES = {"mla": "latent", "mla_expanded": "expanded"}
"""What MLA caches, by variant: its latent, or keys and values written out."""
MOST_LARGER = 3


@dataclass(frozen=True, kw_only=True)
class CacheRatio:
    """The bytes that MLA keeps of a token and layer over those of another cache."""

    ratio: float
    rival: str
    rival_name: str
    where: Text
    mode: str = "latent"
    """One of MODES."""
    mla: Timing | None = None
    """The case that was counted; None for a closed form."""

    @property
    def text(self) -> Text:
        ratio = numbers.times(self.ratio)
        return say(f"answer.told.cache.{self.mode}", other=self.rival_name, where=self.where, ratio=ratio)


def less_kv_memory(results: Results, _: Claim) -> ClaimVerdict:
    """The latent that MLA caches against MHA's keys and values. It changes where another cache is smaller."""
    counted, forms = counted_caches(results), caches_by_form()
    caches = [*counted, *forms]
    against_mha = [cache for cache in caches if (cache.mode, cache.rival) == ("latent", "mha")]
    first = against_mha[0]
    larger = {(cache.mode, cache.rival_name): cache for cache in reversed(caches) if cache.ratio > 1}
    shown = [cache.text for cache in caches if cache in larger.values()][:MOST_LARGER]
    evidence = [say("answer.told.cached", told=joined("notes", [cache.text for cache in counted]))] if counted else []
    in_forms = say("answer.told.cached_forms", model=SHIPPED, told=joined("notes", [cache.text for cache in forms]))
    return ClaimVerdict(
        outcome=standing_of_sizes(cache.ratio for cache in against_mha),
        evidence=[*evidence, in_forms],
        depends_on=setting_name("geometry"),
        lead=lead_number(
            first.ratio,
            None,
            numbers.times,
            about=say("answer.about.cache", other=first.rival_name, where=first.where),
            written=say("answer.of", share=numbers.percent(first.ratio), other=first.rival_name),
            neutral=1.0,
        ),
        flips=say("answer.flips.cache", told=joined("notes", shown)),
        machine=machine_of(first.mla) if first.mla else "",
        is_projected=first.mla is None,
    )


def counted_caches(results: Results) -> list[CacheRatio]:
    """The caches that records counted, each geometry and rival once: latents first, then by rival, those of models with
    a latent of their own before others.
    """
    counted = [
        timing
        for timing in one_per_record(timings(results))
        if timing.axis("phase") == "decode" and timing.axis("match") in ("", "heads") and timing.tokens
        if memory.COUNTED(timing) and not timing.axis("cache_dtype") and not timing.own_sizes
    ]
    caches = dict[tuple[object, ...], CacheRatio]()
    for variant, mode in MODES.items():
        for rival in RIVALS:
            for mla, other in side_by_side(counted, variant, rival, ["attention", "backend", "query_len"]):
                has_latent = mapping(mla.record.settings, "geometry").get("attention") == "mla"
                tp = f"tp {mla.axis('tp')}" if mla.axis("tp") not in ("", "1") else ""
                sizes = len(mla.shared_extras) + bool(tp), mla.axis("geometry"), mla.shared_extras, mla.axis("tp")
                cache = CacheRatio(
                    ratio=(memory.COUNTED(mla) or 0.0) / (memory.COUNTED(other) or 1.0),
                    rival=rival,
                    rival_name=_name_with_heads(other),
                    where=joined(", ", [mla.axis("geometry"), *map(_setting_text, mla.shared_extras), tp]),
                    mode=mode,
                    mla=mla,
                )
                caches.setdefault((mode != "latent", rank(rival), not has_latent, *sizes), cache)
    return [caches[place] for place in sorted(caches)]


def _setting_text(setting: str) -> Text:
    name, _, value = setting.partition("=")
    return say("answer.value.heads", value=value) if name == "geometry.num_heads" else setting


def _name_with_heads(timing: Timing) -> str:
    """A variant with its key-value heads, by what its cache is of MHA's: GQA-2."""
    heads, share = mapping(timing.record.settings, "geometry").get("num_heads"), timing.cache_share
    if timing.variant != "gqa" or not isinstance(heads, int) or not share:
        return variant_label(timing.variant)
    tp = timing.axis("tp")
    return f"{variant_label('gqa')}-{share * heads / int(tp if tp.isdecimal() else 1):.0f}"


def caches_by_form() -> list[CacheRatio]:
    """MLA's cache beside others by closed form, at a published model's sizes."""
    geometry, forward = load_geometry(SHIPPED), _pass(1)
    mha, gqa8, gqa2 = (grouped_shape(geometry, kv_heads=heads) for heads in ("all", 8, 2))
    mha_name, latent = variant_label("mha"), absorbed_shape(geometry)

    def cached(ours: LayerShape, rival: LayerShape, rival_name: str, mode: str = "latent") -> CacheRatio:
        ratio = ours.cache_bytes_per_token(forward) / rival.cache_bytes_per_token(forward)
        variant = "mha" if rival is mha else "gqa"
        return CacheRatio(ratio=ratio, rival=variant, rival_name=rival_name, where=SHIPPED, mode=mode)

    latents = [cached(latent, mha, mha_name), cached(latent, gqa8, "GQA-8"), cached(latent, gqa2, "GQA-2")]
    return [*latents, cached(expanded_shape(geometry), mha, mha_name, "expanded")]


def _pass(seq_len: int, query_len: int = 1) -> Pass:
    return Pass(batch=1, query_len=query_len, seq_len=seq_len, element_bytes=2)


def lowers_compute(_: Results, __: Claim) -> ClaimVerdict:
    """FLOPs of MLA's whole layer against MHA's, by closed forms: expanded in a prefill and absorbed in decode.

    MLA's projections are smaller and its kernel is larger, so the ratio grows with the context.
    """
    geometry = load_geometry(SHIPPED)
    mha, gqa8 = grouped_shape(geometry, kv_heads="all"), grouped_shape(geometry, kv_heads=8)
    prefill, decode = expanded_once_shape(geometry), absorbed_shape(geometry)
    ratios = {
        phase: {tokens: layer_flops(shape, forward(tokens)) / layer_flops(mha, forward(tokens)) for tokens in CONTEXTS}
        for phase, shape, forward in (
            ("prefill", prefill, lambda tokens: _pass(tokens, tokens)),
            ("decode", decode, _pass),
        )
    }
    evidence: list[Text] = []
    for phase, by_tokens in ratios.items():
        told = [
            say("answer.told.at", ratio=numbers.times(ratio), tokens=numbers.count(tokens))
            for tokens, ratio in by_tokens.items()
        ]
        fields = {"phase": phase_name(phase), "model": SHIPPED, "told": joined("list", told)}
        evidence.append(say("answer.told.compute", **fields))
    lead, about = ratios["prefill"][LEAD_TOKENS], {"model": SHIPPED, "tokens": numbers.count(LEAD_TOKENS)}
    even_mha, even_gqa = (numbers.count(_evens_at(decode, rival)) for rival in (mha, gqa8))
    return ClaimVerdict(
        outcome=standing_of_sizes(ratio for by_tokens in ratios.values() for ratio in by_tokens.values()),
        evidence=evidence,
        depends_on=joined("list", map(setting_name, ("seq_len", "phase"))),
        lead=lead_number(lead, None, numbers.times, about=say("answer.about.compute", **about), neutral=1.0),
        flips=say("answer.flips.compute", even_mha=even_mha, even_gqa=even_gqa),
        is_projected=True,
    )


def _evens_at(ours: LayerShape, theirs: LayerShape) -> int:
    """The context from which a decode step of a whole layer takes more FLOPs, which grow evenly with it."""
    first, second = ([layer_flops(shape, _pass(tokens)) for tokens in (1, 2)] for shape in (ours, theirs))
    slope, ahead = (first[1] - first[0]) - (second[1] - second[0]), second[0] - first[0]
    return max(1, 1 + -(-ahead // slope)) if slope > 0 else 0
