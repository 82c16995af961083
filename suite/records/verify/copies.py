"""Timings that were copied: noise never comes twice, not even scaled.

A clock counts in nanoseconds, so eight timings of a millisecond that agree in order with eight others, or are those
times one factor, are no chance. Coarser clocks give few different values, which say nothing: only stretches of eight or
more different ones are compared.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from suite.records.record import RECORD, TELEMETRY, Evidence, Record
from suite.records.stores.store import StoredRecord, digest_of
from suite.records.verify.plausible import JUDGES, and_more, named_row, timing_series

LEAST_DIFFERENT = 8
"""Different values without which two stretches may be alike by chance."""
HEAD, BLOCK = 16, 12
"""Timings at the beginning of a launch that are compared with other runs', and in a row with others of their own."""
SAME_FACTOR = 1e-5
"""The most that two timings over each other differ, relatively, among those that one factor made: rounding to
nanoseconds changes a timing of a millisecond by a twentieth of it, and noise is a thousand times as large."""
MOST_ALIKE = 64
"""Beginnings in one order that are kept: noise has more orders than there are records, so that more were made to cost
time."""
MANY, FEWEST_OF_MANY = 16, 3
"""Timings by a clock of nanoseconds among which at least so many differ."""
MANY_IN_TICKS = 100
"""Timings by a device's own clock, half a microsecond a tick on some, that cannot all be equal."""


@dataclass(frozen=True, kw_only=True)
class _Head:
    """The first timings of a launch, and where they stand."""

    digest: str
    """The sha256 of the run's record."""
    run: str
    row: int
    values: Sequence[float]

    @property
    def ranks(self) -> tuple[int, ...]:
        """Return the places of the timings by their size, which a factor leaves as they are."""
        return tuple(sorted(range(len(self.values)), key=self.values.__getitem__))


@dataclass(kw_only=True)
class Copies:
    """Beginnings of the launches of all whole runs that one command has read, to find one that comes again."""

    _heads: dict[tuple[int, ...], list[_Head]] = field(default_factory=lambda: defaultdict(list))
    """Keyed by their ranks."""
    _telemetry: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The digest of a record and its run's name, by the digest of its telemetry."""

    def remember(self, run: StoredRecord) -> None:
        """Keep what a later run must not share. A run that was refused is not kept: it may be the copy."""
        for head in _heads_of(run):
            if len(same := self._heads[head.ranks]) < MOST_ALIKE:
                same.append(head)
        if series := run.record.files.get(TELEMETRY):
            self._telemetry.setdefault(series, _identity(run))

    def faults(self, run: StoredRecord) -> Iterator[str]:
        """Yield a sentence for what a run shares with itself, and one for what it shares with those before it. The same
        record in two folders is one run."""
        if run.record.evidence is not Evidence.MEASURED:
            return
        yield from constant_timings(run.record)
        yield from repeated_block(run.record)
        own: dict[tuple[int, ...], list[_Head]] = defaultdict(list)
        found = []
        for head in _heads_of(run):
            earlier = [one for one in self._heads.get(head.ranks, ()) if one.digest != head.digest] + own[head.ranks]
            said = next(filter(None, (_shared(head, other) for other in earlier)), None)
            if said is not None:
                where = named_row(run.record, head.row)
                found.append(f"{where}: the {len(head.values)} timings from here on are {said}")
            if len(own[head.ranks]) < MOST_ALIKE:
                own[head.ranks].append(head)
        if found:
            yield found[0] + and_more(found)
        digest, _ = _identity(run)
        before, whose = self._telemetry.get(run.record.files.get(TELEMETRY, ""), (digest, ""))
        if before != digest:
            yield f"{TELEMETRY} row 0 and all that follow are byte for byte those of {whose}"


def _identity(run: StoredRecord) -> tuple[str, str]:
    """The sha256 of a run's record, and the run's name."""
    return digest_of(run.folder / RECORD), "/".join(run.folder.parts[-2:])


def _heads_of(run: StoredRecord) -> list[_Head]:
    """The beginnings of a run's launches that are no chance."""
    digest, name = _identity(run)
    series = timing_series(run.record).values()
    heads = [
        _Head(digest=digest, run=name, row=rows[0][0], values=[reading.value for _, reading in rows[:HEAD]])
        for rows in series
    ]
    return [head for head in heads if len(set(head.values)) >= LEAST_DIFFERENT]


def _shared(head: _Head, other: _Head) -> str | None:
    """Which earlier timings these are; None where they are others."""
    factor = _factor(head.values, other.values)
    if factor is None:
        return None
    scaled = "" if abs(factor - 1) <= SAME_FACTOR else f", times {factor:.4g}"
    whose = "this run's" if other.digest == head.digest else f"those of {other.run}"
    return f"{whose} from row {other.row} on{scaled}"


def constant_timings(record: Record) -> Iterator[str]:
    """Yield a sentence for each long series that hardly varies."""
    is_fine = str(record.provenance.get("clock")) in JUDGES
    many, fewest = (MANY, FEWEST_OF_MANY) if is_fine else (MANY_IN_TICKS, 2)
    for rows in timing_series(record).values():
        different = len({reading.value for _, reading in rows})
        if len(rows) >= many and different < fewest:
            values = "one value" if different == 1 else f"{different} values"
            yield f"{named_row(record, rows[0][0])}: the {len(rows)} timings from here on have {values}"


def repeated_block(record: Record) -> Iterator[str]:
    """Yield a sentence for the first block of timings that comes again within a run."""
    first: dict[float, tuple[int, Sequence[float]]] = {}
    for rows in timing_series(record).values():
        values = [reading.value for _, reading in rows]
        for at, (row, reading) in enumerate(rows):
            if reading.value not in first:
                first[reading.value] = row, values[at : at + BLOCK]
                continue
            block, (before, earlier) = values[at : at + BLOCK], first[reading.value]
            if len(block) == BLOCK and block == earlier and len(set(block)) >= LEAST_DIFFERENT:
                yield f"{named_row(record, row)}: the {BLOCK} timings from here on are those from row {before} on"
                return


def _factor(values: Sequence[float], others: Sequence[float]) -> float | None:
    """The one factor between two series of timings; None where there is none."""
    if len(values) != len(others) or min(*values, *others) <= 0:
        return None
    ratios = [value / other for value, other in zip(values, others, strict=True)]
    return ratios[0] if max(ratios) - min(ratios) <= SAME_FACTOR * min(ratios) else None
