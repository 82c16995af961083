"""Verdicts on the article's claims on the sizes of attention: bytes of the cache, and FLOPs.

Sizes need no statistics: they were counted on the real cache, or follow from a closed form.
"""

from dataclasses import dataclass, replace

from suite.records import numbers
from suite.report.answers.attention import RIVALS
from suite.report.answers.claims import Claim, ClaimVerdict, setting_name, size_standing
from suite.report.answers.trials import machine_label
from suite.report.attention import memory
from suite.report.attention.groups import side_by_side
from suite.report.blocks import Text, joined, say
from suite.report.evidence import lead_number
from suite.report.model.labels import phase_name, variant_label, variant_sort_key
from suite.report.model.results import Results
from suite.report.model.run import mapping
from suite.report.timings import Timing, one_per_record, timings
from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape, expanded_once_shape, expanded_shape
from suite.theory.layers.shapes import LayerShape, grouped_shape, layer_work

FORM_MODEL = "deepseek-v3"  # the published model whose sizes closed forms take
CONTEXTS, LEAD_TOKENS = (512, 4096, 32_768, 131_072), 4096  # FLOPs are compared at all of them, one leads
MODES = {"mla": "latent", "mla_expanded": "expanded"}  # what MLA caches: its latent, or keys and values written out
MOST_LARGER = 3


@dataclass(frozen=True, kw_only=True)
class CacheRatio:
    """The bytes that MLA keeps of a token and layer over those of another cache."""

    ratio: float
    rival: str
    rival_name: str
    where: Text
    mode: str = "latent"  # one of MODES
    mla: Timing | None = None  # the case that was counted; None for a closed form

    @property
    def text(self) -> Text:
        ratio = numbers.times(self.ratio)
        return say(f"answer.told.cache.{self.mode}", other=self.rival_name, where=self.where, ratio=ratio)


def less_kv_memory(results: Results, _: Claim) -> ClaimVerdict:
    """The verdict on the bytes of MLA's latent against MHA's cache, with the cases in which another is smaller yet."""
    counted, forms = counted_caches(results), caches_by_form()
    caches = [*counted, *forms]
    against_mha = [cache for cache in caches if (cache.mode, cache.rival) == ("latent", "mha")]
    first = against_mha[0]
    # The first case in which each rival's cache is smaller than MLA's.
    larger = {(cache.mode, cache.rival_name): cache for cache in reversed(caches) if cache.ratio > 1}.values()
    texts = [cache.text for cache in caches if cache in larger][:MOST_LARGER]
    about = say("answer.about.cache", other=first.rival_name, where=first.where)
    written = say("answer.of", share=numbers.percent(first.ratio), other=first.rival_name)
    lead = lead_number(first.ratio, None, numbers.times, about=about, written=written, neutral=1.0)
    return ClaimVerdict(
        outcome=size_standing(cache.ratio for cache in against_mha),
        evidence=[
            *(say("answer.told.cached", told=cache.text) for cache in counted),
            *(say("answer.told.cached_forms", told=cache.text) for cache in forms),
        ],
        depends_on=setting_name("geometry"),
        lead=replace(lead, link={"geometry": first.mla.axis("geometry") if first.mla else FORM_MODEL}),
        flips=say("answer.flips.cache", told=joined("notes", texts)),
        machine=machine_label(first.mla) if first.mla else "",
        is_projected=first.mla is None,
    )


def counted_caches(results: Results) -> list[CacheRatio]:
    """MLA's cache over its rivals' as records counted them, one for each mode, rival, geometry and further settings.

    Latents come first, then by rival; models with a latent of their own come before others.
    """
    counted = [
        timing
        for timing in one_per_record(timings(results))
        if timing.axis("phase") == "decode" and timing.axis("match") in ("", "heads") and timing.tokens
        if memory.COUNTED(timing) and not timing.axis("cache_dtype") and not timing.own_sizes
    ]
    caches = dict[tuple[object, ...], CacheRatio]()
    for (variant, mode), rival in ((item, rival) for item in MODES.items() for rival in RIVALS):
        for mla, other in side_by_side(counted, variant, rival, ["attention", "backend", "query_len"]):
            has_latent = mapping(mla.record.settings, "geometry").get("attention") == "mla"
            tp = f"tp {mla.axis('tp')}" if mla.axis("tp") not in ("", "1") else ""
            settings = [
                say("answer.value.heads", value=value) if name == "geometry.num_heads" else f"{name}={value}"
                for name, value in (setting.split("=", 1) for setting in mla.shared_extras)
            ]
            cache = CacheRatio(
                ratio=(memory.COUNTED(mla) or 0.0) / (memory.COUNTED(other) or 1.0),
                rival=rival,
                rival_name=_name_with_heads(other),
                where=joined(", ", [mla.axis("geometry"), *settings, tp]),
                mode=mode,
                mla=mla,
            )
            plainness = len(settings) + bool(tp), mla.axis("geometry"), mla.shared_extras, mla.axis("tp")
            caches.setdefault((mode != "latent", variant_sort_key(rival), not has_latent, *plainness), cache)
    return [caches[place] for place in sorted(caches)]


def _name_with_heads(timing: Timing) -> str:
    """A variant's label; of GQA with its key-value heads, which its cache's share of MHA's gives: GQA-2."""
    heads, share = mapping(timing.record.settings, "geometry").get("num_heads"), timing.cache_share
    if timing.variant != "gqa" or not isinstance(heads, int) or not share:
        return variant_label(timing.variant)
    tp = timing.axis("tp")
    return f"{variant_label('gqa')}-{share * heads / int(tp if tp.isdecimal() else 1):.0f}"


def caches_by_form() -> list[CacheRatio]:
    """MLA's cache beside others by closed form, at a published model's sizes."""
    geometry, step = load_geometry(FORM_MODEL), _single_pass(1)
    mha, latent = grouped_shape(geometry, kv_heads="all"), absorbed_shape(geometry)
    pairs = [
        ("latent", latent, "mha", variant_label("mha"), mha),
        ("latent", latent, "gqa", "GQA-8", grouped_shape(geometry, kv_heads=8)),
        ("latent", latent, "gqa", "GQA-2", grouped_shape(geometry, kv_heads=2)),
        ("expanded", expanded_shape(geometry), "mha", variant_label("mha"), mha),
    ]
    return [
        CacheRatio(
            ratio=ours.cache_bytes_per_token(step) / theirs.cache_bytes_per_token(step),
            rival=rival,
            rival_name=name,
            where=FORM_MODEL,
            mode=mode,
        )
        for mode, ours, rival, name, theirs in pairs
    ]


def _single_pass(seq_len: int, query_len: int = 1) -> Pass:
    return Pass(batch=1, query_len=query_len, seq_len=seq_len, element_bytes=2)


def lowers_compute(_: Results, __: Claim) -> ClaimVerdict:
    """The verdict on MLA's FLOPs against MHA's, of a whole layer by closed forms: prefill expanded, decode absorbed.

    MLA's projections are smaller and its kernel is larger, so the ratio grows with the context.
    """
    geometry = load_geometry(FORM_MODEL)
    mha, gqa8 = grouped_shape(geometry, kv_heads="all"), grouped_shape(geometry, kv_heads=8)
    prefill, decode = expanded_once_shape(geometry), absorbed_shape(geometry)

    def flops_over_mha(shape: LayerShape, forward: Pass) -> float:
        return layer_work(shape, forward).flops / layer_work(mha, forward).flops

    ratios = {
        "prefill": {tokens: flops_over_mha(prefill, _single_pass(tokens, tokens)) for tokens in CONTEXTS},
        "decode": {tokens: flops_over_mha(decode, _single_pass(tokens)) for tokens in CONTEXTS},
    }
    evidence: list[Text] = []
    for phase, by_tokens in ratios.items():
        texts = [
            say("answer.told.at", ratio=numbers.times(ratio), tokens=numbers.count(tokens))
            for tokens, ratio in by_tokens.items()
        ]
        ratios_text = joined("list", texts)
        evidence.append(say("answer.told.compute", phase=phase_name(phase), model=FORM_MODEL, told=ratios_text))
    about = say("answer.about.compute", model=FORM_MODEL, tokens=numbers.count(LEAD_TOKENS))
    even = []
    for rival in (mha, gqa8):
        # FLOPs grow linearly with the context, so two contexts give the line; rounded up to the first whole token.
        first, second = ([layer_work(shape, _single_pass(n)).flops for n in (1, 2)] for shape in (decode, rival))
        slope, ahead = (first[1] - first[0]) - (second[1] - second[0]), second[0] - first[0]
        even.append(numbers.count(max(1, 1 + -(-ahead // slope)) if slope > 0 else 0))
    return ClaimVerdict(
        outcome=size_standing(ratio for by_tokens in ratios.values() for ratio in by_tokens.values()),
        evidence=evidence,
        depends_on=joined("and", map(setting_name, ("seq_len", "phase"))),
        lead=lead_number(ratios["prefill"][LEAD_TOKENS], None, numbers.times, about=about, neutral=1.0),
        flips=say("answer.flips.compute", even_mha=even[0], even_gqa=even[1]),
        is_projected=True,
    )
