"""Timings that were copied: noise never comes twice, not even scaled.

A clock counts in nanoseconds, so eight timings of a millisecond that agree in order with eight others, or are those
times one factor, are no chance. Coarser clocks give few different values, which say nothing: only stretches of eight or
more different ones are compared.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from suite.machine.privacy import Scrubber
from suite.records.record import TELEMETRY, Evidence, Record
from suite.records.stores.store import StoredRecord
from suite.records.verify.rules import JUDGES, and_more, named_row

LEAST_DIFFERENT = 8
"""Different values without which two stretches may be alike by chance."""
HEAD, BLOCK = 16, 12
"""Timings at the beginning of a launch that are compared with other runs', and in a row with others of their own."""
SAME_FACTOR = 1e-5
"""The most that two timings over each other differ, relatively, among those that one factor made: rounding to
nanoseconds changes a timing of a millisecond by a twentieth of it, and noise is a thousand times as large."""
MANY, FEWEST_OF_MANY = 16, 3
"""Timings by a clock of nanoseconds among which at least so many differ."""
MANY_IN_TICKS = 100
"""Timings by a device's own clock, half a microsecond a tick on some, that cannot all be equal."""


@dataclass(frozen=True, kw_only=True)
class LaunchHead:
    """The first timings of a launch, and where they stand."""

    digest: str
    """The sha256 of the run's record."""
    run: str
    row: int
    values: Sequence[float]

    def origin_in(self, other: "LaunchHead") -> str | None:
        """Where these timings come from, in words, if they are `other`'s times one factor; None if they are not."""
        if len(self.values) != len(other.values) or min(*self.values, *other.values) <= 0:
            return None
        factors = [ours / theirs for ours, theirs in zip(self.values, other.values, strict=True)]
        if max(factors) - min(factors) > SAME_FACTOR * min(factors):
            return None
        scaled = "" if abs(factors[0] - 1) <= SAME_FACTOR else f", times {factors[0]:.4g}"
        origin = "this run's" if other.digest == self.digest else f"those of {other.run}"
        return f"{origin} from row {other.row} on{scaled}"


Heads = dict[tuple[int, ...], list[LaunchHead]]
"""Beginnings by the order of their timings by size, which a factor leaves as it is."""


@dataclass(kw_only=True)
class Copies:
    """Beginnings of the launches of all whole runs that one command has read, to find one that comes again."""

    _heads: Heads = field(default_factory=lambda: defaultdict(list))
    _telemetry: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The digest of a record and its run's name, by the digest of its telemetry."""
    scrubbers: tuple[Scrubber, Scrubber] = field(default_factory=lambda: (Scrubber(), Scrubber(is_ours=True)))
    """Made once a command, of another machine's texts and of this one's."""

    def remember(self, run: StoredRecord) -> None:
        """Keep what a later run must not share. A run that was refused is not kept: it may be the copy."""
        for order, heads in _launch_heads(run).items():
            self._heads[order] += heads
        if series := run.record.files.get(TELEMETRY):
            self._telemetry.setdefault(series, (run.digest, run.name))

    def faults(self, run: StoredRecord) -> Iterator[str]:
        """Yield a sentence for what a run shares with itself, and one for what it shares with those before it. The same
        record in two folders is one run."""
        if run.record.evidence is not Evidence.MEASURED:
            return
        yield from constant_timings(run.record)
        yield from repeated_block(run.record)
        copies = []
        for order, heads in _launch_heads(run).items():
            earlier = [head for head in self._heads.get(order, ()) if head.digest != run.digest]
            for number, head in enumerate(heads):
                if origin := next(filter(None, map(head.origin_in, [*earlier, *heads[:number]])), None):
                    copies.append((head.row, f"the {len(head.values)} timings from here on are {origin}"))
        if copies:
            row, wrong = min(copies)
            yield f"{named_row(run.record, row)}: {wrong}{and_more(copies)}"
        earlier_digest, earlier_run = self._telemetry.get(run.record.files.get(TELEMETRY, ""), (run.digest, ""))
        if earlier_digest != run.digest:
            yield f"{TELEMETRY} row 0 and all that follow are byte for byte those of {earlier_run}"


def _launch_heads(run: StoredRecord) -> Mapping[tuple[int, ...], list[LaunchHead]]:
    """The first timings of each launch, by their order; without launches with fewer than LEAST_DIFFERENT values."""
    heads = defaultdict[tuple[int, ...], list[LaunchHead]](list)
    for rows in run.record.timings.values():
        values = rows.at(rows.places[:HEAD]).column("value")
        if len(set(values)) >= LEAST_DIFFERENT:
            order = tuple(sorted(range(len(values)), key=values.__getitem__))
            heads[order].append(LaunchHead(digest=run.digest, run=run.name, row=rows.places[0], values=values))
    return heads


def constant_timings(record: Record) -> Iterator[str]:
    """Yield a sentence for each launch whose many timings have two values at most; by a device's clock one."""
    is_fine = str(record.provenance.get("clock")) in JUDGES
    many, fewest = (MANY, FEWEST_OF_MANY) if is_fine else (MANY_IN_TICKS, 2)
    for rows in record.timings.values():
        different = len(set(rows.column("value")))
        if len(rows) >= many and different < fewest:
            values = "one value" if different == 1 else f"{different} values"
            yield f"{named_row(record, rows.places[0])}: the {len(rows)} timings from here on have {values}"


def repeated_block(record: Record) -> Iterator[str]:
    """Yield a sentence for the first BLOCK timings in a row that come a second time within the run."""
    blocks: dict[float, tuple[int, Sequence[float], int]] = {}
    for rows in record.timings.values():
        values = rows.column("value")
        for at, (row, value) in enumerate(zip(rows.places, values, strict=True)):
            before, others, begin = blocks.setdefault(value, (row, values, at))  # a block is found by its first value
            if before == row:
                continue
            block = values[at : at + BLOCK]
            if len(block) == BLOCK and block == others[begin : begin + BLOCK] and len(set(block)) >= LEAST_DIFFERENT:
                yield f"{named_row(record, row)}: the {BLOCK} timings from here on are those from row {before} on"
                return
