"""A judgement as the history keeps it: one line of JSON with the commit and each quantity, before and after.

It is stored beside a commit and may be forwarded, so it holds what `without_secrets` leaves of a judgement and no more.
"""

import json
from dataclasses import astuple, dataclass, fields
from typing import Any

from suite.configuration.untrusted import parse_json
from suite.gate.output.files import without_secrets
from suite.gate.output.sentences import finite
from suite.gate.verdict import Judgement, Outcome, Verdict

SCHEMA = 1
# The form of a judgement whose two sides were not measured side by side, so that its ratios are no steps.
STORED = "stored"
# Outcomes of a quantity that changed beyond chance.
CALLED = (Outcome.SLOWER, Outcome.FASTER, Outcome.ACCEPTED)
LONGEST_TEXT = 2_000
TEXTS = ("case", "span", "metric", "clock")
NUMBERS = ("before", "after", "ratio", "low", "high", "level")
KEYS = ("schema", "form", "commit", "base", "at", "machine", "machine_id", "columns", "rows")


@dataclass(frozen=True, kw_only=True)
class MeasuredQuantity:
    """One quantity of one judgement. The ratio is after over before, with an interval of this confidence."""

    case: str
    span: str
    metric: str
    clock: str
    called: bool = False
    """True if the comparison found it changed beyond chance."""
    before: float | None = None
    after: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    form: str
    commit: str
    base: str | None
    """The commit that it was compared with; None for a measurement that was compared with nothing."""
    at: str
    """When it was measured, as ISO 8601 has it."""
    machine: str
    """The kind of the machine: its processor and threads, or its GPU."""
    machine_id: str
    measured: tuple[MeasuredQuantity, ...]

    @property
    def is_side_by_side(self) -> bool:
        """Whether both commits were measured together, so that the ratios are changes between them."""
        return self.base is not None and self.form != STORED

    def as_line(self) -> str:
        """One line of JSON, the same for the same judgement."""
        content = {
            "schema": SCHEMA,
            **{name: getattr(self, name) for name in KEYS[1:7]},
            "columns": list(COLUMNS),
            "rows": [astuple(quantity) for quantity in self.measured],
        }
        return json.dumps(content, separators=(",", ":"), allow_nan=False)


COLUMNS = tuple(field.name for field in fields(MeasuredQuantity))


def snapshot_of(judgement: Judgement) -> Snapshot:
    """The quantities of a judgement that have a newer value, without secrets. Raises ValueError for a judgement that
    was interrupted, or not of one commit without other changes."""
    side = judgement.after
    if side.commit is None:
        raise ValueError("a judgement must name one commit for what it measured; this one names none")
    if side.dirty:
        raise ValueError(
            f"a judgement must be of committed files only; {side.commit[:9]} was measured with changes beside it "
            "(untracked files count too, as results/ without a line in .gitignore)"
        )
    if judgement.interrupted:
        raise ValueError("a judgement must be complete; this one was interrupted")
    judgement = without_secrets(judgement)
    facts = {name: judgement.facts.get(name) for name in ("started_at", "machine", "machine_id")}
    at, machine, machine_id = (fact if isinstance(fact, str) else "" for fact in facts.values())
    return Snapshot(
        form=judgement.form,
        commit=side.commit,
        base=judgement.before.commit,
        at=at,
        machine=machine,
        machine_id=machine_id,
        measured=tuple(
            _quantity(verdict) for verdict in judgement.verdicts if verdict.metric and verdict.after is not None
        ),
    )


def _quantity(verdict: Verdict) -> MeasuredQuantity:
    """The numbers and names of a verdict; infinity and NaN become None."""
    fields: dict[str, Any] = {name: getattr(verdict, name) for name in TEXTS}
    fields |= {name: finite(getattr(verdict, name)) for name in NUMBERS}
    return MeasuredQuantity(called=verdict.outcome in CALLED, **fields)


def snapshot_from_line(line: bytes) -> tuple[Snapshot, int]:
    """Read a line of JSON as a snapshot, and count its values. Raises ValueError for one that `as_line` did not write.
    The message is a predicate, such as `is no line of suite gate history`."""
    content, values = parse_json(line)
    if not isinstance(content, dict) or content.keys() != set(KEYS) or content["schema"] != SCHEMA:
        raise ValueError("is no line of suite gate history")
    texts = {name: content[name] for name in KEYS[1:7] if name != "base" or content[name] is not None}
    if not all(_is_text(text) for text in texts.values()):
        raise ValueError("has a commit or a machine that is not a text")
    rows = content["rows"]
    if content["columns"] != list(COLUMNS) or not isinstance(rows, list):
        raise ValueError("has other columns than suite gate history writes")
    return Snapshot(**{"base": None} | texts, measured=tuple(map(_quantity_from_row, rows))), values


def _quantity_from_row(row: Any) -> MeasuredQuantity:
    """Read a row of COLUMNS. Raises ValueError for one that does not fit them."""
    if not isinstance(row, list) or len(row) != len(COLUMNS):
        raise ValueError("has a row that does not fit its columns")
    fields = dict(zip(COLUMNS, row, strict=True))
    numbers = {name: fields[name] for name in NUMBERS if fields[name] is not None}
    has_numbers = all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers.values())
    if not all(_is_text(fields[name]) for name in TEXTS) or not isinstance(fields["called"], bool) or not has_numbers:
        raise ValueError("has a value of another kind than its column")
    return MeasuredQuantity(**fields | {name: float(number) for name, number in numbers.items()})


def _is_text(value: Any) -> bool:
    """Whether a value is a text of at most LONGEST_TEXT characters."""
    return isinstance(value, str) and len(value) <= LONGEST_TEXT
