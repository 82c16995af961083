"""The section on tiers of information, the article's own question: what is kept and what is dropped.

A token that bundles six details is asked for some of them often and for others rarely. Whatever a narrow cache cannot
hold, training decides; whether that is MLA's doing or any narrow cache's, and for want of room or of training, are
questions that the tables answer by rule.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, joined, say, say_or, section
from suite.report.evidence import p_columns, verdict, verdict_of, with_rule
from suite.report.model.formats import ends_of, points, share_interval, share_with_range, with_range
from suite.report.model.labels import GREY, PURPLE, SKY, Style
from suite.report.model.results import Results
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import Panel, height_px, panels, panels_height_px, plot
from suite.report.plot.rows import height_px as rows_height_px
from suite.report.plot.rows import rows
from suite.report.plot.scales import linear, shares
from suite.report.quality.cache import NEAREST, bytes_axis, faded, lines_of
from suite.report.quality.columns import (
    ARM,
    NAME,
    SEEDS,
    VERDICT,
    answered_text,
    caption,
    share_columns,
    told,
)
from suite.report.quality.design import (
    RARELY,
    UNEVENLY,
    QualityArm,
    Value,
    cache_bytes,
    decode_s,
    is_latent,
    last,
    share_of,
)
from suite.report.quality.families import (
    EVENLY,
    MIXES,
    SWAPPED,
    Family,
    Form,
    families,
    form_contrasts,
    graded_latents,
    mix_share,
    rare_contrasts,
    tier_contrasts,
)
from suite.report.quality.heads import heads_figure, heads_table
from suite.report.table import Column, column, columns_of, table
from suite.statistics.paired import ALL_BUT, SHARE_MARGIN, TOLD_APART, Comparison, compare, judge_together

MOST_FAMILIES, MOST_VIEWS, MOST_TOGETHER = 4, 8, 2
TICKS = [0, 0.25, 0.5, 0.75, 1]
REACH = 1.17
"""Room above 100 % for the names of marks."""
APART = 0.14
"""Between the tiers of one row, which often agree."""
TIER_STYLES = {
    "often": Style(colour=GREY),
    "sometimes": Style(colour=SKY, marker="square"),
    "rarely": Style(colour=PURPLE, marker="diamond"),
}
"""In colours that no variant of these figures has, a mark each, so that it reads in greyscale."""


def build(results: Results) -> Section | None:
    """Lay out each family of experiments that has answers by tier."""
    found = [family for family in families(results) if family.tiers]
    if not found:
        return None
    named = [(family, family.name if len(found) > 1 else "") for family in found]
    return section(
        "quality_tiers",
        figures=[figure for one in named[:MOST_FAMILIES] for figure in _figures(*one)],
        tables=with_rule([table for one in named for table in _tables(*one) if table.rows]),
        headlines=[_headline(family, has_label=results.several) for family in found],
    )


def _figures(family: Family, settings: Text) -> list[Figure | None]:
    return [
        _by_bytes(family, settings),
        _forms_figure(family, settings),
        heads_figure(family.looked_into, settings),
        _curves(family, settings),
    ]


def _by_bytes(family: Family, settings: Text) -> Figure | None:
    arms = [arm for arm in family.main.arms if cache_bytes(arm)]
    if not arms:
        return None
    answered, in_cache = say("quality_tiers.answered"), say("quality_tiers.in_cache")
    by_tier = [(tier, _marks(arms, share_of(tier), answered)) for tier in family.tiers]
    cached = [_marks(arms, recoverable(tier), in_cache) for tier in family.tiers]
    mixes = [_panel(say(f"quality_tiers.mix.{mix}"), _marks(arms, mix_share(mix), answered)) for mix in MIXES]

    def tier_panel(tier: str, *marks: dict[QualityArm, Point]) -> Panel:
        return _panel(say(f"quality_tiers.asked.{tier}"), *marks, level=arms[0].first.chance(tier))

    views = [_view("tiers", [tier_panel(*one) for one in by_tier], say("quality.axis.answered"), arms)]
    if any(cached):
        both = [tier_panel(*one, other) for one, other in zip(by_tier, cached, strict=True)]
        views.append(_view("cached", both, say("quality_tiers.axis.cached"), arms))
    if all(panel.series for panel in mixes):
        views.append(_view("mixes", mixes, say("quality.axis.answered"), arms))
    updates = numbers.count(family.usual_updates)
    return Figure(
        title=say("quality_tiers.by_bytes"),
        settings=settings,
        caption=caption(say("quality_tiers.by_bytes_caption", updates=updates), arms),
        views=views,
        height_px=panels_height_px(len(by_tier)),
        wide=True,
    )


def recoverable(tier: str) -> Value:
    """Return what gives the share of a tier that a linear reader finds in a run's cache."""
    return lambda run: last(run.recoverable, tier)


def _marks(arms: Sequence[QualityArm], value: Value, what: Text) -> dict[QualityArm, Point]:
    return {
        arm: Point(
            x=cache_bytes(arm),
            y=fmean(values),
            ends=ends_of(share_interval(values)),
            hover=say(
                "quality_tiers.mark_hover",
                name=arm.name,
                what=what,
                share=share_with_range(values),
                count=len(values),
                bytes=numbers.count(cache_bytes(arm) or 0),
            ),
        )
        for arm in arms
        if (values := arm.values(value))
    }


def _panel(
    title: Text, marks: dict[QualityArm, Point], *open_marks: dict[QualityArm, Point], level: float | None = None
) -> Panel:
    """Draw a mark for each arm and a line through the sizes of a variant; further marks beside them are open."""
    mode = "lines+markers" if open_marks else "lines+markers+text"  # names would lie over each other
    series = []
    for line in lines_of(dict.fromkeys([*marks, *(arm for more in open_marks for arm in more)])):
        first = line.series(marks, mode)
        series += [first] if first.points else []
        for more in open_marks:
            second = line.series(more, mode)
            style = replace(second.style, dash="dot")
            series += [replace(second, style=style, ordinal=1, in_legend=False)] if second.points else []
    yaxis = linear("", range=[0, REACH], tickvals=TICKS, tickformat=".0%")
    return Panel(title=title, series=series, yaxis=yaxis, level=level or None)


def _view(name: str, found: Sequence[Panel], axis_title: Text, arms: Sequence[QualityArm]) -> View:
    figure = panels(found, xaxis=bytes_axis(arms), title=axis_title)
    return View(title=say(f"quality_tiers.view.{name}"), figure=figure)


def _forms_figure(family: Family, settings: Text) -> Figure | None:
    found = family.with_forms
    if not found:
        return None
    # MHA beside one latent is one picture; many variants are a view each.
    parts = [[form for forms in found for form in forms]] if len(found) <= MOST_TOGETHER else found[:MOST_VIEWS]
    return Figure(
        title=say("quality_tiers.forms"),
        settings=settings,
        caption=caption(say("quality_tiers.forms_caption"), [form.arm for forms in parts for form in forms]),
        views=[
            View(title=forms[0].arm.name if len(parts) > 1 else "", figure=_forms_plot(forms, family.tiers))
            for forms in parts
        ],
        height_px=rows_height_px(max(map(len, parts))),
        wide=True,
    )


def _forms_plot(forms: Sequence[Form], tiers: Sequence[str]) -> dict[str, Any]:
    return rows(
        [joined(" · ", [form.arm.name, form.name]) for form in forms],
        [
            Series(
                name=say(f"quality_tiers.tier.{tier}"),
                points=_tier_points(tier, APART * (place - (len(tiers) - 1) / 2), forms),
                style=TIER_STYLES[tier],
                along="x",
                size=10,
            )
            for place, tier in enumerate(tiers)
        ],
        xaxis=shares(say("quality.axis.answered"), range=[-0.02, 1.04]),
        shift_px=19,
    )


def _tier_points(tier: str, offset: float, forms: Sequence[Form]) -> list[Point]:
    name = say(f"quality_tiers.tier.{tier}")
    return [
        Point(
            x=fmean(values),
            y=row + offset,
            ends=ends_of(share_interval(values)),
            hover=say("quality_tiers.hover", name=name, share=share_with_range(values), count=len(values)),
            facets=form.arm.facets,
        )
        for row, form in enumerate(forms)
        if (values := form.arm.values(share_of(tier)))
    ]


def _curves(family: Family, settings: Text) -> Figure | None:
    arms = family.main.arms
    views = [
        View(title=say(f"quality_tiers.tier.{tier}"), figure=figure)
        for tier in reversed(family.tiers)
        if (figure := _curves_plot(arms, tier))["data"]
    ]
    if not views:
        return None
    return Figure(
        title=say("quality_tiers.curves"),
        settings=settings,
        caption=caption(say("quality_tiers.curves_caption"), arms),
        views=views,
        height_px=height_px(len(arms)),
    )


def _curves_plot(arms: Sequence[QualityArm], tier: str) -> dict[str, Any]:
    """Draw the mean of the seeds; an arm whose evaluations have no number of updates is left out."""
    drawn = {arm: curve for arm in arms if (curve := _curve(arm, tier))}
    return plot(
        [Series(name=arm.name, points=curve, mode="lines", **faded(arm, [*drawn])) for arm, curve in drawn.items()],
        xaxis=linear(say("quality.axis.updates"), separatethousands=True, rangemode="tozero"),
        yaxis=shares(say("quality.axis.answered"), range=[0, 1.03]),
    )


def _curve(arm: QualityArm, tier: str) -> list[Point]:
    """Return the mean share at each evaluation that all seeds have."""
    curves = [dict(zip(*run.curve(tier), strict=True)) for run in arm.ended]
    shared = {spent: [curve[spent] for curve in curves] for spent in sorted(set.intersection(*map(set, curves)))}
    return [
        Point(
            x=spent,
            y=fmean(reached),
            hover=say(
                "quality.curve_hover",
                updates=numbers.count(spent),
                share=share_with_range(reached),
                count=len(reached),
            ),
        )
        for spent, reached in shared.items()
    ]


def _tables(family: Family, settings: Text) -> list[Table]:
    return [
        table(
            say("quality_tiers.pairs"),
            tier_contrasts(family),
            [
                *NEAREST,
                column("quality_tiers.tier", lambda found: say(f"quality_tiers.tier.{found.about}")),
                *share_columns("quality.answered", "quality.other_answered"),
            ],
            note=say("quality_tiers.pairs_note"),
            settings=settings,
            facets_of=lambda found: {"label": found.arm.label},
        ),
        _forms_table(family, settings),
        table(
            say("quality_tiers.by_variant"),
            family.main.arms,
            [
                *ARM,
                *_tier_columns(family),
                column("quality.decode", decode_s, numbers.seconds),
            ],
            note=say("quality_tiers.by_variant_note"),
            settings=settings,
            facets_of=lambda arm: arm.facets,
        ),
        _mixes_table(family, settings),
        _cached_table(family, settings),
        heads_table(family.main.arms, settings),
    ]


def _tier_columns(family: Family) -> list[Column[QualityArm]]:
    def answered(tier: str) -> Column[QualityArm]:
        return column(f"quality_tiers.tier.{tier}", lambda arm: answered_text(arm, tier), kind=Kind.NUMBER)

    return [answered(tier) for tier in family.tiers]


def _forms_table(family: Family, settings: Text) -> Table:
    against = form_contrasts(family)
    less = column("quality_tiers.third_against", told, kind=Kind.NUMBER)
    return table(
        say("quality_tiers.forms_table"),
        [form for forms in family.with_forms for form in forms],
        [
            *columns_of(lambda form: form.arm, [NAME]),
            column("quality_tiers.form", lambda form: form.name),
            *columns_of(lambda form: form.arm, [SEEDS, *_tier_columns(family)]),
            *columns_of(lambda form: against.get(form.arm), [less, *VERDICT]),
        ],
        note=say("quality_tiers.forms_note"),
        settings=settings,
        facets_of=lambda form: form.arm.facets,
    )


def _mixes_table(family: Family, settings: Text) -> Table:
    def asked(mix: str) -> Column[QualityArm]:
        title = f"quality_tiers.mix.{mix}"
        return column(title, lambda arm: share_with_range(arm.values(mix_share(mix))), kind=Kind.NUMBER)

    return table(
        say("quality_tiers.mixes"),
        [arm for arm in family.main.arms if arm.values(mix_share("trained"))],
        [NAME, *map(asked, MIXES), column("quality_tiers.swapped_less", _swapped_less, kind=Kind.NUMBER)],
        note=say("quality_tiers.mixes_note"),
        settings=settings,
        folded=True,
        facets_of=lambda arm: arm.facets,
    )


def _swapped_less(arm: QualityArm) -> Text | None:
    """Write the share in the swapped mix less the one as it was trained, every seed against itself."""
    less = compare(*(arm.by_seed(mix_share(mix)) for mix in (SWAPPED, "trained")))
    return None if less is None else with_range(less.mean, less.interval, points)


def _cached_table(family: Family, settings: Text) -> Table:
    found = found_in_cache(family)
    rows = [
        (arm, tier)
        for arm in family.main.arms
        for tier in family.tiers
        if arm.values(recoverable(tier)) and arm.values(share_of(tier))
    ]

    def asked_of_cache(row: tuple[QualityArm, str]) -> Comparison | None:
        less = found.get(row)
        return None if less is None or _is_answered(less) else less

    return table(
        say("quality_tiers.cached"),
        rows,
        [
            column("column.variant", lambda row: row[0].name),
            column("quality_tiers.tier", lambda row: say(f"quality_tiers.tier.{row[1]}")),
            column("quality.answered", lambda row: answered_text(*row), kind=Kind.NUMBER),
            column(
                "quality_tiers.found",
                lambda row: share_with_range(row[0].values(recoverable(row[1]))),
                kind=Kind.NUMBER,
            ),
            *columns_of(
                found.get,
                [
                    column(
                        "quality_tiers.found_less",
                        lambda less: with_range(less.mean, less.interval, points),
                        kind=Kind.NUMBER,
                    ),
                    column("rl_efficiency.in_words", _cached_verdict),
                ],
            ),
            *p_columns(asked_of_cache),
        ],
        note=say("quality_tiers.cached_note"),
        settings=settings,
        folded=True,
        facets_of=lambda row: row[0].facets,
    )


def found_in_cache(family: Family) -> dict[tuple[QualityArm, str], Comparison]:
    """Compare what is found in the cache with what is answered, by arm and tier; all of a family together.

    Where nearly all is answered nothing is asked of the cache, so those are no part of what Holm corrects.
    """
    found = {
        (arm, tier): one
        for arm in family.main.arms
        for tier in family.tiers
        if (one := compare(*map(arm.by_seed, (recoverable(tier), share_of(tier))), margin=SHARE_MARGIN))
    }
    asked = {key: one for key, one in found.items() if not _is_answered(one)}
    return found | dict(zip(asked, judge_together([*asked.values()]), strict=True))


def _is_answered(less: Comparison) -> bool:
    return fmean(less.theirs) >= 1 - ALL_BUT


def _cached_verdict(less: Comparison) -> Text:
    """Return whether more, less or as much is in the cache as is answered; or that nearly all of it is answered."""
    if _is_answered(less):
        return say("quality_tiers.cached.answered")
    return say_or(f"quality_tiers.cached.{less.outcome}", verdict(less))


def _headline(family: Family, *, has_label: bool) -> Headline | None:
    """Say what a latent that has other forms of training, else the widest that grades, answers of each tier."""
    with_forms = [forms[0].arm for forms in family.with_forms if is_latent(forms[0].arm)]
    chosen = next(iter([*with_forms, *graded_latents(family)]), None)
    if chosen is None or len(family.tiers) < 2:
        return None
    mha = family.main.baseline
    answers = [joined(" ", [arm.name, " / ".join(_percents(arm, family))]) for arm in (chosen, mha) if arm is not None]
    parts: list[Text] = [
        say(
            "quality_tiers.headline",
            told=joined("notes", answers),
            updates=numbers.count(family.usual_updates),
            seeds=len(chosen.ended),
        ),
        _of_other_forms(chosen, family),
    ]
    against = next((one for one in rare_contrasts(family) if one.arm is chosen), None)
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
    means = [arm.mean(share_of(tier)) for tier in family.tiers]
    return [numbers.percent(mean) for mean in means if mean is not None]


def _of_other_forms(arm: QualityArm, family: Family) -> Text:
    """Say what it answers of the rarest where that was asked as often as the rest, or where it was trained longer."""
    told = [
        say("quality_tiers.headline_form", form=form.name, share=numbers.percent(mean))
        for form in family.forms_of(arm)
        if (form.asked == EVENLY and form.times == 1) or (form.asked == UNEVENLY and form.times > 1)
        if (mean := form.arm.mean(share_of(RARELY))) is not None
    ]
    return say("quality_tiers.headline_forms", name=arm.name, forms=joined("notes", told)) if told else ""
