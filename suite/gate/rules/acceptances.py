"""Known regressions that may stay: a reviewed file says which, why, how far and until when.

The file is under version control, so that who accepts what is seen in a review. Nothing in it is ever ignored in
silence: an entry that expired, does not reach far enough or matches nothing is said, and a file that cannot be read is
a broken verdict. What an entry may say is bounded, since whoever writes one may be who made the regression.
"""

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from suite.configuration.untrusted import parse_yaml
from suite.configuration.values import clipped, given_text, whole_number
from suite.gate.rules.tolerances import matches
from suite.gate.verdict import Outcome, Verdict
from suite.records.metrics import METRICS, Better
from suite.records.numbers import times
from suite.records.record import CorruptRecordError
from suite.records.stores.claim import alone_in, locks_folder
from suite.records.stores.files import read_plain, write_named

ACCEPTED = Path("results/baseline/accepted.yaml")
SCHEMA = 1
# The most that one entry accepts: twice as much, for a year, of so many cases of a judgement.
HIGHEST_CEILING, LONGEST_DAYS, MOST_CASES = 2.0, 366, 4
# `missing` in place of a metric accepts that a case or a quantity is gone.
ANY, MISSING = "*", "missing"
ABOUT = """\
# Regressions that the gate lets pass: which, why, up to which ratio (1.1 is 10% more) and until when.
# Written by `suite gate accept`, which keeps the entries and their order, but no comments. See README.md beside it.
"""


class CorruptAcceptancesError(Exception):
    """A file of acceptances that cannot be read; the message says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """One regression that may stay. `*` stands for any text in case, span and metric; brackets mean themselves."""

    case: str
    span: str
    metric: str
    reason: str
    ceiling: float
    """The largest accepted ratio, after over before."""
    expires: datetime.date
    """The last day on which it holds."""
    added: datetime.date

    @property
    def quantity(self) -> tuple[str, str, str]:
        """The patterns of case, span and metric, of which a file has each triple once."""
        return self.case, self.span, self.metric

    @property
    def name(self) -> str:
        """`CASE · span · metric`, without the parts that are only `*`."""
        return " · ".join(part for part in self.quantity if part != ANY) or ANY

    def matches_verdict(self, verdict: Verdict) -> bool:
        """Whether case, span and metric match a verdict's. A missing quantity needs an entry with metric `missing`."""
        metric = MISSING if verdict.outcome is Outcome.MISSING else verdict.metric
        if MISSING in (metric, self.metric) and metric != self.metric:
            return False
        pairs = ((self.case, verdict.case), (self.span, verdict.span), (self.metric, metric))
        return all(matches(pattern, text) for pattern, text in pairs)


def read_acceptances(path: Path, today: datetime.date) -> list[Acceptance]:
    """Read every entry, in the file's order; none where there is no file. Raises CorruptAcceptancesError."""
    if not path.exists():
        return []
    try:
        content = parse_yaml(read_plain(path))
        if not isinstance(content, dict) or content.keys() != {"schema", "accepted"}:
            raise ValueError(f"it must hold schema and accepted, and nothing else; got {clipped(content)}")
        whole_number(content, "schema", at_least=SCHEMA, at_most=SCHEMA)
        if not isinstance(content["accepted"], list):
            raise ValueError(f"accepted must be a list; got {clipped(content)}")
        entries = [_acceptance(entry, today) for entry in content["accepted"]]
    except (CorruptRecordError, ValueError) as error:
        raise CorruptAcceptancesError(f"{path.name} cannot be read ({error})") from error
    counts = Counter(entry.quantity for entry in entries)
    for entry in entries:
        if counts[entry.quantity] > 1:
            raise CorruptAcceptancesError(f"{path.name} has {entry.name} twice; keep one of the two")
    return entries


def accept(
    path: Path,
    case: str,
    *,
    span: str = ANY,
    metric: str = ANY,
    reason: str,
    ceiling: float,
    expires: str | datetime.date,
    today: datetime.date,
) -> Acceptance:
    """Add an entry, or replace the one for the same case, span and metric, and return it once it is read back. Raises
    ValueError, in one sentence, for what no entry may say, and CorruptAcceptancesError for a file that is not to be
    overwritten, since it cannot be read, and for one that another program has replaced at the same time."""
    content = {"case": case, "span": span, "metric": metric, "reason": reason, "ceiling": ceiling}
    entry = _acceptance({**content, "expires": expires, "added": today}, today)
    if entry.expires < today:
        raise ValueError(f"expires must be today, {today}, or later; got {entry.expires}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(locks_folder(path)):
        entries = read_acceptances(path, today)
        position = next((index for index, old in enumerate(entries) if old.quantity == entry.quantity), len(entries))
        entries[position : position + 1] = [entry]
        whole = {"schema": SCHEMA, "accepted": [asdict(entry) for entry in entries]}
        write_named(path, (ABOUT + yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=10_000)).encode())
        if entry not in read_acceptances(path, today):
            raise CorruptAcceptancesError(
                f"another program replaced {path.name}, which now lacks {entry.name}; accept it again"
            )
    return entry


def apply(
    verdicts: Sequence[Verdict], acceptances: Sequence[Acceptance], today: datetime.date
) -> tuple[list[Verdict], list[str]]:
    """The verdicts, with slower and missing ones that an entry covers turned into accepted, and warnings on entries. An
    entry that matches a verdict but does not cover it adds to its reason why. Warned of are entries that match nothing,
    expired, or match several cases."""
    cases = {verdict.case for verdict in verdicts}
    breadths = {entry: sum(matches(entry.case, case) for case in cases) for entry in acceptances}
    used, judged = set[Acceptance](), []
    for verdict in verdicts:
        may_be = verdict.outcome in (Outcome.SLOWER, Outcome.MISSING)
        entries = [entry for entry in acceptances if may_be and entry.matches_verdict(verdict)]
        used |= set(entries)
        lacks = [(entry, _lack(verdict, entry, breadths[entry], today)) for entry in entries]
        accepting = next((entry for entry, lack in lacks if lack is None), None)
        if accepting is None:
            reason = "; ".join([verdict.reason, *(lack for _, lack in lacks if lack)])
            judged.append(replace(verdict, reason=reason))
        else:
            reason = f"{verdict.reason}; accepted until {accepting.expires}: {accepting.reason}"
            judged.append(replace(verdict, outcome=Outcome.ACCEPTED, reason=reason))
    warnings = []
    for entry in acceptances:
        if entry not in used:
            warnings.append(f"the acceptance of {entry.name} matches no regression here and can be removed")
        elif entry.expires < today:
            warnings.append(f"the acceptance of {entry.name} expired on {entry.expires}")
        elif breadths[entry] > 1:
            warnings.append(f"the acceptance of {entry.name} matches {breadths[entry]} of {len(cases)} cases")
    return judged, warnings


def apply_file(verdicts: Sequence[Verdict], path: Path | None, today: datetime.date) -> tuple[list[Verdict], list[str]]:
    """Apply the entries of a file as `apply` does. A file that cannot be read adds a broken verdict."""
    try:
        return apply(verdicts, [] if path is None else read_acceptances(path, today), today)
    except CorruptAcceptancesError as error:
        broken = Verdict(case="acceptances", outcome=Outcome.BROKEN, reason=str(error))
        return [*verdicts, broken], []


def _lack(verdict: Verdict, entry: Acceptance, breadth: int, today: datetime.date) -> str | None:
    """The reason why a matching entry does not accept a verdict; None if it does. `breadth`: cases that it matches."""
    if entry.expires < today:
        return f"its acceptance expired on {entry.expires}"
    if breadth > MOST_CASES:
        return f"its acceptance matches {breadth} cases, but may match at most {MOST_CASES}; name the cases"
    if verdict.outcome is Outcome.MISSING:
        return None
    ratio, metric = verdict.worse_by, METRICS.get(verdict.metric)
    is_neither = metric is not None and metric.better is Better.NEITHER
    if (ratio is None or not ratio > 1 or is_neither) and entry.metric != verdict.metric:
        return f"a change without a ratio is accepted only by an entry with --metric {verdict.metric}"
    if ratio is not None and not ratio <= entry.ceiling:
        interval = "" if verdict.low is None or verdict.high is None else f" ({verdict.low:.3f} to {verdict.high:.3f})"
        return f"{times(ratio)}{interval} is above the accepted ceiling of {entry.ceiling:g}×"
    return None


def _acceptance(content: Mapping[str, Any], today: datetime.date) -> Acceptance:
    """Make an entry of the fields of a file or of the command line. Raises ValueError for one that is not allowed."""
    names = [field.name for field in fields(Acceptance)]
    if not isinstance(content, dict) or content.keys() != set(names):
        raise ValueError(f"an entry must have {', '.join(names)} and nothing else; got {clipped(content)}")
    for name in ("case", "span", "metric", "reason"):
        given_text(content, name)
    ceiling = content["ceiling"]
    is_number = isinstance(ceiling, int | float) and not isinstance(ceiling, bool)
    if not is_number or not 1 < ceiling <= HIGHEST_CEILING:
        raise ValueError(
            f"ceiling must be a ratio above 1 and at most {HIGHEST_CEILING:g}, where 1.1 is 10% more; "
            f"got {clipped(ceiling)}"
        )
    if not content["case"].replace(ANY, "").strip():
        raise ValueError(
            f"case must name what may be slower, since * alone accepts everything; got {clipped(content['case'])}"
        )
    dates = {name: _date(name, content[name]) for name in ("expires", "added")}
    tomorrow = today + datetime.timedelta(days=1)  # as it is somewhere already
    if dates["added"] > tomorrow:
        raise ValueError(f"added must be today, {today}, or earlier; got {dates['added']}")
    latest = dates["added"] + datetime.timedelta(days=LONGEST_DAYS)
    if dates["expires"] > latest:
        raise ValueError(
            f"expires must be at most {LONGEST_DAYS} days after it is added, {latest}; got {dates['expires']}"
        )
    return Acceptance(**{**content, **dates, "ceiling": float(ceiling)})


def _date(name: str, value: Any) -> datetime.date:
    """Read YYYY-MM-DD, as text or as YAML has it. fromisoformat would take 20261231 and 2026-W01-1 too."""
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value
    try:
        date = datetime.date.fromisoformat(value)
        if date.isoformat() != value:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a date, YYYY-MM-DD; got {clipped(value)}") from None
    return date
