"""What others published of memory, and beside it what a case of ours says, where one is comparable."""

from collections.abc import Mapping, Sequence
from typing import Any

from suite.records import numbers
from suite.records.derived import noted
from suite.report.blocks import MOST_ROWS_OPEN, Column, Kind, Table, Text, say
from suite.report.rl_memory import Holding, all_of, devices_needed
from suite.report.rl_memory_savings import Saving
from suite.report.rl_memory_setups import Setup, unusual, usual_of
from suite.theory.published_memory import NEEDS, PEAK, SAVING, PublishedMemory, published_memory

ANY, SHARDS = "any", "shards"


def published_table(found: Sequence[Setup], saved: Sequence[Saving]) -> Table:
    figures = published_memory()
    return Table(
        title=say("rl_memory.published"),
        columns=[
            Column(title=say("rl_memory.what")),
            Column(title=say("published.problem"), kind=Kind.LONG),
            Column(title=say("published.figure"), kind=Kind.NUMBER),
            Column(title=say("rl_memory.ours"), kind=Kind.NUMBER),
            Column(title=say("rl_memory.our_settings"), kind=Kind.LONG),
            Column(title=say("published.source"), kind=Kind.LONG),
            Column(title=say("column.notes"), kind=Kind.LONG),
        ],
        rows=[
            [
                say(f"rl_memory.what.{figure.kind}"),
                figure.problem,
                _published(figure),
                *_ours(figure, found, saved),
                figure.source,
                figure.note,
            ]
            for figure in figures
        ],
        note=say("rl_memory.published_note"),
        folded=len(figures) > MOST_ROWS_OPEN,
    )


def _published(figure: PublishedMemory) -> Text:
    return {
        NEEDS: say("rl_memory.set", count=figure.count, size=figure.gpu_gb),
        PEAK: figure.peak,
        SAVING: numbers.percent(figure.share),
    }[figure.kind]


def _ours(figure: PublishedMemory, found: Sequence[Setup], saved: Sequence[Saving]) -> tuple[Text, Text]:
    """Of the most usual of the comparable projections, and its settings; dashes where there is none."""
    if figure.like is None:
        return numbers.NOTHING, numbers.NOTHING
    usual = usual_of([setup.key for setup in found])
    said: list[tuple[int, str, Holding]] = []
    if figure.kind == SAVING:
        with_reference = [one for one in saved if one.arm.holding.has_reference]
        said = [
            (len(unusual(one.setup.key, usual)), numbers.percent(one.share), one.arm.holding) for one in with_reference
        ]
    else:
        said = [
            (len(unusual(setup.key, usual)), text, arm.holding)
            for setup in found
            for arm in setup.arms
            if (text := _text(figure, arm.holding))
        ]
    fitting = [one for one in said if _is_like(one[2], figure.like)]
    if not fitting:
        return numbers.NOTHING, numbers.NOTHING
    _, text, holding = min(fitting, key=lambda one: one[0])
    return text, ", ".join(f"{name}={value}" for name, value in all_of(holding.record).items() if value)


def _text(figure: PublishedMemory, holding: Holding) -> Text:
    if figure.kind == NEEDS:
        count = devices_needed(holding, figure.gpu_gb)
        return say("rl_memory.set", count=count, size=figure.gpu_gb) if count is not None else ""
    shards = (figure.like or {}).get(SHARDS, 1)
    peak = noted(holding.record, f"shards_{shards}", "peak_bytes_per_device")
    return numbers.bytes_iec(peak) if peak is not None else ""


def _is_like(holding: Holding, like: Mapping[str, Any]) -> bool:
    """`any` is any value; a projection says its peak for each number of shards, whatever its own."""
    if holding.is_measured:
        return False
    ours = all_of(holding.record)
    return all(
        bool(ours.get(name)) if wanted == ANY else ours.get(name, "") == ("" if wanted is None else str(wanted))
        for name, wanted in like.items()
        if name != SHARDS
    )
