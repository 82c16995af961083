"""How a decoder was trained, a row each, and in it what it answers of every tier."""

from collections.abc import Sequence
from typing import Any

from suite.report.blocks import dotted, say
from suite.report.charts import figure_text
from suite.report.facets import point_facets
from suite.report.palette import shown
from suite.report.quality_names import variant_name
from suite.report.quality_numbers import mean_of, share_text
from suite.report.quality_runs import Arm
from suite.report.quality_tier_style import TIER_MARKS
from suite.report.quality_tiers_family import Form, tier_share
from suite.report.rl_charts import axis, error_bars, row_layout, short
from suite.report.verdicts import share_interval

APART = 0.14
"""Between the tiers of one row, which often agree."""
HOVER = "%{hovertext}<extra>%{fullData.name}</extra>"

Row = tuple[Arm, Form]


def forms_plot(rows: Sequence[Row], tiers: Sequence[str]) -> dict[str, Any]:
    names = [dotted(variant_name(arm), form.said()) for arm, form in rows]
    return {
        "data": [_of_tier(tier, place - (len(tiers) - 1) / 2, rows) for place, tier in enumerate(tiers)],
        "layout": row_layout(
            names, xaxis=axis(say("quality.axis.answered"), tickformat=".0%", range=[-0.02, 1.04]), shift_px=19
        ),
    }


def _of_tier(tier: str, offset: float, rows: Sequence[Row]) -> dict[str, Any]:
    colour, symbol = TIER_MARKS[tier]
    taken = tier_share(tier)
    known = [
        (place, form, mean) for place, (_, form) in enumerate(rows) if (mean := mean_of(form.arm, taken)) is not None
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": say(f"quality_tiers.tier.{tier}"),
        "x": [short(mean) for _, _, mean in known],
        "y": [place + APART * offset for place, _, _ in known],
        **error_bars("x", [(mean, share_interval(form.arm.values(taken))) for _, form, mean in known], colour=colour),
        "hovertext": [
            figure_text(
                say(
                    "quality_tiers.hover",
                    name=say(f"quality_tiers.tier.{tier}"),
                    share=share_text(form.arm.values(taken)),
                    count=len(form.arm.values(taken)),
                )
            )
            for _, form, _ in known
        ],
        "hovertemplate": HOVER,
        "marker": {"color": colour, "symbol": symbol, "size": 10},
        **point_facets(
            [{"variant": shown(rows[place][0].attention), "label": form.arm.label} for place, form, _ in known]
        ),
    }
