"""One record as every chapter needs it; a chapter's own subclass of Run adds what that chapter measures.

A record may be old or foreign: what it lacks, or has in another type, is absent here, and so are numbers that no run
could have.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from suite.machine.privacy import scrub, without_paths
from suite.records.aliases import EARLIER_DEFAULTS
from suite.records.case import as_typed, value_under
from suite.records.derived import constant, values_by_launch
from suite.records.record import Evidence, Reading, Record, Rows, Status
from suite.report.blocks import Text
from suite.report.model.labels import record_facets
from suite.report.model.results import CurrentRecord

Pairs = tuple[tuple[str, str], ...]
"""Settings and what they are, as a case names them."""
AS_BEFORE = {name: as_typed(value) for name, value in EARLIER_DEFAULTS.items() if not isinstance(value, Mapping)}
NO_DEFAULTS: Mapping[str, str] = {}
SEED, LABEL = "seed", "label"
LONGEST_TEXT = 80
MOST = 1e15
MOST_STEPS = 1 << 20
MOST_TOKENS = 1 << 53
PLAUSIBLE_S = (1e-12, 1e9)


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A record that counts, and the label that it stands under. Equal only to itself."""

    current: CurrentRecord
    key: Pairs = ()
    """The settings of its case without the seed, then its label."""

    @property
    def is_checked(self) -> bool:
        """False where the variant states no definition of its layer, so that its kernel alone was compared."""
        return not str(self.record.provenance.get("layer_check") or "").startswith("none")

    @property
    def record(self) -> Record:
        return self.current.record

    @property
    def label(self) -> str:
        return self.current.label

    @property
    def seed(self) -> str:
        return self.axis(SEED)

    @property
    def is_ok(self) -> bool:
        return self.record.status is Status.OK

    @property
    def ended(self) -> bool:
        """Whether it has the result that its workload is run for; subclasses ask for more than the status."""
        return self.is_ok

    @property
    def is_measured(self) -> bool:
        return self.record.evidence is Evidence.MEASURED

    @property
    def facets(self) -> dict[str, Text]:
        return record_facets(self.record) | {LABEL: self.label}

    def axis(self, name: str) -> str:
        """An axis of its case as text; empty where the case does not have it."""
        return axis(self.record, name)

    def setting(self, name: str, defaults: Mapping[str, str] = NO_DEFAULTS) -> str:
        """A setting as the record resolved it; empty where it is unknown or at its default."""
        return resolved_setting(self.record, name, defaults)

    def constant(self, metric: str, span: str = "case") -> float | None:
        """A number that the record notes once in a span; None where it is missing, or too large for any machine."""
        value = constant(self.record, span, metric)
        return value if value is not None and value < MOST else None


def axis(record: Record, name: str) -> str:
    """An axis of a record's case as text; empty where the case does not have it."""
    value = record.case.axes.get(name)
    return "" if value is None else str(value)


def context_tokens(record: Record) -> int | None:
    """The context of a case in tokens; None where it has none, or one that no device could hold."""
    tokens = record.case.axes.get("seq_len")
    return tokens if isinstance(tokens, int) and 0 < tokens < MOST_TOKENS else None


def extras(record: Record, prefix: str = "") -> list[str]:
    """Settings that a case names besides its axes, as sorted `name=value`; those that do not apply are left out.

    `prefix`: only settings whose names begin with it, which is cut off.
    """
    named = [f"{name}={value}" for name, value in sorted(record.case.extras.items()) if value is not None]
    return [text.removeprefix(prefix) for text in named if text.startswith(prefix)]


def resolved_setting(record: Record, name: str, defaults: Mapping[str, str] = NO_DEFAULTS) -> str:
    """A setting as the record resolved it, whether its case names it or not.

    Empty where it is unknown, fixed by the variant, at its default, or at the value it had before it was introduced.
    """
    value = record.case.extras.get(name)
    if value is None:
        value = value_under(record.settings, name)
        group, _, field = name.partition(".")
        fixed = value_under(record.settings, "attention.fixed") if group == "attention" else None
        # Nobody chose a size that makes the variant what it is, as MQA's single head.
        if isinstance(fixed, list) and field in fixed:
            return ""
    text = plain_text(value)
    return "" if text in (defaults.get(name), AS_BEFORE.get(name)) else text


def case_key(record: Record, named: Iterable[str], defaults: Mapping[str, str] = NO_DEFAULTS) -> Pairs:
    """The axes of a case and its values of the settings `named`, which it or another case names; empty ones left out.

    A setting is left out where it is absent, null, at its default, or at its value before it was introduced: two cases
    that differ in which of these it is are one experiment.
    """
    axes = record.case.axes
    settings = [(name, plain_text(axes[name])) for name in axes]
    settings += [(name, resolved_setting(record, name, defaults)) for name in sorted(set(named) - set(axes))]
    return tuple((name, value) for name, value in settings if value)


def named_settings(records: Iterable[Record], *, ignored: Iterable[str] = ()) -> set[str]:
    """The settings besides the axes that at least one of the cases names, but those `ignored`."""
    return {name for record in records for name in record.case.extras} - set(ignored)


def clip_text(text: Any, longest: int = LONGEST_TEXT) -> str:
    """A record's text with private parts scrubbed, cut to `longest` characters; empty for anything but text."""
    return scrub_recorded(text)[:longest] if isinstance(text, str) else ""


@functools.lru_cache(maxsize=1 << 14)
def scrub_recorded(text: str) -> str:
    """A text of a record, of whichever machine, without paths and secrets."""
    # A scrub reads the whole environment, and records repeat the same few values thousands of times.
    return scrub(text, is_ours=False)


# A fact of a record, likewise.
_fact_recorded = functools.lru_cache(maxsize=1 << 14)(without_paths)


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """The mapping under `name` in `value`; empty where either is no mapping."""
    inner = value.get(name) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def share(value: Any) -> float | None:
    """The value as a float; None unless it is a number from 0 to 1."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 else None


def parse_number(text: str) -> float | None:
    """A setting's text as a number; None unless it is one from 0 to below MOST."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < MOST else None


def parse_whole_number(text: str) -> int | None:
    """A setting's text as a whole number; None unless it is one from 1 to below 2**31."""
    value = parse_number(text)
    return int(value) if value is not None and value == int(value) and 0 < value < 1 << 31 else None


def machine_name(record: Record) -> str:
    """The name of the GPU or processor that a case ran on, without paths; else the case's axis `device`."""
    device = axis(record, "device")
    is_cpu = device == "cpu"
    name = gpu_name(record) if device.startswith("cuda") else record.environment.get("cpu") if is_cpu else None
    return _fact_recorded(str(name))[:LONGEST_TEXT] if name else device


def gpu_name(record: Record) -> str | None:
    """The name of the GPU that a case ran on, else of the machine's first GPU; None where the record names none."""
    gpus = record.environment.get("gpus")
    return mapping(record.provenance, "device").get("name") or (gpus[0] if isinstance(gpus, list) and gpus else None)


def machine_id(current: CurrentRecord) -> str:
    """The id of a record's machine, else its label: without ids, records of two labels may come from two machines."""
    return str(current.record.environment.get("machine_id") or current.label)


def plain_text(value: Any) -> str:
    """A setting as a case's id writes it; empty for what is no text, number or boolean."""
    return clip_text(as_typed(value)) if isinstance(value, str | int | float | bool) else ""


SeriesByName = Mapping[str, Mapping[int, float]]
"""Numbers by step of several metrics, spans or kinds of question."""
MetricsBySpan = dict[str, dict[str, dict[int, float]]]


def numbers_by_step(record: Record, metric: str, span: str) -> dict[int, float]:
    """A metric's plausible numbers by step; of several readings of one step the last."""
    rows = record.series(metric, span)
    steps = zip(rows.column("step"), rows.column("value"), strict=True)
    return {step: value for step, value in steps if 0 <= step < MOST_STEPS and abs(value) < MOST}


def numbers_by_span(record: Record) -> MetricsBySpan:
    """A record's plausible numbers by span, metric and step."""
    numbers: MetricsBySpan = defaultdict(lambda: defaultdict(dict))
    for span, metric in record.by_span:
        if by_step := numbers_by_step(record, metric, span):
            numbers[span][metric] = by_step
    return numbers


def is_plausible(seconds: float) -> bool:
    """Whether a clock can have measured this time."""
    return PLAUSIBLE_S[0] < seconds < PLAUSIBLE_S[1]


def plausible_launches(timings: Rows[Reading]) -> dict[int, list[float]]:
    """The times of each launch, by its number, that a clock can have measured; launches without any are left out."""
    launches = {launch: list(filter(is_plausible, values)) for launch, values in values_by_launch(timings).items()}
    return {launch: values for launch, values in launches.items() if values}
