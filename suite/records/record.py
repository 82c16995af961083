"""The nouns of the suite: a reading, a record, its status.

Every number is a Reading: a latency, a byte count, a reward or a closed-form FLOP count alike. A case that could not
run is a Record with a reason, never a gap.
"""

import math
import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from suite.machine.plain_text import one_line
from suite.records.aliases import settings_today
from suite.records.case import Case

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")
SCHEMA = 1
REFUSED_UNRUN = "refused_before_it_ran"
"""A fact of a record that was refused for what the machine has, which may be more another time."""
STEP = "step"
"""The span of what belongs to a whole step and is not timed."""
PLAIN_NAME = re.compile(r"\w[\w.-]{0,199}")
RUN_KEY = DIGEST = re.compile(r"[0-9a-f]{64}")
RECORD = "record.json"
SAMPLES, TELEMETRY, TRACE = ("samples.parquet", "telemetry.parquet", "trace.json.gz")
OVERRIDES = ".hydra/overrides.yaml"
FILES = (SAMPLES, TELEMETRY, TRACE, OVERRIDES)
"""All that may lie beside a record."""
TIMINGS = ("latency_s", "cold_latency_s")
"""Metrics that are latencies."""
SCALARS = (str, int, float, bool)
LONGEST_REASON = 300


class Status(StrEnum):
    OK = "ok"
    UNSUPPORTED = "unsupported"
    """Right in itself, but not runnable here."""
    OUT_OF_MEMORY = "out_of_memory"
    INCORRECT = "incorrect"
    """The output differs from the reference, so there is no timing."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Evidence(StrEnum):
    MEASURED = "measured"
    PROJECTED = "projected"


def as_array(numbers: Iterable[float | None], empty: float) -> "npt.NDArray[np.float64]":
    """The numbers in float64, with `empty` in place of None."""
    import numpy as np

    if isinstance(numbers, array):
        return np.asarray(numbers, dtype=float)
    return np.array([empty if number is None else number for number in numbers], dtype=float)


Row = TypeVar("Row")
Columns = Mapping[str, Sequence[Any]]
"""Values by the name of their column, in the order of a row's attributes."""


class Rows(Sequence[Row], Generic[Row]):
    """Rows of a table that are kept as columns, in half of the memory that an object for each would take.

    `places`: the rows of the columns that these are, by default all.
    """

    def __init__(self, row: Callable[..., Row], columns: Columns, places: Sequence[int] | None = None) -> None:
        self._row, self._columns, self._places = row, columns, places

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column, for these rows alone."""
        values = self._columns[name]
        return values if self._places is None else list(map(values.__getitem__, self._places))

    def array(self, name: str, empty: float = math.nan) -> "npt.NDArray[np.float64]":
        """The numbers of a column, for these rows alone, with `empty` where a row has none."""
        decoded = getattr(self._columns, "array", None)  # of a table that was read
        values: npt.NDArray[np.float64] = decoded(name, empty) if decoded else as_array(self._columns[name], empty)
        return values if self._places is None else values[self._places]

    @property
    def places(self) -> Sequence[int]:
        """The numbers of the rows in their table, from 0."""
        return range(len(self)) if self._places is None else self._places

    def grouped(self, *names: str) -> dict[tuple[Any, ...], "Rows[Row]"]:
        """The rows grouped by their values in these columns, in the order in which they come."""
        places_by = getattr(self._columns, "places_by", None)  # of a table that was read
        if places_by and self._places is None:
            places: dict[tuple[Any, ...], array[int]] = places_by(names)
        else:
            places = defaultdict(partial(array, "q"))
            for place, key in zip(self.places, zip(*map(self.column, names), strict=True), strict=True):
                places[key].append(place)
        return {key: Rows(self._row, self._columns, of_key) for key, of_key in places.items()}

    def at(self, places: Iterable[int]) -> "Rows[Row]":
        """The rows of the table with these numbers."""
        return Rows(self._row, self._columns, array("q", places))

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ())) if self._places is None else len(self._places)

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, *map(self.column, self._columns))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        place = self.places[index]
        return self._row(*(values[place] for values in self._columns.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


# Not frozen, and made by position: a report makes some hundred thousand, in two thirds of the time.
@dataclass(slots=True, unsafe_hash=True)
class Reading:
    """One number, as a row of a table of readings.

    `span` says of which part of a step, `step` of which repeat; a timing also keeps every clock.
    """

    step: int
    span: str
    metric: str
    value: float
    wall_s: float | None = None
    thread_cpu_s: float | None = None
    process_cpu_s: float | None = None
    involuntary_switches: int | None = None
    launch: int | None = None
    """The launch of the case that a repeated timing belongs to, from 0; steps count from 0 in each. None where all are
    of one, as in records of version 0.2 and older."""


NONE: Rows[Reading] = Rows(Reading, dict.fromkeys(Reading.__slots__, ()))


def constant_readings(quantities: Mapping[str, Mapping[str, float]]) -> list[Reading]:
    """A reading at step 0 for each quantity, by span and metric, that does not change from step to step."""
    return [
        Reading(step=0, span=span, metric=metric, value=value)
        for span, of_span in quantities.items()
        for metric, value in of_span.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One case on one machine at one time. Readings lie beside it, in a table of their own."""

    case: Case
    run_key: str
    status: Status
    reason: str | None
    """One sentence for every status but ok."""
    evidence: Evidence
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """The origin of the numbers: commit, source digest, clock, operators that ran, durations, warnings."""
    readings: Sequence[Reading] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 of each file beside record.json, by name, once it is written."""

    def series(self, metric: str, span: str | None = None) -> Rows[Reading]:
        """The readings of a metric in their order: those of a span, or of all."""
        if span is not None:
            return self.by_span.get((span, metric), NONE)
        places = [place for (_, name), rows in self.by_span.items() if name == metric for place in rows.places]
        return self.rows.at(sorted(places))

    @cached_property
    def by_span(self) -> Mapping[tuple[Any, ...], Rows[Reading]]:
        """The readings of each span and metric, in the order in which they come."""
        return self.rows.grouped("span", "metric")

    @cached_property
    def timings(self) -> Mapping[tuple[str, str, int | None], Rows[Reading]]:
        """The latencies by span, metric and launch, in their order."""
        return {
            (span, metric, launch): rows
            for (span, metric), readings in self.by_span.items()
            if metric in TIMINGS
            for (launch,), rows in readings.grouped("launch").items()
        }

    @cached_property
    def rows(self) -> Rows[Reading]:
        """The readings as Rows, converted once where they came as single objects."""
        if isinstance(self.readings, Rows):
            return self.readings
        return Rows(Reading, {name: [getattr(row, name) for row in self.readings] for name in Reading.__slots__})

    def as_json(self) -> dict[str, Any]:
        """The record as plain data, without its readings."""
        return {
            "schema": SCHEMA,
            "case": {
                "id": self.case.id,
                "workload": self.case.workload,
                "axes": dict(self.case.axes),
                "extras": dict(self.case.extras),
            },
            "run_key": self.run_key,
            "status": str(self.status),
            "reason": self.reason,
            "evidence": str(self.evidence),
            "settings": self.settings,
            "environment": self.environment,
            "provenance": self.provenance,
            "files": dict(self.files),
        }


class CorruptRecordError(Exception):
    """A record that cannot be read; the message says what is wrong with it, and quotes it no longer than a line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason[:LONGEST_REASON])


def record_from_json(content: Any) -> Record:
    """Check and build a record, without its readings. Raises CorruptRecordError.

    Its case and settings have the names of today. A record is data, and nothing in it is run.
    """
    if not isinstance(content, dict):
        raise CorruptRecordError(f"{RECORD} must hold a JSON object; got {type(content).__name__}")
    if content.get("schema") != SCHEMA or content.get("schema") is True:  # which equals 1
        raise CorruptRecordError(f"schema must be {SCHEMA}; got {content.get('schema')!r}")
    case = _object(content, "case")
    try:
        status, evidence = Status(_text(content, "status")), Evidence(_text(content, "evidence"))
    except ValueError as error:
        raise CorruptRecordError(f"status and evidence must be known ones: {error}") from error
    reason = content.get("reason")
    if reason is not None and not isinstance(reason, str):
        raise CorruptRecordError(f"reason must be text or null; got {type(reason).__name__}")
    built = Case(
        workload=_text(case, "workload"),
        axes=_scalars(_object(case, "axes"), "case.axes"),
        extras=_scalars(_object(case, "extras"), "case.extras"),
    )
    if case.get("id") != built.id:
        raise CorruptRecordError("case.id must be what the case's workload, axes and extras give; got another")
    settings = _object(content, "settings")
    environment = _object(content, "environment")
    _check_identities(built, _text(content, "run_key"), environment.get("machine_id"))
    return Record(
        case=built.today(settings),
        run_key=_text(content, "run_key"),
        status=status,
        reason=reason,
        evidence=evidence,
        settings=settings_today(settings),
        environment=environment,
        provenance=_object(content, "provenance"),
        files=_file_digests(content),
    )


def _file_digests(content: Mapping[str, Any]) -> dict[str, str]:
    """The digest of each file by name; none in records of version 0.1. Raises CorruptRecordError for other names."""
    files = _object(content, "files") if "files" in content else {}
    for name, digest in files.items():
        if name not in FILES or not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise CorruptRecordError(f"files must hold digests of {', '.join(FILES)} alone; got {name!r}")
    return files


def _check_identities(case: Case, run_key: str, machine_id: Any) -> None:
    """Raise CorruptRecordError unless these, which are shown, sorted and made into names of folders, are plain
    lines."""
    if not RUN_KEY.fullmatch(run_key):
        raise CorruptRecordError(f"run_key must be 64 hexadecimal digits in lower case; got {run_key[:80]!r}")
    if not PLAIN_NAME.fullmatch(case.workload):
        raise CorruptRecordError(f"case.workload must be a plain name; got {case.workload[:80]!r}")
    if machine_id is not None and not (isinstance(machine_id, str) and PLAIN_NAME.fullmatch(machine_id)):
        raise CorruptRecordError(f"environment.machine_id must be a plain name; got {str(machine_id)[:80]!r}")
    if one_line(case.id) != case.id:
        raise CorruptRecordError("case.id must be one line without control characters")


def _object(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object under a name. Raises CorruptRecordError for anything else."""
    return _typed(content, name, dict, "an object")


def _text(content: Mapping[str, Any], name: str) -> str:
    """The text under a name. Raises CorruptRecordError for anything else."""
    return _typed(content, name, str, "text")


def _typed(content: Mapping[str, Any], name: str, kind: type[T], words: str) -> T:
    """The value under a name. Raises CorruptRecordError, which asks for `words`, where it is not of this kind."""
    value = content.get(name)
    if not isinstance(value, kind):
        raise CorruptRecordError(f"{name} must be {words}; got {type(value).__name__}")
    return value


def _scalars(content: dict[str, Any], name: str) -> dict[str, Any]:
    """The same object. Raises CorruptRecordError where a value is a list or an object."""
    for key, value in content.items():
        if value is not None and not isinstance(value, SCALARS):
            raise CorruptRecordError(f"{name}.{key} must be a plain value; got {type(value).__name__}")
    return content
