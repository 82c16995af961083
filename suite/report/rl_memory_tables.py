"""The tables of memory: which GPUs hold a case, what is saved, what was measured over what was projected, all peaks."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from suite.records import numbers
from suite.records.derived import noted
from suite.records.holdings import KINDS, NOBODY, OTHER, OWNERS
from suite.records.rl_metrics import PHASES
from suite.report.alike import Pairs
from suite.report.blocks import MOST_ROWS_OPEN, Column, Kind, Table, Text, cell, joined, say
from suite.report.facets import record_facets
from suite.report.model.results import Results
from suite.report.rl_memory import Holding, devices_needed
from suite.report.rl_memory_charts import parameters
from suite.report.rl_memory_checks import checks
from suite.report.rl_memory_savings import Saving
from suite.report.rl_memory_setups import Arm, Setup, alike_in, own_settings, settings_of

GPUS_GB = (24, 40, 80, 141)
RESERVE = "reserve_bytes_per_device"


def evidence_of(holding: Holding) -> Text:
    return say("evidence.measured" if holding.is_measured else "evidence.projected")


def own_sentences(arms: Iterable[Arm]) -> list[Text]:
    return [say("rl_memory.own", arm=arm, settings=settings) for arm, settings in own_settings(arms).items()]


@dataclass(frozen=True, kw_only=True)
class _Cases:
    """What the tables begin with: each case's model and algorithm, and how it differs from the table's others."""

    keys: Sequence[Pairs]
    """Of the setups."""
    results: Results
    has_evidence: bool = False

    @cached_property
    def settings(self) -> dict[Pairs, list[str]]:
        return settings_of(self.keys)

    def columns(self) -> list[Column]:
        return [
            Column(title=say("column.model")),
            Column(title=say("column.algorithm")),
            *([Column(title=say("column.settings"), kind=Kind.LONG)] if any(self.settings.values()) else []),
            *([Column(title=say("fact.evidence"))] if self.has_evidence else []),
            *([Column(title=say("column.label"), facet="label")] if self.results.several else []),
        ]

    def cells(self, key: Pairs, arm: Arm) -> list[str]:
        return [
            arm.holding.model,
            arm.name,
            *([", ".join(self.settings[key]) or numbers.NOTHING] if any(self.settings.values()) else []),
            *([evidence_of(arm.holding)] if self.has_evidence else []),
            *([arm.holding.current.label] if self.results.several else []),
        ]

    def noted(self, note: str, arms: Iterable[Arm]) -> Text:
        """A note, with what all cases agree in and what an arm alone has, which no row says."""
        alike = [
            say(f"rl_memory.alike.{workload}", settings=", ".join(settings))
            for workload, settings in alike_in(self.keys).items()
            if settings
        ]
        return joined("sentence", [note, *alike, *own_sentences(arms)])


def _each(found: Sequence[Setup]) -> list[tuple[Setup, Arm]]:
    return [(setup, arm) for setup in found for arm in setup.arms]


def _facets(rows: Sequence[tuple[Setup, Arm]]) -> list[Mapping[str, str | Sequence[str]]]:
    return [record_facets(arm.holding.record) | {"label": arm.holding.current.label} for _, arm in rows]


def fits(drawn: Sequence[Setup], found: Sequence[Setup], results: Results) -> list[Table]:
    """Of the setups that are drawn, and folded of all."""
    rows = _distinct(_each([setup for setup in drawn if not setup.is_measured]))
    every = _distinct(_each([setup for setup in found if not setup.is_measured]))
    if not any(devices_needed(arm.holding, size) for _, arm in every for size in GPUS_GB):
        return []
    tables = [_fits_table(say("rl_memory.fits"), rows, results, folded=False)]
    if len(every) > len(rows):
        tables.append(_fits_table(say("rl_memory.fits_all"), every, results, folded=True))
    return tables


def _distinct(rows: Sequence[tuple[Setup, Arm]]) -> list[tuple[Setup, Arm]]:
    """How many devices are needed depends on everything but how many there are."""
    first: dict[tuple[Any, ...], tuple[Setup, Arm]] = {}
    for setup, arm in rows:
        first.setdefault((_but_shards(setup.key), arm.name), (setup, arm))
    return list(first.values())


def _but_shards(key: Pairs) -> Pairs:
    return tuple(pair for pair in key if pair[0] != "shards")


def _fits_table(title: str, rows: Sequence[tuple[Setup, Arm]], results: Results, *, folded: bool) -> Table:
    cases = _Cases(keys=[_but_shards(setup.key) for setup, _ in rows], results=results)
    reserve = _reserve([arm.holding for _, arm in rows])
    return Table(
        title=title,
        columns=[
            *cases.columns(),
            Column(title=say("rl_memory.on_one"), kind=Kind.NUMBER),
            *(Column(title=say("rl_memory.gpu", size=size), kind=Kind.NUMBER) for size in GPUS_GB),
            Column(title=say("rl_memory.smallest"), kind=Kind.NUMBER),
        ],
        rows=[
            [
                *cases.cells(_but_shards(setup.key), arm),
                cell(noted(arm.holding.record, "shards_1", "peak_bytes_per_device"), numbers.bytes_iec),
                *(cell(devices_needed(arm.holding, size), numbers.count) for size in GPUS_GB),
                _smallest(arm.holding),
            ]
            for setup, arm in rows
        ],
        note=cases.noted(say("rl_memory.fits_note", reserve=reserve), [arm for _, arm in rows]),
        folded=folded,
        row_facets=_facets(rows),
    )


def _smallest(holding: Holding) -> Text:
    """The set with the least memory together; of equal ones the fewest devices."""
    sets = [(count * size, count, size) for size in GPUS_GB if (count := devices_needed(holding, size)) is not None]
    if not sets:
        return numbers.NOTHING
    _, count, size = min(sets)
    return say("rl_memory.set", count=count, size=size)


def _reserve(holdings: Sequence[Holding]) -> Text:
    stated = {_number(holding.record.settings.get(RESERVE)) for holding in holdings}
    known = sorted(value for value in stated if value is not None)
    if not known:
        return say("rl_memory.reserve_unknown")
    return joined("rl.to", dict.fromkeys(numbers.bytes_iec(value) for value in (known[0], known[-1])))


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    return float(value) if is_number else None


def savings_table(found: Sequence[Saving], results: Results) -> Table:
    cases = _Cases(keys=[one.setup.key for one in found], results=results, has_evidence=True)
    return Table(
        title=say("rl_memory.savings"),
        columns=[
            *cases.columns(),
            Column(title=say("rl_memory.parameters"), kind=Kind.NUMBER),
            Column(title=say("rl_memory.against")),
            Column(title=say("rl_memory.baseline_peak"), kind=Kind.NUMBER),
            Column(title=say("rl_memory.peak"), kind=Kind.NUMBER),
            Column(title=say("rl_memory.saved"), kind=Kind.NUMBER),
        ],
        rows=[
            [
                *cases.cells(one.setup.key, one.arm),
                cell(one.arm.holding.parameters, parameters),
                one.baseline.name,
                numbers.bytes_iec(one.baseline.holding.peak),
                numbers.bytes_iec(one.arm.holding.peak),
                numbers.percent(one.share),
            ]
            for one in found
        ],
        note=cases.noted(say("rl_memory.savings_note"), [one.baseline for one in found]),
        folded=len(found) > MOST_ROWS_OPEN,
        row_facets=_facets([(one.setup, one.arm) for one in found]),
    )


def checks_tables(found: Sequence[Setup], results: Results) -> list[Table]:
    rows = checks(found)
    if not rows:
        return []
    cases = _Cases(keys=[row.setup.key for row in rows], results=results)
    return [
        Table(
            title=say("rl_memory.checks"),
            columns=[
                *cases.columns(),
                Column(title=say("column.phase")),
                Column(title=say("rl_memory.measured"), kind=Kind.NUMBER),
                Column(title=say("rl_memory.projected"), kind=Kind.NUMBER),
                Column(title=say("rl_memory.projected_tokens"), kind=Kind.NUMBER),
                Column(title=say("rl_memory.over_projected"), kind=Kind.NUMBER),
                Column(title=say("rl_memory.allocator"), kind=Kind.NUMBER),
                Column(title=say("rl_memory.over_held"), kind=Kind.NUMBER),
            ],
            rows=[
                [
                    *cases.cells(row.setup.key, row.arm),
                    say(f"rl.phase.{row.phase}"),
                    numbers.bytes_iec(row.measured),
                    cell(row.projected, numbers.bytes_iec),
                    row.projected_tokens or numbers.NOTHING,
                    cell(_over(row.measured, row.projected), numbers.times),
                    cell(row.allocator, numbers.bytes_iec),
                    cell(_over(row.allocator, row.measured), numbers.times),
                ]
                for row in rows
            ],
            note=cases.noted(say("rl_memory.checks_note"), [row.arm for row in rows]),
            folded=len(rows) > MOST_ROWS_OPEN,
            row_facets=_facets([(row.setup, row.arm) for row in rows]),
        )
    ]


def _over(amount: float | None, over: float | None) -> float | None:
    return None if amount is None or over is None else amount / over


def peaks(found: Sequence[Setup], results: Results, *, by_kind: bool) -> Table:
    """Each phase's peak and the whole's by owner, or the whole's by kind."""
    rows = _each(found)
    names = (*KINDS, OTHER) if by_kind else (*OWNERS, NOBODY)
    sums = {arm: _sums(arm.holding, by_kind=by_kind) for _, arm in rows}
    present = [name for name in names if any(sums[arm].get(name) for _, arm in rows)]
    phases = [] if by_kind else PHASES
    word = "kind" if by_kind else "owner"
    cases = _Cases(keys=[setup.key for setup in found], results=results, has_evidence=True)
    return Table(
        title=say(f"rl_memory.by_{word}"),
        columns=[
            *cases.columns(),
            Column(title=say("rl_memory.peak"), kind=Kind.NUMBER),
            *(Column(title=say(f"rl.phase.{phase}"), kind=Kind.NUMBER) for phase in phases),
            *(Column(title=say(f"rl_memory.{word}.{name}"), kind=Kind.NUMBER) for name in present),
        ],
        rows=[
            [
                *cases.cells(setup.key, arm),
                numbers.bytes_iec(arm.holding.peak),
                *(cell(_phase_peak(arm.holding, phase), numbers.bytes_iec) for phase in phases),
                *(cell(sums[arm].get(name), numbers.bytes_iec) for name in present),
            ]
            for setup, arm in rows
        ],
        note=cases.noted(say(f"rl_memory.by_{word}_note"), [arm for _, arm in rows]),
        folded=True,
        row_facets=_facets(rows),
    )


def _phase_peak(holding: Holding, phase: str) -> float | None:
    return holding.phases[phase].peak if phase in holding.phases else None


def _sums(holding: Holding, *, by_kind: bool) -> dict[str, float]:
    sums: dict[str, float] = {}
    for (owner, kind), value in holding.phases[holding.peak_phase].parts.items():
        name = kind if by_kind else owner
        sums[name] = sums.get(name, 0.0) + value
    return sums
