"""One record as every chapter needs it. What a chapter measures, its own kind of run adds.

A record may be old or foreign: what it lacks, or has in another type, is absent here.
"""

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from suite.records.aliases import EARLIER_DEFAULTS
from suite.records.case import as_typed, value_under
from suite.records.derived import constant
from suite.records.machine.privacy import scrub, without_paths
from suite.records.record import Evidence, Record, Status
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
        """Whether it has what its workload is run for."""
        return self.is_ok

    @property
    def is_measured(self) -> bool:
        return self.record.evidence is Evidence.MEASURED

    @property
    def facets(self) -> dict[str, Text]:
        return record_facets(self.record) | {LABEL: self.label}

    def axis(self, name: str) -> str:
        """An axis of its case as text; empty where the case has none."""
        return axis(self.record, name)

    def setting(self, name: str, defaults: Mapping[str, str] = NO_DEFAULTS) -> str:
        """A setting as the record resolved it; empty where it says nothing."""
        return resolved_setting(self.record, name, defaults)

    def constant(self, metric: str, span: str = "case") -> float | None:
        """A size or a rate that is noted once and that a machine could have."""
        value = constant(self.record, span, metric)
        return value if value is not None and value < MOST else None


def axis(record: Record, name: str) -> str:
    """An axis of a case as text; empty where the case has none."""
    value = record.case.axes.get(name)
    return "" if value is None else str(value)


def context_tokens(record: Record) -> int | None:
    """The context of a case, where a device could hold it."""
    tokens = record.case.axes.get("seq_len")
    return tokens if isinstance(tokens, int) and 0 < tokens < MOST_TOKENS else None


def extras(record: Record, prefix: str = "") -> list[str]:
    """Settings named besides the axes, as `name=value`; without those that do not apply to the case.

    `prefix`: only those below it, without it.
    """
    named = [f"{name}={value}" for name, value in sorted(record.case.extras.items()) if value is not None]
    return [text.removeprefix(prefix) for text in named if text.startswith(prefix)]


def resolved_setting(record: Record, name: str, defaults: Mapping[str, str] = NO_DEFAULTS) -> str:
    """A setting as the record resolved it, whether its case names it or not; empty where it says nothing."""
    value = record.case.extras.get(name)
    if value is None:
        value = value_under(record.settings, name)
        group, _, field = name.partition(".")
        fixed = value_under(record.settings, "attention.fixed") if group == "attention" else None
        # A size that makes the variant what it is, as MQA's single head, is none that somebody chose.
        if isinstance(fixed, list) and field in fixed:
            return ""
    text = plain_text(value)
    return "" if text in (defaults.get(name), AS_BEFORE.get(name)) else text


def case_key(record: Record, named: Iterable[str], defaults: Mapping[str, str] = NO_DEFAULTS) -> Pairs:
    """The axes of a case, and the settings that it or another case names, without those that say nothing.

    A setting says nothing where it is absent, null, at its default, or at what it was before it came: two cases that
    differ in which of these it is are one experiment.
    """
    axes = record.case.axes
    settings = [(name, plain_text(axes[name])) for name in axes]
    settings += [(name, resolved_setting(record, name, defaults)) for name in sorted(set(named) - set(axes))]
    return tuple((name, value) for name, value in settings if value)


def named_settings(records: Iterable[Record], *, ignored: Iterable[str] = ()) -> set[str]:
    """The settings besides the axes that at least one of the cases names."""
    return {name for record in records for name in record.case.extras} - set(ignored)


def defaults_in(records: Collection[Record], named: Iterable[str]) -> dict[str, str]:
    """The value that each of these settings has wherever no case names it, of those that have one."""
    values = {
        name: {resolved_setting(record, name) for record in records if name not in record.case.extras} - {""}
        for name in named
    }
    return {name: of_name.pop() for name, of_name in values.items() if len(of_name) == 1}


def clip_text(text: Any, longest: int = LONGEST_TEXT) -> str:
    """Text of a record as a table or a figure may show it."""
    return _scrubbed(text)[:longest] if isinstance(text, str) else ""


@functools.lru_cache(maxsize=1 << 14)
def _scrubbed(text: str) -> str:
    # A scrub reads the whole environment, and records repeat the same few values thousands of times.
    return scrub(text, is_ours=False)


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """An object inside another; empty where either is something else."""
    inner = value.get(name) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def share(value: Any) -> float | None:
    """A number from 0 to 1."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 else None


def parse_number(text: str) -> float | None:
    """A setting that is a number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < MOST else None


def parse_whole_number(text: str) -> int | None:
    """A setting that is a whole number above zero."""
    value = parse_number(text)
    return int(value) if value is not None and value == int(value) and 0 < value < 1 << 31 else None


def machine_name(record: Record) -> str:
    """The GPU's or the processor's own name, where the record has it."""
    device = axis(record, "device")
    is_cpu = device == "cpu"
    name = gpu_name(record) if device.startswith("cuda") else record.environment.get("cpu") if is_cpu else None
    return without_paths(str(name))[:LONGEST_TEXT] if name else device


def gpu_name(record: Record) -> str | None:
    """The name of the GPU that the case ran on; without it, of the machine's first."""
    gpus = record.environment.get("gpus")
    return mapping(record.provenance, "device").get("name") or (gpus[0] if isinstance(gpus, list) and gpus else None)


def machine_id(current: CurrentRecord) -> str:
    """A machine's identity; two results without one may come from two machines."""
    return str(current.record.environment.get("machine_id") or current.label)


def plain_text(value: Any) -> str:
    """A setting as an id writes it; empty for what is no plain value."""
    return clip_text(as_typed(value)) if isinstance(value, str | int | float | bool) else ""
