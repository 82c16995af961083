"""Several machines of one kind: how far apart they are, and a ratio over all that measured it.

Each machine gives a ratio of its own, of two times that it took itself. Their mean with Student's interval takes the
machine as a random effect: it speaks of machines like these, not of these alone. Two machines leave one degree of
freedom, and with it an interval of 13 standard errors.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from suite.records import numbers
from suite.records.machine_classes import (
    ARITHMETIC,
    BANDWIDTH,
    Ceilings,
    kind_of_machine,
    machine_ceilings,
    times_apart,
)
from suite.records.machines import model_name, recorded_machine
from suite.records.record import Record
from suite.report.attention.groups import case_timings, side_by_side
from suite.report.blocks import Table, Text, say
from suite.report.model.experiment import grouped
from suite.report.model.formats import mean_interval
from suite.report.model.labels import variant_label
from suite.report.model.results import Results
from suite.report.table import Column, column, part_columns, table
from suite.report.timings import CONTEXT, DTYPE, GEOMETRY, LAYER, PHASE, Timing, in_order

BASELINE = "mha"


@dataclass(frozen=True, kw_only=True)
class MachineKind:
    """Machines of one kind that these results have records of."""

    name: str
    by_machine: Mapping[str, Sequence[Record]]

    @cached_property
    def ceilings(self) -> Sequence[Ceilings]:
        return [machine_ceilings(records) for records in self.by_machine.values()]

    def apart(self, ceiling: str) -> float | None:
        """How many times as high the fastest of them reaches as the slowest; None where no two share a probe of it."""
        ratios = [times_apart(first, other).get(ceiling) for first, other in combinations(self.ceilings, 2)]
        return max((ratio for ratio in ratios if ratio is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class MachineRatios:
    """The time of a variant's layer over MHA's in one case, on each machine of a kind that measured both."""

    kind: MachineKind
    timing: Timing  # of one machine, for the case
    ratios: Sequence[float]

    @property
    def mean(self) -> Text:
        """The geometric mean with the interval for machines like these."""
        logs = mean_interval([math.log(ratio) for ratio in self.ratios])
        assert logs is not None  # there are at least two
        low, mean, high = (numbers.times(math.exp(end)) for end in (logs.low, logs.estimate, logs.high))
        return say("quality.with_interval", value=mean, low=low.rstrip("×"), high=high)


def build_tables(results: Results) -> list[Table]:
    """A table of the kinds of which there are several machines, and one of the ratios that several of a kind measured.
    Either may be without rows."""
    by_machine = grouped((current.record for current in results.records), recorded_machine)
    of_kind = grouped(filter(None, by_machine), lambda machine: kind_of_machine(by_machine[machine]))
    kinds = []
    for machines in (machines for kind, machines in of_kind.items() if kind and len(machines) > 1):
        name, records = model_name(by_machine[machines[0]][0]), {machine: by_machine[machine] for machine in machines}
        machine_kind = MachineKind(name=name, by_machine=records)
        # Of a kind of which ceilings were measured on at least two machines.
        kinds += [machine_kind] if sum(map(bool, machine_kind.ceilings)) > 1 else []
    rows = [row for kind in kinds for row in _ratios(kind, case_timings(results))]
    return [
        table(say("machines.kinds"), kinds, KINDS, note=say("machines.kinds_note")),
        table(say("machines.ratios"), rows, RATIOS, note=say("machines.ratios_note")),
    ]


def _ratios(kind: MachineKind, timings: Iterable[Timing]) -> list[MachineRatios]:
    """The ratios to MHA that at least two machines of the kind measured, in the order of tables."""
    layers = [timing for timing in timings if timing.span == LAYER and timing.is_measured]
    of_kind = [timing for timing in layers if recorded_machine(timing.record) in kind.by_machine]
    variants = sorted({timing.variant for timing in of_kind} - {BASELINE})
    pairs = [pair for variant in variants for pair in side_by_side(of_kind, variant, BASELINE)]
    # A case on two machines differs in nothing but the label; the backend must be the same on both.
    cases = grouped(pairs, lambda pair: (pair[0].record.case.id, pair[0].backend, pair[1].backend))
    ratios = {
        members[0][0]: {recorded_machine(first.record): first.median_s / other.median_s for first, other in members}
        for members in cases.values()
    }
    return [
        MachineRatios(kind=kind, timing=timing, ratios=list(ratios[timing].values()))
        for timing in in_order(ratios)
        if len(ratios[timing]) > 1
    ]


KINDS: list[Column[MachineKind]] = [
    column("machines.kind", lambda kind: kind.name),
    column("machines.count", lambda kind: len(kind.by_machine), numbers.count),
    column("machines.arithmetic", lambda kind: kind.apart(ARITHMETIC), numbers.times),
    column("machines.bandwidth", lambda kind: kind.apart(BANDWIDTH), numbers.times),
]
RATIOS: list[Column[MachineRatios]] = [
    column("column.variant", lambda row: variant_label(row.timing.variant), facet="variant"),
    *part_columns(lambda row: row.timing, [GEOMETRY, CONTEXT]),
    column("machines.ratio", lambda row: row.mean),
    column("machines.least", lambda row: min(row.ratios), numbers.times),
    column("machines.most", lambda row: max(row.ratios), numbers.times),
    column("machines.count", lambda row: len(row.ratios), numbers.count),
    *part_columns(lambda row: row.timing, [PHASE, DTYPE]),
    column("machines.kind", lambda row: row.kind.name),
]
