"""Verdicts on the article's claims on the time of attention: decoding, training, and what MLA's form of a call costs.

Times are ratios of two medians, which are clearly different where the ratio's interval excludes 1. For each rival and
geometry one case decides, which conf/claims.yaml names; all other cases are counted beside it.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from suite.records import numbers
from suite.records.derived import noted
from suite.records.labels import differing
from suite.report.answers.claims import Claim, ClaimVerdict, Standing, setting_name
from suite.report.answers.trials import machine_label
from suite.report.attention import callstyle, memory
from suite.report.attention.groups import axes_without, case_timings, figure_facets, side_by_side
from suite.report.blocks import Lead, Text, joined, say
from suite.report.evidence import Write, times_lead
from suite.report.model.experiment import grouped
from suite.report.model.formats import times_range
from suite.report.model.labels import phase_name, variant_label
from suite.report.model.results import Results
from suite.report.model.run import Pairs
from suite.report.timings import KERNEL, LAYER, Timing
from suite.statistics.intervals import Ratio, median_ratio, paired_ratio
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.layers.algebra import SERVED_BYTES, Pass
from suite.theory.layers.attention_plan import ELEMENT_BYTES
from suite.theory.layers.geometry import geometry_names, load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.shapes import grouped_shape

RIVALS = ("mha", "gqa")
# The GPU, and the heads of queries and of keys, that others' measurements are told of.
PUBLISHED_GPU, PUBLISHED_HEADS = "h100-sxm5-80gb", (128, 8)
GPU_BATCHES = {"few": 1, "many": 32}  # sequences at once for which times on that GPU are computed
USUAL_AXES = {"tp": "1", "match": "heads", "query_len": "1", "cache_dtype": ""}  # of cases that are computed there
HALF = 0.5
BELOW, ABOVE = -1, 1
SERVED_DTYPE = "bfloat16"
HARDER_LINES = 2.0  # a layer of so many times as many lines is harder to write, by any reading
# Axes in which forms of a call agree that are compared.
FORM_AXES = ("geometry", "phase", "dtype", "seq_len", "query_len", "threads")


@dataclass(frozen=True, kw_only=True)
class TimeRatio:
    """The median time of one timing over that of another."""

    timing: Timing
    base: Timing

    @functools.cached_property
    def ratio(self) -> Ratio:
        return median_ratio(self.timing.interval, self.base.interval)

    @property
    def tokens(self) -> int:
        """The context; 0 where the record has none."""
        return self.timing.tokens or 0

    @property
    def case_fields(self) -> dict[str, str]:
        """Geometry and dtype, to fill in a sentence."""
        return {name: self.timing.axis(name) for name in ("geometry", "dtype")}

    @property
    def is_repeated(self) -> bool:
        return min(self.timing.interval.count, self.base.interval.count) > 1

    def side(self, neutral: float = 1.0) -> int:
        """BELOW or ABOVE `neutral`, where the whole interval lies there; else 0."""
        if not self.is_repeated or self.ratio.low <= neutral <= self.ratio.high:
            return 0
        return BELOW if self.ratio.high < neutral else ABOVE

    def distance(self, usual: Mapping[str, object]) -> tuple[object, ...]:
        """Sorts cases by how near they are to a claim's `usual` axes, the nearest first; never by how they came out."""
        matches = sum(self.timing.axis(name) == str(value) for name, value in usual.items())
        launches = min(self.timing.interval.launches, self.base.interval.launches)
        extras, axes = self.timing.shared_extras, sorted(axes_without(self.timing, ["attention", "backend"]))
        return -matches, len(extras), launches == 1, -self.tokens, extras, axes, machine_label(self.timing)

    def lead(self, key: str, *, write: Write = numbers.times, neutral: float = 1.0, **fields: Text | int) -> Lead:
        """The ratio as the number that leads a verdict; `key` is of a text about its case."""
        about = say(key, tokens=numbers.count(self.tokens), **self.case_fields, **fields)
        return times_lead(self.ratio, [self.timing.interval, self.base.interval], about, write=write, neutral=neutral)


@dataclass(frozen=True, kw_only=True)
class KernelShare(TimeRatio):
    """The kernel's time over the layer's in one record, whose launches timed both."""

    @functools.cached_property
    def ratio(self) -> Ratio:
        """Paired by launch. An interval that begins below 1 ends there: no kernel takes longer than its layer."""
        ratio = paired_ratio(self.timing.launches, self.base.launches)
        return replace(ratio, high=min(ratio.high, 1.0)) if ratio.low < 1 else ratio


def speed_cases(results: Results, phase: str, variants: Sequence[str], span: str) -> list[TimeRatio]:
    """MLA's timings of a span over MHA's and GQA's that agree in everything else: below 1 speaks for MLA."""
    candidates = [
        timing
        for timing in case_timings(results)
        if timing.is_measured and timing.is_checked and timing.tokens
        if (timing.span, timing.axis("phase")) == (span, phase)
    ]
    return [
        TimeRatio(timing=mla, base=rival)
        for variant in variants
        for rival_variant in RIVALS
        for mla, rival in side_by_side(candidates, variant, rival_variant, ["attention", "backend"])
    ]


def faster(results: Results, claim: Claim) -> ClaimVerdict | None:
    """The verdict on MLA's time against MHA's and GQA's, of the whole layer or, where none was timed, of the kernel.

    Cases of the design's `phase` and `variants` decide; the groups `beside` it are counted. None without any case.
    """
    design = claim["trial"]
    phase, variants = design["phase"], design["variants"]
    cases = speed_cases(results, phase, variants, LAYER) or speed_cases(results, phase, variants, KERNEL)
    if not cases:
        return None
    by_unit = grouped(cases, lambda case: (case.base.variant, case.timing.axis("geometry"))).values()
    deciding = [min(unit, key=lambda case: case.distance(design["at"])) for unit in by_unit]
    by_rival = grouped(deciding, lambda case: case.base.variant)
    standings = {rival: _standing([case.side() for case in cases], BELOW) for rival, cases in by_rival.items()}
    outcomes = {*standings.values()}
    first = min(by_rival.get("gqa", deciding), key=lambda case: case.distance(design["at"]))
    lead = first.lead("answer.about.speed", other=first.base.sized_variant, phase=phase_name(phase))
    evidence: list[Text] = [say("answer.told.judged")]
    for case in deciding:
        ends = {name: numbers.times(getattr(case.ratio, name)) for name in ("ratio", "low", "high")}
        fields = {"other": case.base.sized_variant, "tokens": numbers.count(case.tokens), **ends, **case.case_fields}
        evidence.append(say("answer.told.case", **fields))
    for group in design["beside"]:
        if counted := speed_cases(results, group["phase"], group["variants"], group["span"]):
            evidence.append(_count_text(f"answer.told.{group['key']}", "answer.told.range", counted))
    flips = [_batch_text(cases, design["at"]), _count_text("answer.flips.cases", "answer.told.against", cases)]
    answers = list[Text]()
    for rival, standing in standings.items():
        answer = say(f"answer.than.{standing}", other=variant_label(rival))
        # With which models a clear order is not that clear.
        models = [case.timing.axis("geometry") for case in by_rival[rival] if not case.side()]
        if models and standing is not Standing.OPEN:
            answer = say("answer.than.but_open", answer=answer, models=joined("list", models))
        answers.append(answer)
    link = {**first.case_fields, "phase": phase_name(phase)} | {**figure_facets(results, first.timing)}
    return ClaimVerdict(
        outcome=outcomes.pop() if len(outcomes) == 1 else Standing.DEPENDS,
        parts=standings,
        evidence=evidence,
        answer=joined("list", answers),
        depends_on=setting_name("versus" if len({*standings.values()}) > 1 else "geometry"),
        lead=replace(lead, link=link),
        peer=_expected_on_gpu(first) if phase == "decode" else "",
        flips=joined("sentence", [*flips, _published_on_gpu() if design.get("tells_published") else ""]),
        machine=machine_label(first.timing),
        suffices=any(case.is_repeated for case in deciding),
    )


def _standing(sides: Sequence[int], supports: int) -> Standing:
    """The standing of a claim by the sides on which its cases lie. `supports`: the side that bears it out.

    OPEN where no case is clearly on a side, DEPENDS where cases are on both.
    """
    clear = {*sides} - {0}
    if not clear:
        return Standing.OPEN
    return Standing.DEPENDS if len(clear) > 1 else Standing.SUPPORTED if supports in clear else Standing.CONTRADICTED


def _expected_on_gpu(case: TimeRatio) -> Text:
    """Say the ratio of a decode case's layers, and of their kernels, that good ones are expected to have on a GPU.

    Each ratio has the range of both expected times, whose errors are independent. Empty where nobody measured such
    kernels, or where the case's sizes are not the published model's own.
    """
    calibration, name = load_calibration(PUBLISHED_GPU), case.timing.axis("geometry")
    is_usual = all(case.timing.axis(axis) in ("", value) for axis, value in USUAL_AXES.items())
    is_plain = is_usual and not (case.timing.extra_settings or case.base.extra_settings)
    if not (calibration and is_plain and name in geometry_names()):
        return ""
    geometry = load_geometry(name)
    shapes = absorbed_shape(geometry), grouped_shape(geometry, kv_heads="all" if case.base.variant == "mha" else None)
    fields: dict[str, Text | int] = {}
    for size, batch in GPU_BATCHES.items():
        step = Pass(batch=batch, query_len=1, seq_len=case.tokens, element_bytes=SERVED_BYTES)
        mla, rival = (calibration.expected_layer(shape, step, SERVED_DTYPE) for shape in shapes)
        kernels = [calibration.expected(shape, step, SERVED_DTYPE) for shape in shapes]
        if not (mla and rival and mla.high and rival.high and kernels[0] and kernels[1]):
            return ""
        ratio, kernel_ratio = mla.seconds / rival.seconds, kernels[0].seconds / kernels[1].seconds
        reach = math.exp(math.hypot(math.log(mla.high / mla.seconds), math.log(rival.high / rival.seconds)))
        fields |= {f"{size}_batch": batch, size: numbers.times(ratio), f"{size}_kernel": numbers.times(kernel_ratio)}
        fields[f"{size}_range"] = times_range(ratio / reach, ratio * reach)
    other, tokens = case.base.sized_variant, numbers.count(case.tokens)
    return say("answer.peer", gpu="H100", dtype=SERVED_DTYPE, other=other, tokens=tokens, **fields)


def _count_text(key: str, part_key: str, cases: Sequence[TimeRatio]) -> Text:
    """Say for each rival in how many cases MLA is clearly faster and slower, and its least and largest ratio."""
    parts = []
    for rival, rival_cases in grouped(cases, lambda case: case.base.variant).items():
        sides, ratios = [case.side() for case in rival_cases], [case.ratio.ratio for case in rival_cases]
        counts = {"faster": sides.count(BELOW), "slower": sides.count(ABOVE), "total": len(sides)}
        ends = {"low": numbers.times(min(ratios)), "high": numbers.times(max(ratios))}
        phase = phase_name(rival_cases[0].timing.axis("phase"))
        parts.append(say(part_key, other=variant_label(rival), phase=phase, **counts, **ends))
    return say(key, told=joined("sentence", parts))


def _batch_text(cases: Sequence[TimeRatio], usual: Mapping[str, object]) -> Text:
    """Say MLA's ratios at the smallest and at the largest batch of otherwise equal cases; empty without such cases.

    The largest batch decides which cases, then how near they are to `usual`; never how they came out.
    """

    def batch(case: TimeRatio) -> int:
        return int(case.timing.axis("batch"))

    by_settings = grouped(
        [case for case in cases if case.is_repeated and case.timing.axis("batch")],
        lambda case: (case.timing.label, case.timing.shared_extras, axes_without(case.timing, ["batch", "backend"])),
    )
    series = [equal for equal in by_settings.values() if len({*map(batch, equal)}) > 1]
    if not series:
        return ""
    chosen = min(series, key=lambda equal: (-max(map(batch, equal)), min(case.distance(usual) for case in equal)))
    least, most = min(map(batch, chosen)), max(map(batch, chosen))
    changes = []
    for rival_cases in grouped(chosen, lambda case: case.base.sized_variant).values():
        by_batch = {batch(case): case for case in rival_cases}
        if {least, most} <= by_batch.keys():
            few, many = (numbers.times(by_batch[size].ratio.ratio) for size in (least, most))
            changes.append(say("answer.told.batch", few=few, many=many, other=by_batch[most].base.sized_variant))
    fields = {"least": least, "most": most, "tokens": numbers.count(chosen[0].tokens), **chosen[0].case_fields}
    return say("answer.flips.batch", told=joined("and", changes), **fields) if changes else ""


def _published_on_gpu() -> Text:
    """Say what others measured of MLA's kernel over GQA-8's on a GPU, at the fewest and at the most cached tokens.

    Empty where the calibration in force has no such measurement.
    """
    calibration = load_calibration(PUBLISHED_GPU)
    speedups = calibration.speedups if calibration else ()
    rows = [row for row in speedups if (row.heads, row.kv_heads) == PUBLISHED_HEADS]
    if not rows:
        return ""  # a calibration of one's own is in force, which holds nobody else's measurements
    few, many = min(rows, key=lambda row: row.tokens), max(rows, key=lambda row: row.tokens)
    fields = {"few": numbers.times(1 / few.speedup), "many": numbers.times(1 / many.speedup)}
    fields |= {"up_to": numbers.count(few.tokens[1]), "beyond": numbers.count(many.tokens[0])}
    return say("answer.flips.published", gpu="H100", heads=PUBLISHED_HEADS[0], **fields)


def heavy(results: Results, _: Claim) -> ClaimVerdict | None:
    """The verdict on what MHA pays for its context: its cache's share of a decode step's time and memory.

    A share above a half at the longest context of each case bears the claim out; below a half it speaks against it.
    """
    shares = kernel_shares(results)
    if not shares:
        return None
    by_case = grouped(shares, _share_case)
    longest = [max(case, key=lambda share: share.tokens) for case in by_case.values()]
    first = max(longest, key=lambda share: (share.tokens, share.timing.axis("dtype") == SERVED_DTYPE))
    first_case = by_case[_share_case(first)]
    below, above = ([s.tokens for s in first_case if s.side(HALF) == side] for side in (BELOW, ABOVE))
    flips = say("answer.flips.heavy_none", least=numbers.count(first_case[0].tokens))
    if above and below:
        flips = say("answer.flips.heavy", below=numbers.count(max(below)), above=numbers.count(min(above)))
    sides, texts = [share.side(HALF) for share in shares], []
    for share in first_case:
        # The cache's share of the bytes that a layer reads, weights included.
        cache, weights = memory.COUNTED(share.base), noted(share.base.record, "case", "parameter_count")
        element, of_bytes = ELEMENT_BYTES.get(share.base.axis("dtype")), numbers.NOTHING
        if cache and weights and element:
            of_bytes = numbers.percent(cache / (cache + weights * element))
        fields = {"tokens": numbers.count(share.tokens), "time": numbers.percent(share.ratio.ratio)}
        texts.append(say("answer.told.share", memory=of_bytes, **fields))
    counts = {"above": sides.count(ABOVE), "below": sides.count(BELOW), "total": len(sides)}
    return ClaimVerdict(
        outcome=_standing([share.side(HALF) for share in longest], ABOVE),
        evidence=[
            say("answer.told.heavy", told=joined("notes", texts), **first.case_fields),
            say("answer.told.shares", **counts),
        ],
        depends_on=joined("and", map(setting_name, differing(map(_share_case, longest)))),
        lead=first.lead("answer.about.heavy", write=numbers.percent, neutral=HALF),
        flips=flips,
        machine=machine_label(first.timing),
        suffices=any(sides),
    )


def kernel_shares(results: Results) -> list[KernelShare]:
    """The kernel over the layer of every measured decode step of MHA with one new token, by case and context."""
    decodes = [
        timing
        for timing in case_timings(results)
        if (timing.variant, timing.axis("phase"), timing.axis("query_len")) == ("mha", "decode", "1")
        if timing.is_measured and timing.tokens and not timing.axis("cache_dtype")
    ]
    by_record = grouped(decodes, lambda timing: timing.current.record.case.id + timing.label).values()
    spans = [{timing.span: timing for timing in record} for record in by_record]
    pairs = [(case[KERNEL], case[LAYER]) for case in spans if case.keys() >= {KERNEL, LAYER}]
    shares = [
        KernelShare(timing=ours, base=whole) for ours, whole in pairs if ours.launches.keys() & whole.launches.keys()
    ]
    return sorted(shares, key=lambda share: (_share_case(share), share.tokens))


def _share_case(share: KernelShare) -> Pairs:
    return (*axes_without(share.timing, ["attention", "seq_len", "backend"]), ("machine", machine_label(share.timing)))


@dataclass(frozen=True, kw_only=True)
class FormSpread(TimeRatio):
    """The slowest form of one computation over its fastest, of whole layers."""

    family: str
    forms: int

    @property
    def case(self) -> tuple[str, ...]:
        """The label and the axes in which the spreads of two variants must agree to be compared."""
        return (self.timing.label, *map(self.timing.axis, FORM_AXES))


def form_spreads(results: Results) -> list[FormSpread]:
    """The spread of each of our computations whose whole layer was timed on several backends; MLA's modes are forms."""
    spreads = []
    for forms in (forms for subject in callstyle.computations(results, (callstyle.OURS,)) for forms in subject):
        layers = sorted((form[LAYER] for form in forms if LAYER in form), key=lambda timing: timing.median_s)
        if len({timing.backend for timing in layers}) > 1:
            fastest, *_, slowest = layers
            spreads.append(FormSpread(family=forms[0].family, timing=slowest, base=fastest, forms=len(layers)))
    return spreads


def hard_to_implement(results: Results, claim: Claim) -> ClaimVerdict | None:
    """The verdict by two ratios: the lines of MLA's layer over MHA's, and its spread of speed beside MHA's and GQA's.

    Each of the two bears the claim out where MLA's is larger, the lines by HARDER_LINES; both together support it.
    Lines stand in conf/claims.yaml, where a test holds them against the code.
    """
    spreads = form_spreads(results)
    mla_spreads = [spread for spread in spreads if spread.family == "mla"]
    if not mla_spreads:
        return None
    counts: Mapping[str, int] = claim["trial"]["code"]
    times = counts["lines"] / counts["other_lines"]
    by_lines = Standing.SUPPORTED if times >= HARDER_LINES else Standing.CONTRADICTED if times <= 1 else Standing.OPEN
    rivals = [spread for spread in spreads if spread.family in RIVALS]
    pairs = [(ours, theirs) for ours in mla_spreads for theirs in rivals if ours.case == theirs.case]
    wider = sum(ours.ratio.low > theirs.ratio.high for ours, theirs in pairs)
    narrower = sum(ours.ratio.high < theirs.ratio.low for ours, theirs in pairs)
    by_spread = Standing.OPEN
    if bool(wider) != bool(narrower):
        by_spread = Standing.SUPPORTED if wider else Standing.CONTRADICTED
    in_part = Standing.MIXED if Standing.SUPPORTED in (by_lines, by_spread) else Standing.OPEN
    first = min(mla_spreads, key=lambda spread: spread.distance(claim["trial"]["at"]))
    spread_text = say("answer.told.spread", wider=wider, narrower=narrower, total=len(pairs)) if pairs else ""
    return ClaimVerdict(
        outcome=by_lines if by_lines == by_spread else in_part,
        parts={"lines": by_lines, "spread": by_spread},
        evidence=[say("answer.told.code", **counts), *([spread_text] if pairs else [])],
        lead=first.lead("answer.about.spread", forms=first.forms),
        flips=joined("sentence", [say("answer.flips.code", **counts), spread_text]),
        machine=machine_label(first.timing),
        suffices=bool(pairs),
    )
