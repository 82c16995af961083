"""The main job: the demo sweeps, then the page beside the reference records, then the answer in a few sentences."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from suite.commands.run import main as run
from suite.console.compare import headline
from suite.console.rl import learning
from suite.console.summary import Entry, summary_of
from suite.console.sweep_table import values_of
from suite.console.table import folded, terminal_width
from suite.records import numbers
from suite.records.derived import constant, started_at
from suite.records.plain_text import one_line, say
from suite.records.record import CorruptRecordError, Record, Status
from suite.records.store import read_contents, read_record
from suite.report.command import report

TIMED, LEARNT = ("demo", "demo_prefill"), ("demo_rl", "demo_quality")
RESULTS, PAGE = Path("results/demo"), Path("reports/index.html")
REFERENCE = Path("results/reference/cpu")
"""A part of a checkout, not of an installed package."""
BASELINE, LATENT = "mha", "mla"


def arguments_of(sweep: str, *, again: bool) -> list[str]:
    """Return what `suite run` is told for one of the sweeps."""
    return ["-m", f"sweep={sweep}", f"hydra.sweep.dir={RESULTS}", *(("resume=false",) if again else ())]


def demo(*, again: bool = False) -> int:
    """Run the demo sweeps, write the page and say the answer; returns the worst exit code.

    `again` measures what is recorded already, too.
    """
    codes = []
    for sweep in (*TIMED, *LEARNT):
        code = run(arguments_of(sweep, again=again))
        if code in (2, 130):
            return code
        codes.append(code)
    shown = {"this machine": RESULTS, **({"reference CPU": REFERENCE} if REFERENCE.is_dir() else {})}
    written, reported = report(list(shown.values()), list(shown), out=PAGE)
    say("", *folded(map(one_line, answer(_newest(RESULTS))), terminal_width()), f"page: {written}")
    return next((code for code in (4, 1, 3) if code in (*codes, reported)), 0)


def answer(records: Sequence[Record]) -> list[str]:
    """Return two or three sentences: how fast MLA decodes and what it keeps, what was learnt, and what that cost."""
    return [*_of_attention(records), *_of_learning(records)]


def _newest(folder: Path) -> list[Record]:
    """Read the newest run of each case that ended well; the page and the exit code name those that are damaged."""
    stored = [run for run in read_contents([folder], with_readings=False).stored if run.record.status is Status.OK]
    newest = {run.record.case.id: run.folder for run in sorted(stored, key=lambda run: started_at(run.record))}
    return list(_read(newest.values()))


def _read(folders: Iterable[Path]) -> Iterator[Record]:
    for folder in folders:
        try:
            yield read_record(folder)
        except CorruptRecordError:
            continue


def _of_attention(records: Sequence[Record]) -> Iterator[str]:
    wanted = (BASELINE, LATENT)
    decoded = [
        record
        for record in records
        if record.case.axes.get("phase") == "decode" and record.case.axes.get("attention") in wanted
    ]
    verdict = headline([Entry(record=record, summary=summary_of(record)) for record in decoded], "attention", BASELINE)
    if verdict is None:
        return
    latent = [record for record in decoded if record.case.axes["attention"] == LATENT]
    kept = [(constant(record, "case", "cache_bytes"), constant(record, "case", "cache_bytes_mha")) for record in latent]
    shares = [cache / mha for cache, mha in kept[-1:] if cache and mha]
    cache = "".join(f", and keeps {numbers.percent(share)} of its cache" for share in shares)
    yield f"{verdict.sentence}{cache}."


def _of_learning(records: Sequence[Record]) -> Iterator[str]:
    entries = [Entry(record=record, summary=summary_of(record)) for record in records if record.case.workload == "rl"]
    told = {entry: change for entry in entries if (change := learning(entry.record))}
    if not told:
        return
    changes = "; ".join(f"{entry.record.case.axes['algorithm']} {change}" for entry, change in told.items())
    spent_s = sum(values_of(entry)["process_cpu_s"].number for entry in told)
    yield f"Held-out accuracy by reinforcement learning: {changes}; {numbers.duration(spent_s)} of CPU time in all."
    if (verdict := headline(entries)) is not None:
        yield f"{verdict.sentence}."
