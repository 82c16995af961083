"""Tables, figures and sentences about arms of workload=quality, their differences, and the bytes that they cache."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, TypeVar

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Table, Text, View, joined, say
from suite.report.evidence import IN_WORDS, contrast_verdict, difference, p_columns
from suite.report.model import formats
from suite.report.model.experiment import grouped
from suite.report.model.labels import Style, variant_label, variant_sort_key
from suite.report.plot.plots import Axis, Point, Series, byte_axis
from suite.report.quality import design
from suite.report.quality.contrasts import LOSS, cache_ratio, is_same_cache
from suite.report.quality.design import ALL, QualityArm, QualityContrast, QualityRun, cache_bytes
from suite.report.table import Column, column, table
from suite.statistics.paired import TOLD_APART, ArmOutcome

R = TypeVar("R")
ASIDE = {"frozen": 1.04, "slice": 1.08}  # of a latent's bytes, where it is drawn
OUTCOMES = {"higher": ArmOutcome.HIGHER, "lower": ArmOutcome.LOWER}


def difference_text(pair: QualityContrast) -> Text:
    """A difference with its interval; of a loss, its sign turned back, so that a lower loss is below zero."""
    interval, mean = pair.comparison.interval, pair.comparison.mean
    if pair.quantity is not LOSS:
        return difference(pair)
    turned = interval and replace(interval, estimate=-mean, low=-interval.high, high=-interval.low)
    return formats.with_range(-mean, turned, formats.bits)


def answered_text(arm: QualityArm, kind: str = ALL) -> Text | None:
    """An arm's share of questions of a kind, with its interval over seeds; None where none is known."""
    return formats.share_with_range(arm.values(design.final_share(kind)))


def seeds_text(arm: QualityArm) -> Text:
    count = numbers.count(len(arm.ended))
    return say("quality.failed", count=count, failed=numbers.count(arm.failed)) if arm.failed else count


def variant_facet(arm: QualityArm) -> dict[str, Text]:
    """The variant of an arm as the facet of its row; empty where it has none."""
    return {"variant": arm.facets.get("variant", "")}


def finding(pairs: Sequence[QualityContrast], about: Text = "") -> Text:
    """A sentence on the largest clear difference, else on the largest, with how many are clear; empty without pairs.
    Where nothing was tested it says why. `about`: the questions; the task where it is empty."""
    if not pairs:
        return ""
    tested = [pair for pair in pairs if pair.comparison.is_tested]
    clear = [pair for pair in tested if pair.outcome in TOLD_APART]
    first = max(clear or tested or pairs, key=lambda pair: abs(pair.comparison.mean))
    return say(
        f"quality.finding.{'untested' if not tested else 'told' if clear else 'open'}",
        count=len(tested or pairs),
        arm=first.arm.name,
        other=first.other.name,
        verdict=contrast_verdict(first),
        about=about or first.arm.first.task,
        difference=difference_text(first),
        pairs=first.comparison.pairs,
        unit=say(f"quality.unit.{first.quantity.unit}"),
        **{name: sum(pair.outcome is outcome for pair in clear) for name, outcome in OUTCOMES.items()},
    )


def figure(key: str, views: Sequence[View], arms: Iterable[QualityArm], caption: Text = "", **more: Any) -> Figure:
    """A figure whose title and caption stand under `key`; it says where no arm has a second seed. Figures of one key
    are a family. `caption`: instead of the one under `key`. `more`: anything else of a Figure."""
    is_single = all(len(arm.ended) == 1 for arm in arms)
    sentences = [caption or say(f"{key}_caption"), say("quality.one_seed") if is_single else ""]
    return Figure(title=say(key), family=say(key), caption=joined("sentence", sentences), views=views, **more)


def arm_table(
    key: str,
    rows: Iterable[R],
    columns: Iterable[Column[R]],
    arm: Callable[[Any], QualityArm] | None = lambda row: row,
    **more: Any,
) -> Table:
    """A table of rows about an arm each, whose title and note stand under `key`. `arm` gives the arm of a row; None
    where a row is about two. `more`: anything else of a table."""
    defaults = {"family": say(key), "note": say(f"{key}_note")}
    facets_of = (lambda row: variant_facet(arm(row))) if arm else None
    return table(say(key), rows, columns, facets_of=facets_of, **defaults | more)


NAME: Column[QualityArm] = column("column.variant", lambda arm: arm.name)
EXPERIMENT: Column[QualityArm] = column("quality.experiment", lambda arm: arm.first.experiment_name)
SEEDS: Column[QualityArm] = column("rl.seeds", seeds_text, kind=Kind.NUMBER)
SIZES: list[Column[QualityArm]] = [
    column("quality.bytes", cache_bytes, numbers.count),
    column("quality.parameters", lambda arm: arm.first.constant("model_parameter_count"), numbers.count),
]
VERDICT: Column[QualityContrast] = column(IN_WORDS, contrast_verdict)
TESTED: list[Column[QualityContrast]] = p_columns(lambda pair: pair.comparison)


def share_columns(ours: str, theirs: str) -> list[Column[QualityContrast]]:
    """Columns of a comparison by a share: difference, verdict, seeds, both arms' shares under these titles, both p."""
    return [
        column("quality.difference", difference_text, kind=Kind.NUMBER),
        VERDICT,
        column("rl.seeds", lambda pair: pair.comparison.pairs, numbers.count),
        column(ours, lambda pair: formats.share_with_range(pair.comparison.ours), kind=Kind.NUMBER),
        column(theirs, lambda pair: formats.share_with_range(pair.comparison.theirs), kind=Kind.NUMBER),
        *TESTED,
    ]


def nearest_table(
    key: str, pairs: Iterable[QualityContrast], about: Sequence[Column[QualityContrast]], **more: Any
) -> Table:
    """Lay out comparisons at the nearest cache. `about`: the columns that say which tasks or tiers they are of."""

    columns: list[Column[QualityContrast]] = [
        column("quality.latent", lambda pair: pair.arm.name),
        column("quality.against", lambda pair: pair.other.name),
        *about,
        *share_columns("quality.answered", "quality.other_answered"),
        column("quality.bytes", lambda pair: cache_bytes(pair.arm), numbers.count),
        column(
            "quality.bytes_over",
            lambda pair: "=" if is_same_cache(pair) else numbers.times(cache_ratio(pair.arm, pair.other)),
            kind=Kind.NUMBER,
        ),
    ]
    return arm_table(key, pairs, columns, None, **more)


def quality_text(arm: QualityArm, kind: str = ALL) -> Text | None:
    """What an arm answered of a kind of question, or its final loss where it is judged by that, with its interval."""
    if not design.is_by_loss(arm):
        return answered_text(arm, kind)
    return formats.mean_with_range(arm.values(QualityRun.final_loss), "{:.3f}".format, "–")


def size_marks(arms: Iterable[QualityArm], kind: str = ALL) -> dict[QualityArm, Point]:
    """By arm, where its cache bytes are known, a mark with its 95% interval, which says what `quality_text` says. Marks
    of latents that nobody trained stand a little aside, since these cache as many bytes as trained ones."""
    marks = {}
    for arm in arms:
        by_loss, size = design.is_by_loss(arm), cache_bytes(arm)
        values = arm.values(QualityRun.final_loss if by_loss else design.final_share(kind))
        if not size or not values:
            continue
        decode_s = design.decode_s(arm)
        hover = say(
            "quality.mark_hover",
            name=arm.name,
            value=quality_text(arm, kind),
            count=len(values),
            bytes=numbers.count(size),
            decode=numbers.NOTHING if decode_s is None else numbers.seconds(decode_s),
        )
        ends = formats.interval_ends(formats.mean_interval(values) if by_loss else formats.share_interval(values))
        x = size * ASIDE.get(arm.value(design.LATENT), 1.0)
        marks[arm] = Point(x=x, y=fmean(values), ends=ends, hover=hover, runs=arm.run_keys)
    return marks


def size_lines(points: Mapping[QualityArm, Point]) -> list[Series]:
    """A line for each variant, and each part that it lacks, through its sizes, the narrowest cache first. Each point
    of a variant that lacks no training has its size beside it."""
    by_size = sorted(points, key=lambda arm: cache_bytes(arm) or 0.0)
    groups = grouped(by_size, lambda arm: (arm.first.attention, *map(arm.value, design.TAKEN_AWAY)))
    looks, lines = list[tuple[str, str]](), list[Series]()
    for key in sorted(groups, key=lambda key: (variant_sort_key(key[0]), key)):
        arms, first = groups[key], groups[key][0]
        has_groups = any(arm.value(design.KV_HEADS) for arm in arms)
        has_widths = any(not arm.first.is_wide for arm in arms)
        kind = "rank" if design.is_latent(first) else "groups" if has_groups else "width" if has_widths else ""

        is_untrained, name = design.lacks(first, design.LATENT), first.name
        if len(arms) > 1:
            name = design.name_without_parts(variant_label(first.first.attention), first)
            name = say(f"quality.line.{kind}", name=name) if kind else name
        line = size_series(
            name,
            [
                replace(
                    points[arm], text=_size(arm, has_groups, has_widths) if len(arms) > 1 and not is_untrained else ""
                )
                for arm in arms
            ],
            replace(first.style, dash="dot") if is_untrained else first.style,
            # Marks of a latent and of grouped heads often lie on each other.
            names_at="top left" if design.is_latent(first) else "bottom right",
            ordinal=looks.count((key[0], first.style.marker)),
            mode="lines+markers+text",
            more={},
            facets=variant_facet(first),
        )
        lines.append(line)
        looks.append((key[0], first.style.marker))
    return lines


def _size(arm: QualityArm, has_groups: bool, has_widths: bool) -> str:
    """The size beside an arm's point: a latent's rank, else groups × head width, whichever differ on the line."""
    if design.is_latent(arm):
        return str(design.latent_rank(arm) or "")
    width = arm.value(design.HEAD_DIM) or arm.first.setting(design.HEAD_DIM)
    return "×".join(filter(None, [arm.value(design.KV_HEADS) if has_groups else "", width if has_widths else ""]))


def size_series(
    name: Text, points: Sequence[Point], style: Style, *, names_at: str, more: Mapping[str, Any], **looks: Any
) -> Series:
    """A line over cache bytes whose points have their sizes beside them. `looks`: anything else of a Series."""
    names = {"textposition": names_at, "textfont": {"size": 10, "color": style.colour}, "cliponaxis": False}
    return Series(name=name, points=points, style=style, more={**names, **more}, **looks)


def bytes_axis(arms: Iterable[QualityArm]) -> Axis:
    return byte_axis(say("quality.axis.bytes"), [cache_bytes(arm) or 1.0 for arm in arms])
