"""The page's first line: what was run, where and when, and how it ended."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from suite.records import numbers
from suite.records.derived import started_at
from suite.records.machines import plain_name
from suite.records.record import Record, Status
from suite.report.model.results import Results
from suite.report.model.run import clip_text, machine_name
from suite.report.page.texts import Texts

REFUSED = (Status.UNSUPPORTED, Status.OUT_OF_MEMORY)
MOST_NAMED = 2


def ran_content(results: Results, texts: Texts) -> dict[str, Any]:
    """Return a sentence on the person's own runs, and one on the reference records; empty where there are none."""
    own = [current.record for current in results.own.records]
    references = [current.record for current in results.records if current.label in results.references]
    return {
        "own": _sentence("page.ran_own", own, texts) if own else "",
        "references": _sentence("page.ran_references", references, texts) if references else "",
        "nothing": "" if results.records else texts("page.no_records"),
    }


def _sentence(key: str, records: Sequence[Record], texts: Texts) -> str:
    ended = Counter(record.status for record in records)
    refused = sum(ended[status] for status in REFUSED)
    days = sorted(filter(None, (started_at(record)[:10] for record in records)))
    newest_first = sorted(records, key=started_at, reverse=True)
    commits = list(dict.fromkeys(clip_text(record.provenance.get("commit"))[:7] for record in newest_first))
    machines = list(dict.fromkeys(filter(None, (plain_name(machine_name(record)) for record in records))))
    return texts(
        key,
        cases=numbers.count(len(records)),
        machines=_few(machines, texts),
        days="–".join(dict.fromkeys([days[0], days[-1]])) if days else numbers.NOTHING,
        commits=_few([commit for commit in commits if commit], texts),
        ok=numbers.count(ended[Status.OK]),
        refused=numbers.count(refused),
        failed=numbers.count(len(records) - ended[Status.OK] - refused),
    )


def _few(names: Sequence[str], texts: Texts) -> str:
    """The first names, and how many more there are."""
    shown = texts("punctuation.list").join(names[:MOST_NAMED]) or numbers.NOTHING
    more = len(names) - MOST_NAMED
    return texts("page.and_more", names=shown, count=more) if more > 0 else shown
