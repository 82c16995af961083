"""The section on tiers of information, the article's own question: what is kept and what is dropped.

A token that bundles six details is asked for some of them often and for others rarely. Whatever a narrow cache cannot
hold, training decides; whether that is MLA's doing or any narrow cache's, and for want of room or of training, are
questions that the tables answer by rule.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, say_or, section
from suite.report.evidence import p_columns, verdict, verdict_of, with_rule
from suite.report.model.formats import points, share_with_range, with_range
from suite.report.model.labels import GREY, PURPLE, SKY, Style
from suite.report.model.results import Results
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import Panel, height_px, panels, panels_height_px, plot
from suite.report.plot.rows import height_px as rows_height_px
from suite.report.plot.rows import rows
from suite.report.plot.scales import linear, shares
from suite.report.quality import design, families, layout
from suite.report.quality.cache import bytes_axis, faded, lines_of, nearest_table
from suite.report.quality.design import QualityArm, QualityContrast, Value
from suite.report.quality.families import MIXES, REVERSED, UNIFORM, Family, asked_of, mix_share
from suite.report.quality.heads import heads_figure, heads_table
from suite.report.table import Column, column, columns_of
from suite.statistics.paired import ALL_BUT, SHARE_MARGIN, TOLD_APART, Comparison, compare, judge_together

MOST_FAMILIES, MOST_VIEWS, MOST_TOGETHER = 4, 8, 2
REACH = 1.17
"""Room above 100 % for the names of marks."""
APART = 0.14
"""Between the tiers of one row, which often agree."""
Marks = dict[QualityArm, Point]
TIER_STYLES = {
    "often": Style(colour=GREY),
    "sometimes": Style(colour=SKY, marker="square"),
    "rarely": Style(colour=PURPLE, marker="diamond"),
}
"""In colours that no variant of these figures has, a mark each, so that it reads in greyscale."""


def build(results: Results) -> Section | None:
    """Lay out each family of experiments that has answers by tier."""
    found = [family for family in families.families(results) if family.tiers]
    if not found:
        return None
    if len(found) == 1:
        found = [replace(found[0], name="")]
    figures = (_by_bytes, _forms_figure, heads_figure, _curves)
    tables = (_pairs_table, _forms_table, _variants_table, _mixes_table, _cached_table, heads_table)
    return section(
        "quality_tiers",
        figures=[draw(family) for family in found[:MOST_FAMILIES] for draw in figures],
        tables=with_rule([table for family in found for lay_out in tables if (table := lay_out(family)).rows]),
        headlines=[_headline(family, has_label=results.several) for family in found],
    )


def _of(family: Family) -> dict[str, Any]:
    """What tells a family's figures and tables from those of others."""
    return {"settings": family.name, "facets": family.facets}


def recoverable(tier: str) -> Value:
    """Return what gives the share of a tier that a linear reader finds in a run's cache."""
    return lambda run: design.last(run.recoverable, tier)


def _by_bytes(family: Family) -> Figure | None:
    arms = [arm for arm in family.main.arms if design.cache_bytes(arm)]
    if not arms:
        return None

    def tier_panel(tier: str, *others: Marks) -> Panel:
        marks = _marks(arms, design.share_of(tier), "quality_tiers.answered")
        return _panel(say(f"quality_tiers.asked.{tier}"), marks, *others, level=arms[0].first.chance(tier))

    cached = [_marks(arms, recoverable(tier), "quality_tiers.in_cache") for tier in family.tiers]
    mixes = {mix: _marks(arms, mix_share(mix), "quality_tiers.answered") for mix in MIXES}
    views = {"tiers": list(map(tier_panel, family.tiers))}
    if any(cached):
        views["cached"] = list(map(tier_panel, family.tiers, cached))
    if all(mixes.values()):
        views["mixes"] = [_panel(say(f"quality_tiers.mix.{mix}"), marks) for mix, marks in mixes.items()]
    drawn = []
    for name, found in views.items():
        title = say("quality_tiers.axis.cached" if name == "cached" else "quality.axis.answered")
        plotted = panels(found, xaxis=bytes_axis(arms), title=title)
        drawn.append(View(title=say(f"quality_tiers.view.{name}"), figure=plotted))
    caption = say("quality_tiers.by_bytes_caption", updates=numbers.count(family.usual_updates))
    height = panels_height_px(len(family.tiers))
    return layout.figure(
        "quality_tiers.by_bytes",
        drawn,
        arms,
        caption,
        finding=_nearest_finding(family),
        height_px=height,
        **_of(family),
    )


def _nearest_finding(family: Family) -> Text:
    """Tell how latents stand beside grouped heads of the same cache in the rarest tier; else what a variant answers."""
    if found := layout.finding(families.rare_contrasts(family), say(f"quality_tiers.asked.{design.RARELY}")):
        return found
    arm = next((arm for arm in family.main.arms if design.is_plain_mla(arm)), family.main.arms[0])
    answers = " / ".join(_percents(arm, family))
    return say("quality_tiers.finding", name=arm.name, answers=answers, count=len(arm.ended))


def _marks(arms: Sequence[QualityArm], value: Value, what: str) -> Marks:
    marks, hover = {}, "quality_tiers.mark_hover"
    for arm in arms:
        size, values = design.cache_bytes(arm) or 0.0, arm.values(value)
        if values:
            written = numbers.count(size)
            point = layout.share_point(size, values, hover, name=arm.name, what=say(what), bytes=written)
            marks[arm] = replace(point, runs=layout.runs_behind(arm))
    return marks


def _panel(title: Text, marks: Marks, open_marks: Marks | None = None, *, level: float | None = None) -> Panel:
    """Draw a mark for each arm and a line through the sizes of a variant; further marks beside them are open."""
    series = []
    for line in lines_of(dict.fromkeys([*marks, *(open_marks or {})])):
        # The names of sizes would lie over each other.
        first = line.series(marks, "lines+markers+text" if open_marks is None else "lines+markers")
        second = line.series(open_marks or {}, "lines+markers")
        second = replace(second, style=replace(second.style, dash="dot"), ordinal=1, in_legend=False)
        series += [drawn for drawn in (first, second) if drawn.points]
    yaxis = linear("", range=[0, REACH], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%")
    return Panel(title=title, series=series, yaxis=yaxis, level=level or None)


def _forms_figure(family: Family) -> Figure:
    found = family.in_forms
    # MHA beside one latent is one picture; many variants are a view each.
    parts = [[arm for arms in found for arm in arms]] if 0 < len(found) <= MOST_TOGETHER else found[:MOST_VIEWS]
    views = [View(title=arms[0].name if len(parts) > 1 else "", figure=_forms_plot(arms, family)) for arms in parts]
    drawn = [arm for arms in parts for arm in arms]
    more: dict[str, Any] = {"height_px": rows_height_px(max(map(len, parts), default=0)), **_of(family)}
    return layout.figure("quality_tiers.forms", views, drawn, finding=_best_form(family), **more)


def _best_form(family: Family) -> Text:
    """Tell which way of training changes the third tier most, and how many ways the rule tells from skewed queries."""
    against = families.form_contrasts(family)
    if not against:
        return ""
    told = [pair for pair in against.values() if pair.outcome in TOLD_APART]
    first = max(told or against.values(), key=lambda pair: abs(pair.found.mean))
    fields = {"name": first.arm.name, "form": family.form_of(first.arm), "verdict": verdict_of(first)}
    fields["difference"] = layout.difference_text(first)
    return say("quality_tiers.finding_forms", told=len(told), count=len(against), **fields)


def _forms_plot(arms: Sequence[QualityArm], family: Family) -> dict[str, Any]:
    series = []
    for place, tier in enumerate(family.tiers):
        offset, name = APART * (place - (len(family.tiers) - 1) / 2), say(f"quality_tiers.tier.{tier}")
        points = []
        for row, arm in enumerate(arms):
            if values := arm.values(design.share_of(tier)):
                point = layout.share_point(row + offset, values, "quality_tiers.hover", along="x", name=name)
                points.append(replace(point, facets=layout.variant_facet(arm), runs=layout.runs_behind(arm)))
        series.append(Series(name=name, points=points, style=TIER_STYLES[tier], along="x", size=10))
    names = [dotted(arm.name, family.form_of(arm)) for arm in arms]
    return rows(names, series, xaxis=shares(say("quality.axis.answered"), range=[-0.02, 1.04]), shift_px=19)


def _curves(family: Family) -> Figure:
    arms = family.main.arms
    xaxis = linear(say("quality.axis.updates"), separatethousands=True, rangemode="tozero")
    yaxis = shares(say("quality.axis.answered"), range=[0, 1.03])
    views = [
        View(title=say(f"quality_tiers.tier.{tier}"), figure=plot(faded(curves, "lines"), xaxis=xaxis, yaxis=yaxis))
        for tier in reversed(family.tiers)
        if (curves := {arm: curve for arm in arms if (curve := _curve(arm, tier))})
    ]
    tier = family.tiers[-1]
    means = [mean for arm in family.main.arms if (mean := arm.mean(design.share_of(tier))) is not None]
    learnt = sum(mean >= 1 - ALL_BUT for mean in means)
    fields = {"tier": say(f"quality_tiers.asked.{tier}"), "updates": numbers.count(family.usual_updates)}
    finding = say("quality_tiers.finding_curves", learnt=learnt, count=len(means), **fields)
    return layout.figure(
        "quality_tiers.curves", views, arms, finding=finding, height_px=height_px(len(arms)), **_of(family)
    )


def _curve(arm: QualityArm, tier: str) -> list[Point]:
    """The mean share at each evaluation that all seeds have, where their updates are known."""
    curves = [dict(zip(*run.curve(tier), strict=True)) for run in arm.ended]
    reached = {spent: [curve[spent] for curve in curves] for spent in sorted(set.intersection(*map(set, curves)))}
    points = [layout.share_point(at, reached[at], "quality.curve_hover", updates=numbers.count(at)) for at in reached]
    return [replace(point, ends=None) for point in points]


def _pairs_table(family: Family) -> Table:
    tier: Column[QualityContrast] = column("quality_tiers.tier", lambda pair: say(f"quality_tiers.tier.{pair.about}"))
    return nearest_table("quality_tiers.pairs", families.tier_contrasts(family), [tier], **_of(family))


def _forms_table(family: Family) -> Table:
    against = families.form_contrasts(family)
    less = column("quality_tiers.third_against", layout.difference_text, kind=Kind.NUMBER)
    return layout.arm_table(
        "quality_tiers.forms_table",
        [arm for arms in family.in_forms for arm in arms],
        [
            layout.NAME,
            column("quality_tiers.form", family.form_of),
            *columns_of(against.get, [less, layout.VERDICT]),
            layout.SEEDS,
            *_tier_columns(family),
            *columns_of(against.get, layout.TESTED),
        ],
        **_of(family),
    )


def _variants_table(family: Family) -> Table:
    columns = [layout.NAME, *_tier_columns(family), layout.SEEDS, *layout.SIZES]
    columns.append(column("quality.decode", design.decode_s, numbers.seconds))
    return layout.arm_table("quality_tiers.by_variant", family.main.arms, columns, **_of(family))


def _tier_columns(family: Family) -> list[Column[QualityArm]]:
    return [
        column(f"quality_tiers.tier.{tier}", partial(layout.answered_text, kind=tier), kind=Kind.NUMBER)
        for tier in family.tiers
    ]


def _mixes_table(family: Family) -> Table:
    rows = [arm for arm in family.main.arms if arm.values(mix_share("trained"))]
    shares = [
        column(f"quality_tiers.mix.{mix}", partial(_shares, value=mix_share(mix)), kind=Kind.NUMBER) for mix in MIXES
    ]
    columns = [layout.NAME, *shares, column("quality_tiers.reversed_less", _reversed_less, kind=Kind.NUMBER)]
    return layout.arm_table("quality_tiers.mixes", rows, columns, **_of(family))


def _shares(arm: QualityArm, value: Value) -> Text | None:
    return share_with_range(arm.values(value))


def _reversed_less(arm: QualityArm) -> Text | None:
    """Write the share in the reversed mix less the one as it was trained, every seed against itself."""
    less = compare(arm.by_seed(mix_share(REVERSED)), arm.by_seed(mix_share("trained")))
    return None if less is None else _points(less)


def _points(less: Comparison) -> Text:
    return with_range(less.mean, less.interval, points)


def _cached_table(family: Family) -> Table:
    found = found_in_cache(family)
    less: list[Column[Comparison]] = [
        column("quality_tiers.found_less", _points, kind=Kind.NUMBER),
        column("rl_efficiency.in_words", _cached_verdict),
    ]
    return layout.arm_table(
        "quality_tiers.cached",
        [
            (arm, tier)
            for arm in family.main.arms
            for tier in family.tiers
            if arm.values(recoverable(tier)) and arm.values(design.share_of(tier))
        ],
        [
            *columns_of(lambda row: row[0], [layout.NAME]),
            column("quality_tiers.tier", lambda row: say(f"quality_tiers.tier.{row[1]}")),
            column("quality.answered", lambda row: layout.answered_text(*row), kind=Kind.NUMBER),
            column("quality_tiers.found", lambda row: _shares(row[0], recoverable(row[1])), kind=Kind.NUMBER),
            *columns_of(found.get, less),
            *p_columns(lambda row: None if row not in found or _is_answered(found[row]) else found[row]),
        ],
        lambda row: row[0],
        **_of(family),
    )


def found_in_cache(family: Family) -> dict[tuple[QualityArm, str], Comparison]:
    """Compare what is found in the cache with what is answered, by arm and tier; all of a family together.

    Where nearly all is answered nothing is asked of the cache, so those are no part of what Holm corrects.
    """
    found = {
        (arm, tier): less
        for arm in family.main.arms
        for tier in family.tiers
        if (less := compare(*map(arm.by_seed, (recoverable(tier), design.share_of(tier))), margin=SHARE_MARGIN))
    }
    asked = {key: less for key, less in found.items() if not _is_answered(less)}
    return found | dict(zip(asked, judge_together([*asked.values()]), strict=True))


def _is_answered(less: Comparison) -> bool:
    return fmean(less.theirs) >= 1 - ALL_BUT


def _cached_verdict(less: Comparison) -> Text:
    """Whether more, less or as much is in the cache as is answered; or that nearly all of it is answered."""
    if _is_answered(less):
        return say("quality_tiers.cached.answered")
    return say_or(f"quality_tiers.cached.{less.outcome}", verdict(less))


def _headline(family: Family, *, has_label: bool) -> Headline | None:
    """Say what a latent that has other forms of training, else the widest that grades, answers of each tier."""
    in_forms, gradings = [arms[0] for arms in family.latents_in_forms], families.gradings_of(family.main)
    graded = [arm for arm in filter(design.is_plain_mla, family.main.arms) if families.is_graded(gradings.get(arm))]
    chosen = next(iter([*in_forms, *graded]), None)
    if chosen is None or len(family.tiers) < 2:
        return None
    mha = family.main.baseline
    answers = [joined(" ", [arm.name, " / ".join(_percents(arm, family))]) for arm in (chosen, mha) if arm is not None]
    trained = {"updates": numbers.count(family.usual_updates), "seeds": len(chosen.ended)}
    parts: list[Text] = [say("quality_tiers.headline", told=joined("notes", answers), **trained)]
    parts.append(_of_other_forms(chosen, family))
    against = next((pair for pair in families.rare_contrasts(family) if pair.arm is chosen), None)
    often, *_, rarely = _percents(chosen, family)
    text = say("quality_tiers.point", name=chosen.name, often=often, rarely=rarely)
    if against is not None:
        names: dict[str, object] = {"name": chosen.name, "other": against.other.name}
        share = numbers.percent(fmean(against.found.theirs))
        parts.append(say("quality_tiers.headline_pair", **names, share=share, said=verdict_of(against)))
        if against.outcome in TOLD_APART:
            text = say(f"quality_tiers.point.{against.outcome}", **names)
    label = family.main.label if has_label else ""
    return Headline(text=text, detail=joined(": ", [label, joined("sentence", parts)]))


def _percents(arm: QualityArm, family: Family) -> list[str]:
    means = [arm.mean(design.share_of(tier)) for tier in family.tiers]
    return [numbers.NOTHING if mean is None else numbers.percent(mean) for mean in means]


def _of_other_forms(arm: QualityArm, family: Family) -> Text:
    """Say what it answers of the rarest where that was asked as often as the rest, or where it was trained longer."""
    sentences = []
    for other in family.forms_of(arm)[1:]:
        asked, times = asked_of(other), family.times(other) or 0.0
        is_telling = (asked == UNIFORM and times == 1) or (asked == design.SKEWED and times > 1)
        if is_telling and (mean := other.mean(design.share_of(design.RARELY))) is not None:
            share = numbers.percent(mean)
            sentences.append(say("quality_tiers.headline_form", form=family.form_of(other), share=share))
    return say("quality_tiers.headline_forms", name=arm.name, forms=joined("notes", sentences)) if sentences else ""
