"""Verdicts on the article's claims on attention's time: decoding, training, what MHA's cache takes of a step, and what
MLA's form of a call costs beside the lines that it takes to write.

All are ratios of two medians, which are clearly different where their intervals over launches share no value. For each
rival and geometry one case decides, which conf/claims.yaml names; all other cases are counted beside it.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from suite.records import numbers
from suite.records.derived import noted
from suite.records.labels import differing
from suite.report.answers.claims import Claim, ClaimVerdict, Standing, setting_name
from suite.report.answers.trials import machine_of
from suite.report.attention import callstyle, memory
from suite.report.attention.groups import axes_without, representatives, side_by_side
from suite.report.attention.timings import KERNEL, LAYER, Timing, timings
from suite.report.blocks import Lead, Text, joined, say
from suite.report.evidence import Write, lead_of_times
from suite.report.model.experiment import grouped
from suite.report.model.labels import phase_name, variant_label
from suite.report.model.results import Results
from suite.report.model.run import Pairs
from suite.statistics.intervals import Ratio, ratio_of_medians
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.layers.attention_plan import ELEMENT_BYTES

RIVALS = ("mha", "gqa")
PUBLISHED_GPU, PUBLISHED_HEADS = "h100-sxm5-80gb", (128, 8)
"""The GPU, and the heads of queries and of keys, that others' measurements are told of."""
HALF = 0.5
BELOW, ABOVE = -1, 1
SERVED = "bfloat16"
"""The dtype that models are served in."""
MANY_LINES = 2.0
"""A layer of so many times as many lines is harder to write, by any reading."""
FORM_CASE = ("geometry", "phase", "dtype", "seq_len", "query_len", "threads")
"""Axes in which forms of a call agree that are compared."""


@dataclass(frozen=True, kw_only=True)
class TimeRatio:
    """The median time of one timing over that of another."""

    timing: Timing
    base: Timing

    @functools.cached_property
    def ratio(self) -> Ratio:
        return ratio_of_medians(self.timing.interval, self.base.interval)

    @property
    def tokens(self) -> int:
        return self.timing.tokens or 0

    @property
    def is_repeated(self) -> bool:
        return min(self.timing.interval.count, self.base.interval.count) > 1

    def side(self, neutral: float = 1.0) -> int:
        """BELOW or ABOVE `neutral`, where the whole interval lies there; else 0."""
        if not self.is_repeated or self.ratio.low <= neutral <= self.ratio.high:
            return 0
        return BELOW if self.ratio.high < neutral else ABOVE

    def distance(self, usual: Mapping[str, object]) -> tuple[object, ...]:
        """Sorts cases by how near they are to what a claim means, and never by how they came out."""
        matches = sum(self.timing.axis(name) == str(value) for name, value in usual.items())
        launches = min(self.timing.interval.launches, self.base.interval.launches)
        extras, axes = self.timing.shared_extras, sorted(axes_without(self.timing, ["attention", "backend"]))
        return -matches, len(extras), launches == 1, -self.tokens, extras, axes, machine_of(self.timing)

    def lead(self, key: str, *, write: Write = numbers.times, neutral: float = 1.0, **fields: Text | int) -> Lead:
        """The ratio as the number of a verdict, about its case."""
        named = {name: self.timing.axis(name) for name in ("geometry", "dtype")}
        about = say(key, tokens=numbers.count(self.tokens), **named, **fields)
        ratio = replace(self.ratio, high=min(self.ratio.high, 1.0)) if neutral < 1 else self.ratio
        return lead_of_times(ratio, [self.timing.interval, self.base.interval], about, write=write, neutral=neutral)


def speed_cases(results: Results, phase: str, variants: Sequence[str], span: str) -> list[TimeRatio]:
    """MLA's timings of a span over MHA's and GQA's that agree in everything else: below 1 speaks for MLA."""
    of_span = [
        timing
        for timing in representatives(timings(results))
        if timing.is_measured and timing.is_checked and timing.tokens
        if (timing.span, timing.axis("phase")) == (span, phase)
    ]
    return [
        TimeRatio(timing=mla, base=rival)
        for variant in variants
        for rival_variant in RIVALS
        for mla, rival in side_by_side(of_span, variant, rival_variant, ["attention", "backend"])
    ]


def faster(results: Results, claim: Claim) -> ClaimVerdict | None:
    """MLA against MHA and GQA, as it is deployed; the whole layer decides, where it was timed, else the kernel.

    The design's `phase` and `variants` decide; the groups `beside` it are counted.
    """
    design = claim["trial"]
    wanted = design["phase"], design["variants"]
    cases = speed_cases(results, *wanted, LAYER) or speed_cases(results, *wanted, KERNEL)
    if not cases:
        return None
    by_unit = grouped(cases, lambda case: (case.base.variant, case.timing.axis("geometry"))).values()
    deciding = [min(of_unit, key=lambda case: case.distance(design["at"])) for of_unit in by_unit]
    by_rival = grouped(deciding, lambda case: case.base.variant)
    standings = {rival: _standing([case.side() for case in of_rival], BELOW) for rival, of_rival in by_rival.items()}
    outcomes = {*standings.values()}
    first = min(by_rival.get("gqa", deciding), key=lambda case: case.distance(design["at"]))
    phase = phase_name(design["phase"])
    lead = first.lead("answer.about.speed", other=first.base.sized_variant, phase=phase)
    link = {name: first.timing.axis(name) for name in ("geometry", "dtype")}
    evidence: list[Text] = [say("answer.told.cases", told=joined("notes", map(_case_text, deciding)))]
    for group in design["beside"]:
        of_group = speed_cases(results, group["phase"], group["variants"], group["span"])
        evidence += [_counted(f"answer.told.{group['key']}", "answer.told.range", of_group)] if of_group else []
    answers = [say(f"answer.than.{standing}", other=variant_label(rival)) for rival, standing in standings.items()]
    counted = _counted("answer.flips.cases", "answer.told.against", cases)
    return ClaimVerdict(
        outcome=outcomes.pop() if len(outcomes) == 1 else Standing.DEPENDS,
        evidence=evidence,
        answer=joined("list", answers),
        depends_on=setting_name("versus" if len({*standings.values()}) > 1 else "geometry"),
        lead=replace(lead, link={**link, "phase": phase}),
        flips=joined("sentence", [counted, _published_on_gpu() if design.get("tells_published") else ""]),
        machine=machine_of(first.timing),
        suffices=any(case.is_repeated for case in deciding),
    )


def _standing(sides: Sequence[int], supports: int) -> Standing:
    """The standing of a claim by the sides on which its cases lie. `supports`: the side that bears it out."""
    clear = {*sides} - {0}
    if not clear:
        return Standing.OPEN
    return Standing.DEPENDS if len(clear) > 1 else Standing.SUPPORTED if supports in clear else Standing.CONTRADICTED


def _case_text(case: TimeRatio) -> Text:
    """A case that decides."""
    ratio = {name: numbers.times(getattr(case.ratio, name)) for name in ("ratio", "low", "high")}
    named = {name: case.timing.axis(name) for name in ("geometry", "dtype")}
    tokens = numbers.count(case.tokens)
    return say("answer.told.case", other=case.base.sized_variant, tokens=tokens, **ratio, **named)


def _counted(key: str, key_of_part: str, cases: Sequence[TimeRatio]) -> Text:
    """For each rival, in how many cases MLA is clearly faster and slower, and the ends of its ratios."""
    parts = []
    for rival, of_rival in grouped(cases, lambda case: case.base.variant).items():
        sides, ratios = [case.side() for case in of_rival], [case.ratio.ratio for case in of_rival]
        counts = {"faster": sides.count(BELOW), "slower": sides.count(ABOVE), "total": len(sides)}
        ends = {"low": numbers.times(min(ratios)), "high": numbers.times(max(ratios))}
        phase = phase_name(of_rival[0].timing.axis("phase"))
        parts.append(say(key_of_part, other=variant_label(rival), phase=phase, **counts, **ends))
    return say(key, told=joined("notes", parts))


def _published_on_gpu() -> Text:
    """What others measured of MLA's kernel over GQA-8's on a GPU, at the fewest and at the most cached tokens."""
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
    """What MHA pays for its context: the share of a decode step's time and memory that its cache takes.

    A share above a half at the longest context of each case bears the claim out; below a half it speaks against it.
    """
    shares = kernel_shares(results)
    if not shares:
        return None
    by_case = grouped(shares, _case_of_share)
    longest = [max(of_case, key=lambda share: share.tokens) for of_case in by_case.values()]
    first = max(longest, key=lambda share: (share.tokens, share.timing.axis("dtype") == SERVED))
    of_first = by_case[_case_of_share(first)]
    below, above = ([s.tokens for s in of_first if s.side(HALF) == side] for side in (BELOW, ABOVE))
    flips = say("answer.flips.heavy_none", least=numbers.count(of_first[0].tokens))
    if above and below:
        flips = say("answer.flips.heavy", below=numbers.count(max(below)), above=numbers.count(min(above)))
    sides = [share.side(HALF) for share in shares]
    counts = {"above": sides.count(ABOVE), "below": sides.count(BELOW), "total": len(sides)}
    named = {name: first.timing.axis(name) for name in ("geometry", "dtype")}
    return ClaimVerdict(
        outcome=_standing([share.side(HALF) for share in longest], ABOVE),
        evidence=[
            say("answer.told.heavy", told=joined("notes", map(_share_text, of_first)), **named),
            say("answer.told.shares", **counts),
        ],
        depends_on=joined("list", map(setting_name, differing(map(_case_of_share, longest)))),
        lead=first.lead("answer.about.heavy", write=numbers.percent, neutral=HALF),
        flips=flips,
        machine=machine_of(first.timing),
        suffices=any(sides),
    )


def kernel_shares(results: Results) -> list[TimeRatio]:
    """The kernel over the layer of every measured decode step of MHA with one new token, by case and context."""
    decodes = [
        timing
        for timing in representatives(timings(results))
        if (timing.variant, timing.axis("phase"), timing.axis("query_len")) == ("mha", "decode", "1")
        if timing.is_measured and timing.tokens and not timing.axis("cache_dtype")
    ]
    by_record = grouped(decodes, lambda timing: timing.current.record.case.id + timing.label).values()
    spans = [{timing.span: timing for timing in of_record} for of_record in by_record]
    shares = [TimeRatio(timing=of[KERNEL], base=of[LAYER]) for of in spans if of.keys() >= {KERNEL, LAYER}]
    return sorted(shares, key=lambda share: (_case_of_share(share), share.tokens))


def _case_of_share(share: TimeRatio) -> Pairs:
    """What it shares with other contexts."""
    return (*axes_without(share.timing, ["attention", "seq_len", "backend"]), ("machine", machine_of(share.timing)))


def _share_text(share: TimeRatio) -> Text:
    """The kernel's part of the time, and the cache's of the bytes that the layer holds, weights included."""
    cache, weights = memory.COUNTED(share.base), noted(share.base.record, "case", "parameter_count")
    element = ELEMENT_BYTES.get(share.base.axis("dtype"))
    held = numbers.percent(cache / (cache + weights * element)) if cache and weights and element else numbers.NOTHING
    time = numbers.percent(share.ratio.ratio)
    return say("answer.told.share", tokens=numbers.count(share.tokens), time=time, memory=held)


@dataclass(frozen=True, kw_only=True)
class FormSpread(TimeRatio):
    """The slowest form of one computation over its fastest, of whole layers."""

    family: str
    forms: int

    @property
    def case(self) -> tuple[str, ...]:
        return (self.timing.label, *map(self.timing.axis, FORM_CASE))


def form_spreads(results: Results) -> list[FormSpread]:
    """The spread of each computation over the forms of a call, its modes among them."""
    spreads = []
    for forms in (forms for of_subject in callstyle.computations(results, (callstyle.OURS,)) for forms in of_subject):
        layers = sorted((form[LAYER] for form in forms if LAYER in form), key=lambda timing: timing.median_s)
        if len({timing.backend for timing in layers}) > 1:
            family, (fastest, *_, slowest) = forms[0].family, layers
            spreads.append(FormSpread(family=family, timing=slowest, base=fastest, forms=len(layers)))
    return spreads


def hard_to_implement(results: Results, claim: Claim) -> ClaimVerdict | None:
    """By the lines of MLA's layer over MHA's, and by its spread of speed over forms of a call beside MHA's and GQA's.

    Each of the two bears the claim out where MLA's is larger, the lines by MANY_LINES; both together support it. Lines
    stand in conf/claims.yaml, where a test holds them against the code.
    """
    spreads = form_spreads(results)
    of_mla = [spread for spread in spreads if spread.family == "mla"]
    if not of_mla:
        return None
    counts: Mapping[str, int] = claim["trial"]["code"]
    times = counts["lines"] / counts["other_lines"]
    by_lines = Standing.SUPPORTED if times >= MANY_LINES else Standing.CONTRADICTED if times <= 1 else Standing.OPEN
    rivals = [spread for spread in spreads if spread.family in RIVALS]
    pairs = [(ours, theirs) for ours in of_mla for theirs in rivals if ours.case == theirs.case]
    wider = sum(ours.ratio.low > theirs.ratio.high for ours, theirs in pairs)
    narrower = sum(ours.ratio.high < theirs.ratio.low for ours, theirs in pairs)
    by_spread = (
        Standing.SUPPORTED
        if wider and not narrower
        else Standing.CONTRADICTED
        if narrower and not wider
        else Standing.OPEN
    )
    both = {by_lines, by_spread}
    first = min(of_mla, key=lambda spread: spread.distance(claim["trial"]["at"]))
    spread_text = say("answer.told.spread", wider=wider, narrower=narrower, total=len(pairs)) if pairs else ""
    return ClaimVerdict(
        outcome=by_lines if len(both) == 1 else Standing.MIXED if Standing.SUPPORTED in both else Standing.OPEN,
        evidence=[say("answer.told.code", **counts), *([spread_text] if pairs else [])],
        lead=first.lead("answer.about.spread", forms=first.forms),
        flips=joined("sentence", [say("answer.flips.code", **counts), spread_text]),
        machine=machine_of(first.timing),
        suffices=bool(pairs),
    )
