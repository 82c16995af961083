"""Published figures of memory in reinforcement learning, each beside the projection of ours that is most like it."""

from collections.abc import Mapping, Sequence
from typing import Any

from suite.records import numbers
from suite.report.blocks import Kind, Table, Text, joined, say
from suite.report.model.labels import setting_text
from suite.report.rl import memory_design as design
from suite.report.rl.memory_design import MemoryArm, MemoryExperiment, Saving
from suite.report.table import column, table
from suite.theory.answers.published import NEEDS, SAVING, PublishedMemory, published_memory

ANY = "any"


def published_table(found: Sequence[MemoryExperiment], saved: Sequence[Saving]) -> Table:
    """Lay out published figures, each beside the most usual of our comparable projections."""
    projections = [arm for arm in design.arms_in(found) if not arm.first.is_measured]
    usual = design.usual_of([arm.setting for arm in projections])
    projections.sort(key=lambda arm: len(design.unusual(arm.setting, usual)))
    shares = {saving.arm: saving.share for saving in reversed(saved) if saving.arm.first.has_reference}
    rows = []
    for figure in published_memory():
        theirs = _quantity(figure, figure.count, figure.peak, figure.share)
        rows.append((figure, theirs, *_ours(figure, projections, shares)))
    return table(
        say("rl_memory.published"),
        rows,
        [
            column("rl_memory.what", lambda row: say(f"rl_memory.what.{row[0].kind}")),
            column("published.problem", lambda row: row[0].problem, kind=Kind.LONG),
            column("published.figure", lambda row: row[1], kind=Kind.NUMBER),
            column("rl_memory.ours", lambda row: row[2], kind=Kind.NUMBER),
            column("rl_memory.our_settings", lambda row: row[3], kind=Kind.LONG),
            column("published.source", lambda row: row[0].source, kind=Kind.LONG),
            column("column.notes", lambda row: row[0].note, kind=Kind.LONG),
        ],
        note=say("rl_memory.published_note"),
    )


def _quantity(figure: PublishedMemory, count: int | None, peak: Text, share: float | None) -> Text:
    """Write what a figure is of: a set of GPUs, a peak or a saving; nothing where it is not known."""
    if figure.kind == NEEDS:
        return "" if count is None else say("rl_memory.set", count=count, size=figure.gpu_gb)
    if figure.kind == SAVING:
        return "" if share is None else numbers.percent(share)
    return peak


def _ours(
    figure: PublishedMemory, projections: Sequence[MemoryArm], shares: Mapping[MemoryArm, float]
) -> tuple[Text, Text]:
    """What the first comparable projection says, and its settings; nothing where none is.

    It says its peak for each number of shards, whatever its own.
    """
    like = dict(figure.like or {})
    shards = like.pop(design.SHARDS, 1)
    for arm in projections if figure.like is not None else ():
        settings, peak = arm.first.case_settings, design.peak_of_one(shards, arm)
        written_peak = "" if peak is None else numbers.bytes_iec(peak)
        text = _quantity(figure, design.devices_needed(figure.gpu_gb, arm), written_peak, shares.get(arm))
        if text and all(_is_as(settings.get(name, ""), wanted) for name, wanted in like.items()):
            return text, joined("list", [setting_text(name, value) for name, value in settings.items() if value])
    return "", ""


def _is_as(value: str, wanted: Any) -> bool:
    return bool(value) if wanted == ANY else value == ("" if wanted is None else str(wanted))
