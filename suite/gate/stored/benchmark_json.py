"""Files that pytest-benchmark saved, judged by the rule for stored times: each file is one draw, whatever its rounds.

The rounds of one run share its process and its hour, and so are no repeats of each other: what the next run of the same
code would give can be told from several runs alone. Summaries are refused, since a median of anything but the raw data
may be one of other rounds, or of none.

A file may be anybody's. Its size, its containers and its values are bounded; it is plain JSON, and nothing of it is
run. The host's name is compared and never told.
"""

import datetime
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from suite.configuration.untrusted import parse_json
from suite.gate.rules.acceptances import apply_file
from suite.gate.rules.multiple_testing import ALPHA, Change, judge_together
from suite.gate.rules.tolerances import Tolerances
from suite.gate.stored.case import BASELINE, CANDIDATE, FEWEST_RUNS, broken_verdict, compare_times, side
from suite.gate.verdict import LATENCY, Judgement, Outcome, Side, Verdict
from suite.records.record import RECORD, CorruptRecordError
from suite.records.stores.store import JUDGEMENT, read_file
from suite.records.stores.walk import Damage, folders_below

SUFFIX = ".json"
VERSIONS = ("4.", "5.")
LARGEST_BYTES, MOST_CONTAINERS, MOST_VALUES, MOST_FILES = 128 << 20, 200_000, 8_000_000, 1000
"""The most of one file, and of one side. A benchmark of 5 µs has 200,000 rounds of 40 bytes, and ten containers."""
SHORTEST_S, LONGEST_S = 1e-10, 1e7
"""No clock sees less, which is shorter than a cycle, and nobody waits longer."""
LONGEST_NAME = 2000
FACTS = {
    "cpu": "CPU model",
    "machine": "architecture",
    "system": "system",
    "python_implementation": "Python implementation",
    "python_version": "Python",
}
"""Facts of `machine_info` that decide a time, with their names for people. A clock rate drifts, and is none of them
(pytest-benchmark #255)."""
SHOWN = ("python_compiler", "release")
"""Facts that are shown where they differ."""
UNKNOWN = "not recorded"


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One benchmark of one file."""

    median_s: float
    timer: str
    digest: bytes
    """Stands for all rounds, which no two real runs share."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One file: a run of some benchmarks."""

    name: str
    facts: Mapping[str, str | None]
    host: str
    commit: str | None
    dirty: bool
    at: str
    timed: Mapping[str, Timed]
    impossible: Mapping[str, str]
    """Why the times of a benchmark cannot be used, by its name."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The files of one side."""

    label: str
    runs: Sequence[Run] = ()
    """Oldest first."""
    broken: Sequence[str] = field(default_factory=list)
    """A sentence for each that cannot be read, or that is not there."""
    files: frozenset[str] = frozenset()


def holds_benchmarks(path: Path) -> bool:
    """Return whether a path means files of pytest-benchmark, in place of records: a file, or a folder with such."""
    if not path.is_dir():
        return path.is_file() or path.suffix == SUFFIX
    names = [name for _, names in folders_below(path, []) for name in names]
    return RECORD not in names and any(name.endswith(SUFFIX) and name != JUDGEMENT for name in names)


def judge_benchmarks(
    baseline: Sequence[Path],
    candidate: Sequence[Path],
    *,
    tolerances: Tolerances,
    accepted: Path | None = None,
    today: datetime.date | None = None,
    inconclusive_fails: bool = False,
) -> Judgement:
    """Judge files by files; each path is a file or a folder of such. Nothing found in them raises.

    `accepted`: a file of acceptances.
    """
    before, after = read_runs(baseline), read_runs(candidate)
    verdicts = [broken_verdict(BASELINE, reason) for reason in before.broken]
    verdicts += [broken_verdict(CANDIDATE, reason) for reason in after.broken]
    if before.files & after.files:
        verdicts.append(
            broken_verdict(CANDIDATE, "baseline and candidate overlap, so runs would be compared with themselves")
        )
    found = list(_found(before.runs, after.runs)) if before.runs and after.runs else []
    changes = [judged for judged in found if isinstance(judged, Change)]
    verdicts += [judged for judged in found if isinstance(judged, Verdict)]
    verdicts += judge_together(changes, tolerances)
    if before.runs and after.runs and not _names(before.runs) & _names(after.runs):
        verdicts.append(broken_verdict("nothing", "no benchmark stands on both sides, so nothing was judged"))
    verdicts, warnings = apply_file(verdicts, accepted, today or datetime.date.today())
    return Judgement(
        form="stored",
        before=_side(before),
        after=_side(after),
        verdicts=verdicts,
        differences=_differences(before.runs, after.runs),
        warnings=[*_left_out(before.runs, after.runs), *warnings],
        facts={
            "started_at": after.runs[-1].at if after.runs else "",
            "floor": tolerances.default_minimum_effect,
            "target": tolerances.default_equivalence_margin,
            "alpha": ALPHA,
            "fewest_stored_runs": FEWEST_RUNS,
            "machine": (after.runs[-1].facts["cpu"] or "") if after.runs else "",
        },
        inconclusive_fails=inconclusive_fails,
    )


def read_runs(paths: Sequence[Path]) -> Runs:
    """Read every file that the paths name, or that lies in their folders. Nothing found there raises."""
    broken: list[str] = []
    files: dict[str, Path] = {}
    for path in paths:
        for file in _files_of(path, broken):
            files.setdefault(os.path.realpath(file), file)
    if len(files) > MOST_FILES:
        broken.append(f"there are {len(files):,} files, and at most {MOST_FILES:,} are read")
    runs = []
    for file in list(files.values())[:MOST_FILES]:
        try:
            runs.append(read_run(file))
        except CorruptRecordError as error:
            broken.append(f"{file.name}: {error}")
    label = _name(paths[0]) if len(paths) == 1 else f"{len(files)} files"
    return Runs(
        label=label, runs=sorted(runs, key=lambda run: (run.at, run.name)), broken=broken, files=frozenset(files)
    )


def _name(path: Path) -> str:
    """A path's own name, also of `.`; a link may lead in a circle, at which `resolve` raises."""
    return Path(os.path.realpath(path)).name


def _files_of(path: Path, broken: list[str]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    damaged: list[Damage] = []
    found = [
        folder / name
        for folder, names in folders_below(path, damaged)
        for name in sorted(names)
        if name.endswith(SUFFIX)
    ]
    broken += [f"{damage.folder.name}: {damage.reason}" for damage in damaged]
    if not found:
        broken.append(f"{_name(path)} holds no file that ends with {SUFFIX}")
    yield from found


def read_run(path: Path) -> Run:
    """Read one file. Raises CorruptRecordError, with what is wrong, for one that cannot be judged by."""
    text = read_file(path, LARGEST_BYTES, may_be_link=True)
    try:
        content, _ = parse_json(text, most_values=MOST_VALUES, most_containers=MOST_CONTAINERS)
    except ValueError as error:
        raise CorruptRecordError(f"it {error}") from error
    benchmarks = content.get("benchmarks") if isinstance(content, dict) else None
    if not isinstance(benchmarks, list) or not all(isinstance(benchmark, dict) for benchmark in benchmarks):
        raise CorruptRecordError("it is no file of pytest-benchmark, which has a list of benchmarks")
    version = content.get("version")
    if not isinstance(version, str) or not version.startswith(VERSIONS):
        raise CorruptRecordError(f"it must be of pytest-benchmark 4 or 5; got {str(version)[:20]!r}")
    if not benchmarks:
        raise CorruptRecordError("it holds no benchmark: they were disabled, skipped, or failed")
    timed, impossible = _benchmarks(benchmarks)
    machine, commit = (_object(content, name) for name in ("machine_info", "commit_info"))
    cpu = _object(machine, "cpu")
    facts = {"cpu": _text(cpu.get("brand_raw", cpu.get("brand")))}
    facts |= {name: _text(machine.get(name)) for name in (*FACTS, *SHOWN) if name != "cpu"}
    known = _text(commit.get("id"))
    return Run(
        name=path.name,
        facts=facts,
        host=_text(machine.get("node")) or "",
        commit=None if known in ("unversioned", "unknown") else known,
        dirty=commit.get("dirty") is True,
        at=_text(content.get("datetime")) or "",
        timed=timed,
        impossible=impossible,
    )


def _benchmarks(benchmarks: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Timed], dict[str, str]]:
    timed: dict[str, Timed] = {}
    impossible: dict[str, str] = {}
    for benchmark in benchmarks:
        name = _text(benchmark.get("fullname"))
        if not name:
            raise CorruptRecordError(f"a benchmark must have a fullname, a text of at most {LONGEST_NAME} letters")
        if name in timed or name in impossible:
            raise CorruptRecordError(f"{name[:80]!r} stands in it twice")
        stats = _object(benchmark, "stats")
        if "data" not in stats:
            raise CorruptRecordError(
                "it holds no raw data, and a summary is not judged: save it with --benchmark-json, or with "
                "--benchmark-save-data beside --benchmark-save or --benchmark-autosave"
            )
        if problem := _problem(stats["data"]):
            impossible[name] = problem
            continue
        data_s = list(map(float, stats["data"]))
        timed[name] = Timed(
            median_s=median(data_s),
            timer=_text(_object(benchmark, "options").get("timer")) or "",
            digest=hashlib.sha256(json.dumps(data_s).encode()).digest(),
        )
    return timed, impossible


def _problem(data: Any) -> str:
    """Say why some data are no times; nothing where they are."""
    if not isinstance(data, list) or not data:
        return "holds no times"
    for value in data:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "holds something that is no number in place of a time"
        if not SHORTEST_S < value < LONGEST_S:
            return f"holds {float(value):.6g} s, which is no time that can be compared"
    return ""


def _found(before: Sequence[Run], after: Sequence[Run]) -> Iterator[Verdict | Change]:
    newest = after[-1]
    if others := [run for run in after if _differing(run, newest) or run.host != newest.host]:
        reason = "the candidate's own files are of several machines or Pythons, and are no runs of one thing"
        yield Verdict(case=others[0].name, outcome=Outcome.INCOMPARABLE, reason=reason, metric=LATENCY)
        return
    usable = [run for run in before if not _obstacles(run, newest)]
    for name in dict.fromkeys(name for run in (*before, *after) for name in (*run.timed, *run.impossible)):
        yield _judged(name, before, usable, after)


def _judged(name: str, before: Sequence[Run], usable: Sequence[Run], after: Sequence[Run]) -> Verdict | Change:
    def verdict(outcome: Outcome, reason: str) -> Verdict:
        return Verdict(case=name, metric=LATENCY, outcome=outcome, reason=reason)

    for role, runs in ((BASELINE, before), (CANDIDATE, after)):
        for run in runs:
            if problem := run.impossible.get(name):
                return verdict(Outcome.BROKEN, f"{role} file {run.name} {problem}")
    stored = [run for run in before if name in run.timed]
    now = [run.timed[name] for run in after if name in run.timed]
    if not now:
        return verdict(Outcome.MISSING, f"it is in {len(stored)} stored runs, and in no file of the candidate")
    if not stored:
        return verdict(Outcome.NEW, "it is in no stored run, so there is nothing to compare with")
    alike = {run.timed[name].digest: run for run in usable if name in run.timed}  # a run that was copied counts once
    if not alike:
        return verdict(
            Outcome.INCOMPARABLE, f"times are not comparable: {'; '.join(_obstacles(stored[-1], after[-1]))}"
        )
    if any(timed.digest in alike for timed in now):
        return verdict(Outcome.INCOMPARABLE, "the candidate is a stored run, to the last digit: nothing new was timed")
    timers = {timed.timer for timed in now}
    timed_alike = [run for run in alike.values() if {run.timed[name].timer} == timers]
    if not timed_alike:
        theirs = ", ".join(sorted({run.timed[name].timer or UNKNOWN for run in alike.values()}))
        ours = ", ".join(sorted(timer or UNKNOWN for timer in timers))
        return verdict(Outcome.INCOMPARABLE, f"times are not comparable: timer: {theirs} before, {ours} now")
    drawn_s = _draws_s(name, timed_alike, after[-1].host)
    if drawn_s is None:
        reason = (
            f"the stored runs are of fewer than {FEWEST_RUNS} other hosts, so their spread does not tell how hosts "
            "differ, even where the CPU's model is the same"
        )
        return verdict(Outcome.INCOMPARABLE, reason)
    if len(drawn_s) < FEWEST_RUNS:
        reason = (
            f"time needs {FEWEST_RUNS} stored runs of this benchmark on this machine, and the rounds of one run are no "
            f"repeats of it; there are {len(drawn_s)}"
        )
        return verdict(Outcome.INCONCLUSIVE, reason)
    return compare_times(name, "", drawn_s, [timed.median_s for timed in now], timers.pop())


def _draws_s(name: str, runs: Sequence[Run], host: str) -> list[float] | None:
    """A time for each stored run of this host; where they are too few, one for each of enough hosts.

    None where the host has no stored run and the others are too few.
    """
    by_host: dict[str, list[float]] = {}
    for run in runs:
        by_host.setdefault(run.host, []).append(run.timed[name].median_s)
    own = by_host.get(host, [])
    if len(own) < FEWEST_RUNS <= len(by_host):
        return list(map(median, by_host.values()))
    return own or None


def _obstacles(before: Run, after: Run) -> list[str]:
    """Why times of these two cannot be compared, a phrase each."""
    found = [
        f"{FACTS[name]}: {before.facts[name] or UNKNOWN} before, {after.facts[name] or UNKNOWN} now"
        for name in _differing(before, after)
    ]
    unknown = [FACTS[name] for name in ("cpu", "python_version") if not before.facts[name] and not after.facts[name]]
    return [*found, *(f"{label}: {UNKNOWN}" for label in unknown)]


def _differing(before: Run, after: Run) -> list[str]:
    return [name for name in FACTS if before.facts[name] != after.facts[name]]


def _differences(before: Sequence[Run], after: Sequence[Run]) -> dict[str, list[Any]]:
    """The facts that differ between the newest stored run that can be compared, or the newest, and the last."""
    if not before or not after:
        return {}
    new = after[-1]
    old = next((run for run in reversed(before) if not _obstacles(run, new)), before[-1])
    return {name: [old.facts[name], new.facts[name]] for name in new.facts if old.facts[name] != new.facts[name]}


def _left_out(before: Sequence[Run], after: Sequence[Run]) -> list[str]:
    left = sum(bool(_obstacles(run, after[-1])) for run in before) if after else 0
    if left in (0, len(before)):
        return []
    return [f"{left} of {len(before)} stored files are of another machine or Python than the candidate, and left out"]


def _names(runs: Sequence[Run]) -> set[str]:
    return {name for run in runs for name in (*run.timed, *run.impossible)}


def _side(runs: Runs) -> Side:
    return side(runs.label, [run.commit for run in runs.runs], [run.dirty for run in runs.runs])


def _object(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str | None:
    """A text that can be written, or None for anything else, as for half of a surrogate pair."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        return None
    return value if value.isascii() or value.encode(errors="ignore").decode() == value else None
