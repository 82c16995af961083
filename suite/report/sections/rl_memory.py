"""What a step of reinforcement learning holds: by owner and kind, what GRPO saves of PPO's peak, which GPUs hold it.

Most of it is projected, for models that no machine at hand can train; what was measured says so in its title and its
column, and stands over the projection of the same model where there is one.
"""

from collections.abc import Sequence

from suite.report.blocks import Figure, Section, View, joined, say
from suite.report.model.results import Results
from suite.report.rl_charts import height_px, is_wide
from suite.report.rl_memory_charts import bar_views, bars_height_px, saving_curves
from suite.report.rl_memory_published import published_table
from suite.report.rl_memory_savings import OVER, Saving, lines_over, savings, telling_pairs, usual_settings
from suite.report.rl_memory_setups import Setup, alike_in, drawn_setups, setups
from suite.report.rl_memory_tables import checks_tables, evidence_of, fits, own_sentences, peaks, savings_table


def build(results: Results) -> Section | None:
    found = setups(results)
    if not found:
        return None
    drawn = drawn_setups(found)
    saved = savings(found)
    return Section(
        id="rl_memory",
        title=say("rl_memory.title"),
        explanation=say("rl_memory.explanation"),
        figures=[
            *(_bars(setup, found) for setup in drawn),
            *(figure for pair in telling_pairs(saved) if (figure := _savings_figure(pair)) is not None),
        ],
        tables=[
            *fits(drawn, found, results),
            *([savings_table(saved, results)] if saved else []),
            *checks_tables(found, results),
            published_table(found, saved),
            peaks(found, results, by_kind=False),
            peaks(found, results, by_kind=True),
        ],
    )


def _bars(setup: Setup, found: Sequence[Setup]) -> Figure:
    alike = alike_in([one.key for one in found])[dict(setup.key)["workload"]]
    said = [say("rl_memory.caption.measured" if setup.is_measured else "rl_memory.caption.projected")]
    said += [say("rl_memory.also", settings=", ".join(alike))] if alike else []
    said += own_sentences(setup.arms)
    views = bar_views(setup)
    return Figure(
        title=say("rl_memory.figure", title=setup.title, evidence=evidence_of(setup.first)),
        caption=joined("sentence", said),
        views=views,
        height_px=bars_height_px(views),
        wide=True,
        facets=setup.facets(),
    )


def _savings_figure(pair: Sequence[Saving]) -> Figure | None:
    lines = {over: found for over in OVER if (found := lines_over(over, pair))}
    if not lines:
        return None
    most = max(map(len, lines.values()))
    arm, baseline = pair[0].pair
    usual = usual_settings(pair)
    said = [say("rl_memory.saving_caption", arm=arm, baseline=baseline)]
    said += [say("rl_memory.usual_is", settings=", ".join(usual))] if usual else []
    said += own_sentences([pair[0].baseline])
    return Figure(
        title=say("rl_memory.saving", arm=arm, baseline=baseline, evidence=evidence_of(pair[0].baseline.holding)),
        caption=joined("sentence", said),
        views=[
            View(title=say(f"rl_memory.view.{over}"), figure=saving_curves(over, found))
            for over, found in lines.items()
        ],
        height_px=height_px(most),
        wide=is_wide(most),
    )
