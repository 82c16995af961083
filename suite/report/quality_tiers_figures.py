"""Figures of task=tiers: by cache bytes, by form of asking, head by head, and over training."""

from collections.abc import Iterable
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import Figure, Text, View, dotted, say
from suite.report.quality_curves import curves_plot
from suite.report.quality_forms_chart import forms_plot
from suite.report.quality_heads import falls_by_seed
from suite.report.quality_heads_chart import heads_map
from suite.report.quality_heads_chart import height_px as heads_height_px
from suite.report.quality_names import variant_name
from suite.report.quality_numbers import caption, share_text
from suite.report.quality_panels import Mark, Panel, panels_plot
from suite.report.quality_panels import height_px as panels_height_px
from suite.report.quality_run import QualityRun
from suite.report.quality_runs import Arm, Value
from suite.report.quality_tiers_family import MIXES, Family, mix_share, tier_share
from suite.report.rl_charts import height_px, rows_height_px
from suite.report.verdicts import share_interval

MOST_MAPS, MOST_VIEWS, MOST_TOGETHER = 6, 8, 2


def figures_of(family: Family, *, is_lone: bool) -> list[Figure]:
    """`is_lone`: no other family stands on the page, so none need be named."""

    def titled(key: str) -> Text:
        return say(key) if is_lone else dotted(say(key), family.title)

    return list(
        filter(
            None,
            (
                _by_bytes(family, titled("quality_tiers.by_bytes")),
                _forms(family, titled("quality_tiers.forms")),
                _heads(family, titled("quality_tiers.heads")),
                _curves(family, titled("quality_tiers.curves")),
            ),
        )
    )


def recoverable_share(tier: str) -> Value:
    def found(run: QualityRun) -> float | None:
        return run.recoverable.get(tier)

    return found


def _by_bytes(family: Family, title: str) -> Figure | None:
    arms = [arm for arm in family.main.arms if arm.cache_bytes]
    tiers = family.tiers
    if not arms or not tiers:
        return None
    chances = {tier: arms[0].runs[0].chance(tier) for tier in tiers}
    by_tier = [
        Panel(title=_tier_title(tier), marks=list(_marks(arms, tier_share(tier))), chance=chances[tier])
        for tier in tiers
    ]
    views = [View(title=say("quality_tiers.view.tiers"), figure=panels_plot(by_tier, _answered()))]
    if any(arm.values(recoverable_share(tier)) for arm in arms for tier in tiers):
        in_cache = [
            Panel(
                title=panel.title,
                marks=[*panel.marks, *_marks(arms, recoverable_share(tier), is_second=True)],
                chance=panel.chance,
            )
            for tier, panel in zip(tiers, by_tier, strict=True)
        ]
        views.append(
            View(
                title=say("quality_tiers.view.cached"),
                figure=panels_plot(in_cache, say("quality_tiers.axis.cached")),
            )
        )
    mixes = [
        Panel(title=say(f"quality_tiers.mix.{name}"), marks=list(_marks(arms, mix_share(shares))))
        for name, shares in MIXES.items()
    ]
    if all(panel.marks for panel in mixes):
        views.append(View(title=say("quality_tiers.view.mixes"), figure=panels_plot(mixes, _answered())))
    return Figure(
        title=title,
        caption=caption(say("quality_tiers.by_bytes_caption", updates=numbers.count(family.usual_updates or 0)), arms),
        views=views,
        height_px=panels_height_px(len(tiers)),
        wide=True,
    )


def _marks(arms: Iterable[Arm], value: Value, *, is_second: bool = False) -> Iterable[Mark]:
    for arm in arms:
        if values := arm.values(value):
            what = say("quality_tiers.in_cache" if is_second else "quality_tiers.answered")
            yield Mark(
                arm=arm,
                share=fmean(values),
                interval=share_interval(values),
                hover=say(
                    "quality_tiers.mark_hover",
                    name=variant_name(arm),
                    what=what,
                    share=share_text(values),
                    count=len(values),
                    bytes=numbers.count(arm.cache_bytes or 0),
                ),
                is_second=is_second,
            )


def _forms(family: Family, title: str) -> Figure | None:
    found = [[(arm, form) for form in forms] for arm, forms in family.with_forms]
    if not found:
        return None
    # MHA beside one latent is one picture; many variants are a view each.
    parts = [[row for rows in found for row in rows]] if len(found) <= MOST_TOGETHER else found[:MOST_VIEWS]
    return Figure(
        title=title,
        caption=caption(say("quality_tiers.forms_caption"), [form.arm for rows in parts for _, form in rows]),
        views=[
            View(
                title=variant_name(rows[0][0]) if len(parts) > 1 else "",
                figure=forms_plot(rows, family.tiers),
            )
            for rows in parts
        ],
        height_px=rows_height_px(max(map(len, parts))),
        wide=True,
    )


def _heads(family: Family, title: str) -> Figure | None:
    shown = [(arm, falls[0]) for arm in family.looked_into if (falls := falls_by_seed(arm.runs))][:MOST_MAPS]
    if not shown:
        return None
    return Figure(
        title=title,
        caption=say("quality_tiers.heads_caption", seed=shown[0][1].seed),
        views=[View(title=variant_name(arm), figure=heads_map(falls)) for arm, falls in shown],
        height_px=heads_height_px(max(len(falls.heads) for _, falls in shown)),
    )


def _curves(family: Family, title: str) -> Figure | None:
    views = [
        View(title=say(f"quality_tiers.tier.{tier}"), figure=figure)
        for tier in reversed(family.tiers)
        if (figure := curves_plot(family.main.arms, kind=tier))["data"]
    ]
    if not views:
        return None
    return Figure(
        title=title,
        caption=caption(say("quality_tiers.curves_caption"), family.main.arms),
        views=views,
        height_px=height_px(len(family.main.arms)),
    )


def _tier_title(tier: str) -> Text:
    return say(f"quality_tiers.asked.{tier}")


def _answered() -> Text:
    return say("quality.axis.answered")
