"""The section on tiers of information, the article's own question: what is kept and what is dropped.

A token that bundles six details is asked for some of them often and for others rarely. Whatever a narrow cache cannot
hold, training decides; whether that is MLA's doing or any narrow cache's, and for want of room or of training, are
questions that the tables answer by rule.
"""

from dataclasses import replace
from functools import partial
from itertools import product
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, joined, say, say_or, section
from suite.report.evidence import (
    IN_WORDS,
    add_verdict_note,
    comparison_verdict,
    contrast_verdict,
    difference_columns,
    p_columns,
)
from suite.report.model.formats import share_with_range
from suite.report.model.results import Results
from suite.report.plot.plots import Panel, linear, panels, panels_height_px
from suite.report.quality import design, families, layout
from suite.report.quality.curves import curve_table
from suite.report.quality.design import QualityArm, QualityContrast, Value
from suite.report.quality.families import LEAST_GAP, Family, carried
from suite.report.table import Column, column, part_columns
from suite.statistics.paired import ALL_BUT, SHARE_MARGIN, TOLD_APART, ArmOutcome, Comparison, compare, judge_together

MOST_FAMILIES = 4
REACH = 1.17  # room above 100% for the names of marks
TIER: Column[QualityContrast] = column("quality_tiers.tier", lambda pair: say(f"quality_tiers.tier.{pair.about}"))


def build(results: Results) -> Section | None:
    """The section on tiers, with a figure and tables for each family; None where no family has a tier."""
    tiered = [family for family in families.families(results) if family.tiers]
    if not tiered:
        return None
    if len(tiered) == 1:
        tiered = [replace(tiered[0], name="")]
    tables = []
    for family in tiered:
        contrasts, by_variant = families.tier_contrasts(family), [layout.NAME, *_tier_columns(family), layout.SEEDS]
        by_variant += [*layout.SIZES, column("quality.decode", design.decode_s, numbers.seconds)]
        drafts = [
            layout.nearest_table("quality_tiers.pairs", contrasts, [TIER]),
            _forms_table(family),
            layout.arm_table("quality_tiers.by_variant", family.main.arms, by_variant),
            _cached_table(family),
            _heads_table(family),
            curve_table([family.main], design.RARELY),
        ]
        tables += [replace(each, settings=family.name, facets=family.facets) for each in drafts if each.rows]
    return section(
        "quality_tiers",
        figures=[_by_bytes_figure(family) for family in tiered[:MOST_FAMILIES]],
        tables=add_verdict_note(tables),
        headlines=[_headline(family, has_label=results.several) for family in tiered],
    )


def _by_bytes_figure(family: Family) -> Figure | None:
    """The figure of what is answered over cache bytes: a panel for each tier, a line through each variant's sizes."""
    arms = [arm for arm in family.main.arms if design.cache_bytes(arm)]
    if not arms:
        return None
    yaxis = linear("", range=[0, REACH], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%")
    tier_panels = []
    for tier in family.tiers:
        series = layout.size_lines(layout.size_marks(arms, tier))
        title, level = say(f"quality_tiers.asked.{tier}"), arms[0].first.chance(tier)
        tier_panels.append(Panel(title=title, series=series, yaxis=yaxis, level=level or None))
    # How latents stand beside grouped heads of the same cache in the rarest tier; else what a variant answers.
    finding = layout.finding(families.rare_contrasts(family), say(f"quality_tiers.asked.{design.RARELY}"))
    if not finding:
        arm = next((arm for arm in family.main.arms if design.is_plain_mla(arm)), family.main.arms[0])
        answers = " / ".join(_percents(arm, family))
        finding = say("quality_tiers.finding", name=arm.name, answers=answers, count=len(arm.ended))
    plot = panels(tier_panels, xaxis=layout.bytes_axis(arms), title=say("quality.axis.answered"))
    return layout.figure(
        "quality_tiers.by_bytes",
        [View(title="", figure=plot)],
        arms,
        say("quality_tiers.by_bytes_caption", updates=numbers.count(family.main_updates)),
        finding=finding,
        height_px=panels_height_px(len(family.tiers)),
        settings=family.name,
        facets=family.facets,
    )


def _forms_table(family: Family) -> Table:
    """The table of variants that were trained in several forms, each compared with its skewed form."""
    against = families.form_contrasts(family)
    difference = column("quality_tiers.third_against", layout.difference_text, kind=Kind.NUMBER)
    return layout.arm_table(
        "quality_tiers.forms_table",
        [arm for arms in family.in_forms for arm in arms],
        [
            layout.NAME,
            column("quality_tiers.form", family.form_name),
            *part_columns(against.get, [difference, layout.VERDICT]),
            layout.SEEDS,
            *_tier_columns(family),
            *part_columns(against.get, layout.TESTED),
        ],
    )


def _tier_columns(family: Family) -> list[Column[QualityArm]]:
    """A column for each tier with the share that an arm answers."""
    return [
        column(f"quality_tiers.tier.{tier}", partial(layout.answered_text, kind=tier), kind=Kind.NUMBER)
        for tier in family.tiers
    ]


def recoverable(tier: str) -> Value:
    """A function that gives the share of a tier that a linear reader finds in a run's cache."""
    return lambda run: design.last(run.recoverable, tier)


def _cached_table(family: Family) -> Table:
    """The table of what is in the cache beside what is answered: was it dropped, or is it not looked for?"""
    against = cache_against_answers(family)

    def in_words(comparison: Comparison) -> Text:
        word = "answered" if _is_mastered(comparison) else comparison.outcome
        return say_or(f"quality_tiers.cached.{word}", comparison_verdict(comparison))

    difference, _ = difference_columns("quality_tiers.found_less")
    rows = [
        (arm, tier)
        for arm, tier in product(family.main.arms, family.tiers)
        if arm.values(recoverable(tier)) and arm.values(design.final_share(tier))
    ]
    return layout.arm_table(
        "quality_tiers.cached",
        rows,
        [
            *part_columns(lambda row: row[0], [layout.NAME]),
            column("quality_tiers.tier", lambda row: say(f"quality_tiers.tier.{row[1]}")),
            column("quality.answered", lambda row: layout.answered_text(*row), kind=Kind.NUMBER),
            column(
                "quality_tiers.found",
                lambda row: share_with_range(row[0].values(recoverable(row[1]))),
                kind=Kind.NUMBER,
            ),
            *part_columns(against.get, [difference, column(IN_WORDS, in_words)]),
            *p_columns(lambda row: None if row not in against or _is_mastered(against[row]) else against[row]),
        ],
        lambda row: row[0],
    )


def cache_against_answers(family: Family) -> dict[tuple[QualityArm, str], Comparison]:
    """Compare what a reader finds in the cache with what is answered, by arm and tier; judged together, but for tiers
    of which nearly all is answered, since nothing is asked of the cache there."""
    compared = dict[tuple[QualityArm, str], Comparison]()
    for arm, tier in product(family.main.arms, family.tiers):
        scores = map(arm.by_seed, (recoverable(tier), design.final_share(tier)))
        if comparison := compare(*scores, margin=SHARE_MARGIN):
            compared[arm, tier] = comparison
    questions = {key: comparison for key, comparison in compared.items() if not _is_mastered(comparison)}
    return compared | dict(zip(questions, judge_together([*questions.values()]), strict=True))


def _is_mastered(comparison: Comparison) -> bool:
    return fmean(comparison.theirs) >= 1 - ALL_BUT


def _heads_table(family: Family) -> Table:
    """The table of how much of an arm's answers the most needed head carries, and how many heads come first."""
    return layout.arm_table(
        "quality_tiers.heads_table",
        [(arm, falls) for arm in family.main.arms if (falls := carried(arm))],
        [
            *part_columns(lambda row: row[0], [layout.NAME]),
            column("rl.seeds", lambda row: len(row[1]), numbers.count),
            column("quality_tiers.head_count", lambda row: row[1][0].heads, numbers.count),
            column(
                "quality_tiers.largest_share",
                lambda row: share_with_range([falls.share for falls in row[1]]),
                kind=Kind.NUMBER,
            ),
            column("quality_tiers.if_alike", lambda row: 1 / row[1][0].heads, numbers.percent),
            column(
                "quality_tiers.first_heads", lambda row: fmean(falls.first_heads for falls in row[1]), "{:.1f}".format
            ),
        ],
        lambda row: row[0],
    )


def _headline(family: Family, *, has_label: bool) -> Headline | None:
    """What a latent, one trained in several forms if any, answers of each tier beside MHA; None of a single tier."""
    in_forms, gradings = [arms[0] for arms in family.latents_in_forms], families.tier_gradings(family.main)
    clear = {arm for arm, each in gradings.items() if each.outcome is ArmOutcome.HIGHER and each.mean >= LEAST_GAP}
    graded = [arm for arm in filter(design.is_plain_mla, family.main.arms) if arm in clear]
    chosen = next(iter([*in_forms, *graded]), None)
    if chosen is None or len(family.tiers) < 2:
        return None
    answers = [
        say("quality_tiers.headline_arm", name=arm.name, answers=" / ".join(_percents(arm, family)))
        for arm in (chosen, family.main.baseline)
        if arm
    ]
    trained = {"updates": numbers.count(family.main_updates), "seeds": len(chosen.ended)}
    parts: list[Text] = [say("quality_tiers.headline", told=joined("notes", answers), **trained)]
    against = next((pair for pair in families.rare_contrasts(family) if pair.arm is chosen), None)
    often, *_, rarely = _percents(chosen, family)
    text = say("quality_tiers.point", name=chosen.name, often=often, rarely=rarely)
    if against is not None:
        names: dict[str, object] = {"name": chosen.name, "other": against.other.name}
        share = numbers.percent(fmean(against.comparison.theirs))
        parts.append(say("quality_tiers.headline_pair", **names, share=share, said=contrast_verdict(against)))
        if against.outcome in TOLD_APART:
            text = say(f"quality_tiers.point.{against.outcome}", **names)
    label = family.main.label if has_label else ""
    return Headline(text=text, detail=joined(": ", [label, joined("sentence", parts)]))


def _percents(arm: QualityArm, family: Family) -> list[str]:
    means = [arm.mean(design.final_share(tier)) for tier in family.tiers]
    return [numbers.NOTHING if mean is None else numbers.percent(mean) for mean in means]
