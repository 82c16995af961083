"""Verdicts on the article's claims on attention's time: decoding, training, and what MHA takes of a step.

Two timings are clearly different where their intervals over launches share no value. For each rival and geometry one
case counts, which conf/claims.yaml names; all other cases are counted beside it.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from suite.records import numbers
from suite.records.derived import noted
from suite.records.machines import plain_name
from suite.report.answers.claims import CONTRADICTED, DEPENDS, LEFT_OPEN, SUPPORTED, Verdict, trial_design
from suite.report.answers.leads import lead_of_times
from suite.report.answers.trials import setting_name
from suite.report.attention import memory
from suite.report.attention.groups import axes_of, representatives, side_by_side
from suite.report.attention.timings import KERNEL, LAYER, Timing, span_title, timings
from suite.report.blocks import Lead, Text, joined, say
from suite.report.model.experiment import grouped
from suite.report.model.labels import phase_name, variant_label
from suite.report.model.results import Results
from suite.report.model.run import machine_name, mapping, number_of
from suite.statistics.intervals import Ratio, ratio_of_medians
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.layers.attention_plan import ELEMENT_BYTES

DEPLOYED = {"decode": ("mla",), "prefill": ("mla", "mla_expanded"), "train": ("mla", "mla_expanded")}
"""MLA as one deploys it, by phase: absorbed in decode, expanded in a prefill and in training."""
ABSORBED, EXPANDED = "mla_absorbed", "mla_expanded"
RIVALS = ("mha", "gqa")
TURNING = ("seq_len", "query_len", "heads")
PUBLISHED_GPU, PUBLISHED_HEADS = "h100-sxm5-80gb", (128, 8)
"""The GPU, and the heads of queries and of keys, that others' measurements are told of."""
MOST_TOLD = 3
HALF = 0.5
SERVED = "bfloat16"
"""The dtype that models are served in."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A quantity of MLA beside that of another variant, in one case."""

    mla: Timing
    other: Timing
    ratio: Ratio
    """MLA's time over the other's: below 1 speaks for MLA."""

    @property
    def ruling(self) -> str:
        if not self.ratio.is_told_apart:
            return LEFT_OPEN
        return SUPPORTED if self.ratio.ratio < 1 else CONTRADICTED

    @functools.cached_property
    def settings(self) -> dict[str, str]:
        axes = {
            name: self.mla.axis(name)
            for name in ("phase", "query_len", "seq_len", "dtype", "geometry", "tp", "batch", "match")
        }
        heads = mapping(self.mla.record.settings, "geometry").get("num_heads")
        own = {"versus": self.other.variant, "heads": str(heads or ""), "machine": machine_of(self.mla)}
        return {name: value for name, value in {**axes, **own}.items() if value}


def machine_of(timing: Timing) -> str:
    """Return the name of the machine that a timing was taken on."""
    return plain_name(machine_name(timing.record))


def faster_inference(results: Results) -> Verdict | None:
    """MLA against MHA and GQA in decoding, as it is deployed; the whole layer counts. A prefill is told beside it."""
    decodes, prefills = beside(results, "decode"), beside(results, "prefill")
    layers = [pair for pair in decodes if pair.mla.span == LAYER] or decodes
    if not layers:
        return None
    evidence = [_counted("answer.told.layer", [*layers, *_layers(prefills)]), _ranges([*layers, *_layers(prefills)])]
    if kernels := [pair for pair in (*decodes, *prefills) if pair.mla.span == KERNEL]:
        evidence.append(_counted("answer.told.kernel", kernels))
    if absorbed := _layers(beside(results, "prefill", (ABSORBED,))):
        evidence.append(_counted("answer.told.absorbed", absorbed))
    for name in TURNING:
        alike = grouped([*decodes, *prefills], partial(_without, name))
        turns = [turn for same in alike.values() for turn in _turns_of(name, same)]
        fields = {"told": joined("notes", turns[:MOST_TOLD]), "count": len(turns)}
        evidence += [say("answer.told.turns", name=setting_name(name), **fields)] if turns else []
    return _of_timings("mla-faster-inference", layers, evidence, [_published_on_gpu()])


def _published_on_gpu() -> Text:
    """What others measured of MLA's kernel over GQA-8's on a GPU, at the fewest and at the most cached tokens."""
    heads, kv_heads = PUBLISHED_HEADS
    calibration = load_calibration(PUBLISHED_GPU)
    speedups = calibration.speedups if calibration else ()
    rows = [row for row in speedups if (row.heads, row.kv_heads) == (heads, kv_heads)]
    if not rows:
        return ""  # a calibration of one's own is in force, which holds nobody else's measurements
    few, many = min(rows, key=lambda row: row.tokens), max(rows, key=lambda row: row.tokens)
    return say(
        "answer.flips.published",
        gpu="H100",
        heads=heads,
        few=numbers.times(1 / few.speedup),
        up_to=numbers.count(few.tokens[1]),
        many=numbers.times(1 / many.speedup),
        beyond=numbers.count(many.tokens[0]),
    )


def _layers(pairs: Sequence[Compared]) -> list[Compared]:
    return [pair for pair in pairs if pair.mla.span == LAYER]


def _without(name: str, pair: Compared) -> tuple[object, ...]:
    """What a pair is about but for a setting."""
    return pair.mla.span, *sorted((key, value) for key, value in pair.settings.items() if key != name)


def _turns_of(name: str, pairs: Sequence[Compared]) -> list[Text]:
    """The values between which MLA turns from faster to slower, or back."""
    ordered = sorted(
        (pair for pair in pairs if pair.ruling != LEFT_OPEN),
        key=lambda pair: number_of(pair.settings.get(name, "")) or 0.0,
    )
    turns = list[Text]()
    for pair, after in pairwise(ordered):
        if pair.ruling != after.ruling:
            sides = {
                "first": _value(name, pair),
                "then": _value(name, after),
            }
            fields = {
                "geometry": pair.settings["geometry"],
                "dtype": pair.settings["dtype"],
                "other": variant_label(pair.other.variant),
            }
            way = "slower" if after.ruling == CONTRADICTED else "faster"
            turns.append(
                say(
                    f"answer.told.turn.{way}",
                    span=span_title(pair.mla.span),
                    phase=phase_name(pair.mla.axis("phase")),
                    **sides,
                    **fields,
                )
            )
    return turns


def _value(name: str, pair: Compared) -> Text:
    return say(f"answer.value.{name}", value=numbers.count(number_of(pair.settings[name]) or 0.0))


def cheaper_training(results: Results) -> Verdict | None:
    """MLA against MHA and GQA by the time of a forward and backward pass; its peak memory is told beside it."""
    layers = _layers(beside(results, "train"))
    if not layers:
        return None
    evidence = [_counted("answer.told.training", layers), _ranges(layers)]
    if peaks := [ratio for pair in layers if (ratio := _peak_ratio(pair)) is not None]:
        low, high = numbers.times(min(peaks)), numbers.times(max(peaks))
        less = sum(ratio < 1 for ratio in peaks)
        evidence.append(say("answer.told.peaks", less=less, total=len(peaks), low=low, high=high))
    if absorbed := _layers(beside(results, "train", (ABSORBED,))):
        evidence.append(_counted("answer.told.absorbed_training", absorbed))
    return _of_timings("mla-cheaper-training", layers, evidence)


def _peak_ratio(pair: Compared) -> float | None:
    ours, theirs = memory.LAYER_PEAK(pair.mla), memory.LAYER_PEAK(pair.other)
    return ours / theirs if ours and theirs else None


def beside(results: Results, phase: str, variants: Sequence[str] = ()) -> list[Compared]:
    """Compare MLA's timings of a phase with MHA's and GQA's that agree in everything else; as it is deployed, unless
    other variants are named.
    """
    of_phase = [
        timing
        for timing in representatives(timings(results))
        if timing.is_measured
        and timing.is_checked
        and timing.tokens
        and timing.axis("phase") == phase
        and timing.span in (LAYER, KERNEL)
    ]
    return [
        Compared(mla=mla, other=other, ratio=ratio_of_medians(mla.interval, other.interval))
        for variant in (variants or DEPLOYED[phase])
        for rival in RIVALS
        for mla, other in side_by_side(of_phase, variant, rival, ["attention", "backend"])
    ]


def _of_timings(
    claim_id: str, pairs: Sequence[Compared], evidence: Sequence[Text], more_flips: Sequence[Text] = ()
) -> Verdict:
    """Rule on ratios of times: for each rival by one case a geometry, whatever came out of it."""
    at = {name: str(value) for name, value in trial_design(claim_id).get("at", {}).items()}
    cases = grouped(pairs, lambda pair: (pair.other.variant, pair.mla.axis("geometry")))
    primary = [min(alike, key=partial(_place, at)) for alike in cases.values()]
    by_rival = {rival: [pair for pair in primary if pair.other.variant == rival] for rival in RIVALS}
    against = {rival: _together([pair.ruling for pair in of_rival]) for rival, of_rival in by_rival.items() if of_rival}
    outcomes = set(against.values())
    outcome = (
        next(iter(outcomes)) if len(outcomes) == 1 else DEPENDS if outcomes & {SUPPORTED, CONTRADICTED} else LEFT_OPEN
    )
    lead = min(by_rival["gqa"] or primary, key=partial(_place, at))
    told = [say(f"answer.than.{ruling}", other=variant_label(rival)) for rival, ruling in against.items()]
    return Verdict(
        outcome=outcome,
        evidence=[_told_primary(primary), *evidence],
        answer=joined("list", told),
        on=setting_name("versus" if len(outcomes) > 1 else "geometry"),
        lead=_lead(lead),
        flips=joined("sentence", [_counted("answer.flips.cases", pairs), *more_flips]),
        machine=machine_of(lead.mla),
        suffices=any(min(pair.mla.interval.count, pair.other.interval.count) > 1 for pair in primary),
    )


def _together(rulings: Sequence[str]) -> str:
    clear = {*rulings} - {LEFT_OPEN}
    return DEPENDS if len(clear) > 1 else next(iter(clear), LEFT_OPEN)


def _place(at: Mapping[str, str], pair: Compared) -> tuple[object, ...]:
    """Sort cases by how near they are to what a claim means, and never by how they came out."""
    mla = pair.mla
    matches = sum(pair.settings.get(name) == value for name, value in at.items())
    launches = min(mla.interval.launches, pair.other.interval.launches)
    return -matches, len(mla.shared_extras), launches == 1, -(mla.tokens or 0), sorted(pair.settings.items())


def _told_primary(primary: Sequence[Compared]) -> Text:
    """Tell the case of each rival and geometry that the verdict follows from."""
    parts = [
        say(
            "answer.told.case",
            other=pair.other.sized_variant,
            ratio=numbers.times(pair.ratio.ratio),
            low=numbers.times(pair.ratio.low),
            high=numbers.times(pair.ratio.high),
            tokens=numbers.count(pair.mla.tokens or 0),
            **{name: pair.mla.axis(name) for name in ("geometry", "dtype")},
        )
        for pair in primary
    ]
    return say("answer.told.cases", told=joined("notes", parts))


def _lead(pair: Compared) -> Lead:
    about = say(
        "answer.about.speed",
        other=pair.other.sized_variant,
        phase=phase_name(pair.mla.axis("phase")),
        geometry=pair.mla.axis("geometry"),
        tokens=numbers.count(pair.mla.tokens or 0),
        dtype=pair.mla.axis("dtype"),
    )
    lead = lead_of_times(pair.ratio, about, [pair.mla.interval, pair.other.interval])
    case = {name: pair.mla.axis(name) for name in ("geometry", "dtype")}
    return replace(lead, link={**case, "phase": phase_name(pair.mla.axis("phase"))})


def _counted(key: str, found: Sequence[Compared]) -> Text:
    """Count, for each rival and phase, the cases in which MLA is told apart as faster and as slower."""
    groups = grouped(found, lambda pair: (pair.other.variant, pair.mla.axis("phase")))
    parts = []
    for (rival, phase), pairs in groups.items():
        rulings = [pair.ruling for pair in pairs]
        counts = {"faster": rulings.count(SUPPORTED), "slower": rulings.count(CONTRADICTED), "total": len(pairs)}
        parts.append(say("answer.told.against", other=variant_label(rival), phase=phase_name(phase), **counts))
    return say(key, told=joined("notes", parts))


def _ranges(found: Sequence[Compared]) -> Text:
    """Tell the ends of each rival's and phase's ratios, and at which context they are."""
    parts = []
    for (rival, phase), pairs in grouped(found, lambda pair: (pair.other.variant, pair.mla.axis("phase"))).items():
        by_ratio = sorted(pairs, key=lambda pair: pair.ratio.ratio)
        ends = [
            (numbers.times(pair.ratio.ratio), numbers.count(pair.mla.tokens or 0))
            for pair in (by_ratio[0], by_ratio[-1])
        ]
        (low, at_low), (high, at_high) = ends
        fields = {"low": low, "at_low": at_low, "high": high, "at_high": at_high}
        parts.append(say("answer.told.range", other=variant_label(rival), phase=phase_name(phase), **fields))
    return say("answer.told.ranges", told=joined("notes", parts))


def heavy(results: Results) -> Verdict | None:
    """What MHA pays for its context: the share of a decode step's time and memory that its cache takes.

    A share above a half at the longest context bears the claim out; below a half it speaks against it.
    """
    shares = heavy_shares(results)
    if not shares:
        return None
    longest = max(shares, key=_longest)
    of_case = [share for share in shares if share.case == longest.case]
    by_case = grouped(shares, lambda share: share.case).values()
    at_longest = [share for group in by_case for share in group if share.tokens == max(other.tokens for other in group)]
    outcome = _together([share.ruling for share in at_longest])
    differing = [name for name, _ in longest.case if len({dict(share.case).get(name) for share in at_longest}) > 1]
    about = {"geometry": longest.layer.axis("geometry"), "dtype": longest.layer.axis("dtype")}
    above, below = ([share.tokens for share in of_case if share.ruling == side] for side in (SUPPORTED, CONTRADICTED))
    if above and below:
        flips = say("answer.flips.heavy", below=numbers.count(max(below)), above=numbers.count(min(above)))
    else:
        flips = say("answer.flips.heavy_none", least=numbers.count(min(share.tokens for share in of_case)))
    rulings = [share.ruling for share in shares]
    counts = {"above": rulings.count(SUPPORTED), "below": rulings.count(CONTRADICTED), "total": len(shares)}
    return Verdict(
        outcome=outcome,
        evidence=[
            say("answer.told.heavy", told=joined("notes", map(_told_share, sorted(of_case, key=_longest))), **about),
            say("answer.told.shares", **counts),
        ],
        on=joined("list", map(setting_name, differing)),
        lead=lead_of_times(
            replace(longest.ratio, high=min(longest.ratio.high, 1.0)),
            say("answer.about.heavy", tokens=numbers.count(longest.tokens), **about),
            [longest.kernel.interval, longest.layer.interval],
            text=numbers.percent,
            neutral=HALF,
        ),
        flips=flips,
        machine=machine_of(longest.layer),
        suffices=any(ruling != LEFT_OPEN for ruling in rulings),
    )


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of one decode step of a layer that attention over MHA's cache takes."""

    kernel: Timing
    layer: Timing
    ratio: Ratio
    memory: float | None
    """The cache's bytes of those that the layer holds, weights included."""

    @property
    def tokens(self) -> int:
        return self.layer.tokens or 0

    @functools.cached_property
    def case(self) -> tuple[tuple[str, str], ...]:
        """Return what it shares with other contexts."""
        return (*axes_of(self.layer, ["attention", "seq_len", "backend"]), ("machine", machine_of(self.layer)))

    @property
    def ruling(self) -> str:
        if 1 in (self.kernel.interval.count, self.layer.interval.count):
            return LEFT_OPEN
        return SUPPORTED if self.ratio.low > HALF else CONTRADICTED if self.ratio.high < HALF else LEFT_OPEN


def _longest(share: Share) -> tuple[int, bool]:
    return share.tokens, share.layer.axis("dtype") == SERVED


def heavy_shares(results: Results) -> list[Share]:
    """The shares of every measured decode step of MHA with one new token."""
    decodes = [
        timing
        for timing in timings(results)
        if (timing.variant, timing.axis("phase"), timing.axis("query_len")) == ("mha", "decode", "1")
        and timing.is_measured
        and timing.tokens
        and not timing.axis("cache_dtype")
    ]
    shares = []
    for same in grouped(representatives(decodes), lambda timing: timing.current.record.case.id + timing.label).values():
        spans = {timing.span: timing for timing in same}
        if KERNEL in spans and LAYER in spans:
            kernel, layer = spans[KERNEL], spans[LAYER]
            ratio = ratio_of_medians(kernel.interval, layer.interval)
            cache, weights = memory.COUNTED(layer), noted(layer.record, "case", "parameter_count")
            element = ELEMENT_BYTES.get(layer.axis("dtype"))
            share_of_memory = cache / (cache + weights * element) if cache and weights and element else None
            shares.append(Share(kernel=kernel, layer=layer, ratio=ratio, memory=share_of_memory))
    return sorted(shares, key=lambda one: (one.case, one.tokens))


def _told_share(share: Share) -> Text:
    fields = {"tokens": numbers.count(share.tokens), "time": numbers.percent(share.ratio.ratio)}
    memory_share = numbers.NOTHING if share.memory is None else numbers.percent(share.memory)
    return say("answer.told.share", memory=memory_share, **fields)
