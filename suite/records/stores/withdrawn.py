"""Runs that were withdrawn: a dated list beside them says which and why.

A withdrawn run stays where it is and in history, where whoever quoted it finds it. It leaves every table, claim and
judgement, and the page names it with the reason. The list is `withdrawn.yaml` in the folder that holds the
runs:

    - run: 1e995d3a50b1c2d4     # how its run key begins
      date: 2026-11-28          # or the time, 2026-11-28T14:00Z
      reason: Another job ran beside it.
      by: a name, if one is wished

It withdraws what began before the date's end, so that the same case may be measured anew; on that day, with a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from suite.configuration.untrusted import parse_yaml
from suite.configuration.values import clipped
from suite.machine.plain_text import one_line
from suite.records.derived import possible_time, started_at
from suite.records.record import CorruptRecordError, Record

WITHDRAWN = "withdrawn.yaml"
SHORTEST_KEY = 16
REQUIRED, ALLOWED = ("run", "date", "reason"), ("run", "date", "reason", "by")


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """One entry of a list."""

    run: str
    """The first digits of the run key."""
    date: str
    """A day or a time, as it was written."""
    reason: str
    by: str = ""

    @property
    def said(self) -> str:
        """`withdrawn on 2026-03-01 by NAME: REASON`."""
        return f"withdrawn on {self.date}{f' by {self.by}' if self.by else ''}: {self.reason}"

    @property
    def until(self) -> str:
        """The last moment that it covers, as ISO text in UTC."""
        end, is_day = datetime.fromisoformat(possible_time(self.date)), ":" not in self.date
        return (end + timedelta(days=1) if is_day else end).isoformat(timespec="seconds")

    def covers(self, record: Record) -> bool:
        """Whether it withdraws a run. One that does not say when it began counts as older."""
        return record.run_key.startswith(self.run) and started_at(record) < self.until


def withdrawals_in(content: bytes) -> Sequence[Withdrawal]:
    """The entries of a list, in its order. Raises CorruptRecordError, with the entry and what is wrong."""
    try:
        entries = parse_yaml(content, as_texts=True)  # a run's key may look like a number
    except ValueError as error:
        raise CorruptRecordError(f"{WITHDRAWN} {error}") from error
    if not isinstance(entries, list) or not entries:
        raise CorruptRecordError(f"{WITHDRAWN} must be a list of at least one entry")
    return [_entry(number, entry) for number, entry in enumerate(entries, 1)]


def _entry(number: int, entry: Any) -> Withdrawal:
    """Check an entry of the list, the `number`th. Raises CorruptRecordError, which names it."""
    if not isinstance(entry, dict) or not set(REQUIRED) <= set(entry) <= set(ALLOWED):
        raise CorruptRecordError(f"entry {number} must have {', '.join(REQUIRED)}, and may have by")
    if not all(isinstance(text, str) and one_line(text.strip()) == text.strip() for text in entry.values()):
        raise CorruptRecordError(f"entry {number} must hold texts of one line each")
    run, date, reason, by = (entry.get(name, "").strip() for name in ALLOWED)
    if len(run) < SHORTEST_KEY or not set(run) <= set("0123456789abcdef"):
        raise CorruptRecordError(f"entry {number}: run must begin a run key, by {SHORTEST_KEY} digits or more")
    if not possible_time(date):
        raise CorruptRecordError(f"entry {number}: date must be a day or a time that has come; got {clipped(date)}")
    if not reason:
        raise CorruptRecordError(f"entry {number}: reason must be a sentence")
    return Withdrawal(run=run, date=date, reason=reason, by=by)
