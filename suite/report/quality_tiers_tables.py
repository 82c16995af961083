"""Tables of task=tiers: at equal cache bytes, by variant, by form of asking, other mixes, the cache, and the heads."""

from collections.abc import Sequence
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Kind, Table, Text, cell, dotted, say, say_or
from suite.report.quality_contests import Contest, contest, judged
from suite.report.quality_heads import Falls, falls_by_seed
from suite.report.quality_names import variant_name
from suite.report.quality_numbers import bytes_text, seeds_text, share_text
from suite.report.quality_pairs import Pair
from suite.report.quality_run import TIERS
from suite.report.quality_runs import Arm
from suite.report.quality_tasks import against_pairs
from suite.report.quality_tiers_family import MIXES, Family, mix_share, tier_share
from suite.report.quality_tiers_figures import recoverable_share
from suite.report.rl_numbers import points, with_range
from suite.report.verdicts import p_cells, p_columns, verdict
from suite.statistics.paired import ALL_BUT, SHARE_MARGIN, Comparison, Outcome, compare, judge_together

RARELY = TIERS[-1]


def tables_of(family: Family, *, is_lone: bool) -> list[Table]:
    """`is_lone`: no other family stands on the page, so none need be named."""
    built = (_pairs, _forms, _by_variant, _mixes, _cached, _heads)
    tables = [table for build in built if (table := build(family)) is not None]
    if is_lone:
        return tables
    return [_titled(table, dotted(table.title, family.title)) for table in tables]


def tier_contests(family: Family) -> list[tuple[Pair, Contest]]:
    """Compare latents with grouped heads, the rarest tier first; other tiers where not both answer them."""
    found = against_pairs(family.main, kinds=[*reversed(family.tiers)])
    return [(pair, one) for pair, one in found if one.kind == RARELY or one.found.at_bounds is not Outcome.CEILING]


def form_contests(family: Family) -> dict[tuple[Arm, Arm], Contest]:
    """Compare forms of training with the same variant asked unevenly, in the tier asked rarely there."""
    pairs = [(form.arm, forms[0].arm) for _, forms in family.with_forms for form in forms[1:]]
    return {(one.arm, one.other): one for one in judged(contest(*pair, kind=RARELY) for pair in pairs)}


def _titled(table: Table, title: str) -> Table:
    return Table(
        title=title,
        columns=table.columns,
        rows=table.rows,
        note=table.note,
        folded=table.folded,
        facets=table.facets,
        row_facets=table.row_facets,
    )


def _pairs(family: Family) -> Table | None:
    rows = tier_contests(family)
    if not rows:
        return None
    return Table(
        title=say("quality_tiers.pairs"),
        columns=[
            Column(title=say("quality.latent")),
            Column(title=say("quality.bytes"), kind=Kind.NUMBER),
            Column(title=say("quality.against")),
            Column(title=say("quality.bytes_over"), kind=Kind.NUMBER),
            Column(title=say("quality_tiers.tier")),
            Column(title=say("quality.answered"), kind=Kind.NUMBER),
            Column(title=say("quality.other_answered"), kind=Kind.NUMBER),
            Column(title=say("quality.difference"), kind=Kind.NUMBER),
            Column(title=say("rl.seeds"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.in_words")),
            *p_columns(),
        ],
        rows=[
            [
                variant_name(pair.latent),
                bytes_text(pair.latent),
                variant_name(pair.grouped),
                "=" if pair.is_equal else numbers.times(pair.ratio),
                say(f"quality_tiers.tier.{one.kind}"),
                share_text(one.ours),
                share_text(one.theirs),
                one.told(),
                numbers.count(one.seeds),
                one.said(),
                *p_cells(one.found),
            ]
            for pair, one in rows
        ],
        note=say("quality_tiers.pairs_note"),
        row_facets=[{"label": pair.latent.label} for pair, _ in rows],
    )


def _by_variant(family: Family) -> Table | None:
    arms = family.main.arms
    return Table(
        title=say("quality_tiers.by_variant"),
        columns=[
            Column(title=say("column.variant")),
            Column(title=say("quality.bytes"), kind=Kind.NUMBER),
            Column(title=say("quality.parameters"), kind=Kind.NUMBER),
            Column(title=say("rl.seeds"), kind=Kind.NUMBER),
            *(Column(title=say(f"quality_tiers.tier.{tier}"), kind=Kind.NUMBER) for tier in family.tiers),
            Column(title=say("quality.decode"), kind=Kind.NUMBER),
        ],
        rows=[
            [
                variant_name(arm),
                bytes_text(arm),
                cell(arm.parameters, numbers.count),
                seeds_text(arm),
                *(share_text(arm.values(tier_share(tier))) for tier in family.tiers),
                cell(arm.decode_s, numbers.seconds),
            ]
            for arm in arms
        ],
        row_facets=[arm.facets for arm in arms],
        note=say("quality_tiers.by_variant_note"),
        folded=len(arms) > MOST_ROWS_OPEN,
    )


def _forms(family: Family) -> Table | None:
    rows = [(arm, form, forms[0]) for arm, forms in family.with_forms for form in forms]
    if not rows:
        return None
    contests = form_contests(family)
    return Table(
        title=say("quality_tiers.forms_table"),
        columns=[
            Column(title=say("column.variant")),
            Column(title=say("quality_tiers.form")),
            Column(title=say("rl.seeds"), kind=Kind.NUMBER),
            *(Column(title=say(f"quality_tiers.tier.{tier}"), kind=Kind.NUMBER) for tier in family.tiers),
            Column(title=say("quality_tiers.third_against"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.in_words")),
            *p_columns(),
        ],
        rows=[
            [
                variant_name(arm),
                form.said(),
                seeds_text(form.arm),
                *(share_text(form.arm.values(tier_share(tier))) for tier in family.tiers),
                *_against(contests.get((form.arm, first.arm))),
            ]
            for arm, form, first in rows
        ],
        row_facets=[form.arm.facets for _, form, _ in rows],
        note=say("quality_tiers.forms_note"),
    )


def _against(one: Contest | None) -> list[str]:
    return [numbers.NOTHING] * 4 if one is None else [one.told(), one.said(), *p_cells(one.found)]


def _mixes(family: Family) -> Table | None:
    rows = [arm for arm in family.main.arms if arm.values(mix_share(MIXES["trained"]))]
    if not rows:
        return None
    return Table(
        title=say("quality_tiers.mixes"),
        columns=[
            Column(title=say("column.variant")),
            *(Column(title=say(f"quality_tiers.mix.{name}"), kind=Kind.NUMBER) for name in MIXES),
            Column(title=say("quality_tiers.swapped_less"), kind=Kind.NUMBER),
        ],
        rows=[
            [
                variant_name(arm),
                *(share_text(arm.values(mix_share(shares))) for shares in MIXES.values()),
                _swapped_less(arm),
            ]
            for arm in rows
        ],
        row_facets=[arm.facets for arm in rows],
        note=say("quality_tiers.mixes_note"),
        folded=True,
    )


def _swapped_less(arm: Arm) -> Text:
    """Asked in the swapped mix, less as it was trained, every seed against itself."""
    as_trained, swapped = (arm.by_seed(mix_share(MIXES[name])) for name in ("trained", "swapped"))
    less = compare(swapped, as_trained)
    return numbers.NOTHING if less is None else with_range(less.mean, less.interval, points, say("rl.to"))


def _cached(family: Family) -> Table | None:
    rows = [
        (arm, tier)
        for arm in family.main.arms
        for tier in family.tiers
        if arm.values(recoverable_share(tier)) and arm.values(tier_share(tier))
    ]
    if not rows:
        return None
    found = found_in_cache(family)
    return Table(
        title=say("quality_tiers.cached"),
        columns=[
            Column(title=say("column.variant")),
            Column(title=say("quality_tiers.tier")),
            Column(title=say("quality.answered"), kind=Kind.NUMBER),
            Column(title=say("quality_tiers.found"), kind=Kind.NUMBER),
            Column(title=say("quality_tiers.found_less"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.in_words")),
            *p_columns(),
        ],
        rows=[
            [
                variant_name(arm),
                say(f"quality_tiers.tier.{tier}"),
                share_text(arm.values(tier_share(tier))),
                share_text(arm.values(recoverable_share(tier))),
                *_found_less(found.get((arm, tier))),
            ]
            for arm, tier in rows
        ],
        row_facets=[arm.facets for arm, _ in rows],
        note=say("quality_tiers.cached_note"),
        folded=True,
    )


def found_in_cache(family: Family) -> dict[tuple[Arm, str], Comparison]:
    """Compare what is found in the cache with what is answered, by arm and tier; all of a family together.

    Where nearly all is answered nothing is asked of the cache, so those are no part of what Holm corrects.
    """
    found = {
        (arm, tier): one
        for arm in family.main.arms
        for tier in family.tiers
        if (one := compare(*map(arm.by_seed, (recoverable_share(tier), tier_share(tier))), margin=SHARE_MARGIN))
    }
    asked = {key: one for key, one in found.items() if not _is_answered(one)}
    return found | dict(zip(asked, judge_together([*asked.values()]), strict=True))


def _is_answered(less: Comparison) -> bool:
    return fmean(less.theirs) >= 1 - ALL_BUT


def _found_less(less: Comparison | None) -> list[str]:
    if less is None:
        return [numbers.NOTHING] * 4
    told = with_range(less.mean, less.interval, points, say("rl.to"))
    return [told, cached_verdict(less), *([numbers.NOTHING] * 2 if _is_answered(less) else p_cells(less))]


def cached_verdict(less: Comparison) -> Text:
    """Return whether more, less or as much is in the cache as is answered; or that nearly all of it is answered."""
    if _is_answered(less):
        return say("quality_tiers.cached.answered")
    return say_or(f"quality_tiers.cached.{less.outcome}", verdict(less))


def _heads(family: Family) -> Table | None:
    rows = [(arm, falls) for arm in family.main.arms if (falls := _telling(arm))]
    if not rows:
        return None
    return Table(
        title=say("quality_tiers.heads_table"),
        columns=[
            Column(title=say("column.variant")),
            Column(title=say("rl.seeds"), kind=Kind.NUMBER),
            Column(title=say("quality_tiers.head_count"), kind=Kind.NUMBER),
            Column(title=say("quality_tiers.largest_share"), kind=Kind.NUMBER),
            Column(title=say("quality_tiers.if_alike"), kind=Kind.NUMBER),
            Column(title=say("quality_tiers.first_heads"), kind=Kind.NUMBER),
        ],
        rows=[
            [
                variant_name(arm),
                numbers.count(len(falls)),
                numbers.count(len(falls[0].heads)),
                share_text([one.share or 0.0 for one in falls]),
                numbers.percent(1 / len(falls[0].heads)),
                f"{fmean(one.first_heads for one in falls):.1f}",
            ]
            for arm, falls in rows
        ],
        row_facets=[arm.facets for arm, _ in rows],
        note=say("quality_tiers.heads_note"),
        folded=len(rows) > MOST_ROWS_OPEN,
    )


def _telling(arm: Arm) -> Sequence[Falls]:
    return [falls for falls in falls_by_seed(arm.runs) if falls.share is not None]
