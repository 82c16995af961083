"""Files that pytest-benchmark saved, judged by the rule for stored times: each file is one draw, whatever its rounds.

The rounds of one run share its process and its hour, and so are no repeats of each other: what the next run of the same
code would give can be told from several runs alone. Summaries are refused, since a median of anything but the raw data
may be one of other rounds, or of none.

A file may be anybody's. Its size, its containers and its values are bounded; it is plain JSON, and nothing of it is
run. The host's name is compared and never told.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from suite.configuration.untrusted import parse_json
from suite.gate.rules.multiple_testing import TestedChange
from suite.gate.rules.tolerances import Tolerances
from suite.gate.stored.case import (
    BASELINE,
    CANDIDATE,
    COPIED,
    FEWEST_RUNS,
    OVERLAPPING,
    broken_verdict,
    compare_times,
    side,
    stored_judgement,
)
from suite.gate.verdict import LATENCY, Judgement, Outcome, Side, Verdict
from suite.records.record import RECORD, CorruptRecordError
from suite.records.stores.pack import Damage, folders_below
from suite.records.stores.store import JUDGEMENT, read_file

SUFFIX = ".json"
VERSIONS = ("4.", "5.")
MOST_FILES = 1000
"""The most of one side."""
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
class TimedBenchmark:
    """One benchmark of one file."""

    median_s: float
    timer: str
    digest: bytes
    """Stands for all rounds, which no two real runs share."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkRun:
    """One file: a run of some benchmarks."""

    name: str
    facts: Mapping[str, str | None]
    host: str
    machine: str
    """The processor's name."""
    commit: str | None
    dirty: bool
    at: str
    timed: Mapping[str, TimedBenchmark]
    impossible: Mapping[str, str]
    """Why the times of a benchmark cannot be used, by its name."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkRuns:
    """The files of one side."""

    label: str
    runs: Sequence[BenchmarkRun]
    """Oldest first."""
    broken: Sequence[Verdict]
    """One for each that cannot be read, or that is not there."""
    files: frozenset[str]

    @property
    def names(self) -> dict[str, None]:
        """The name of every benchmark once, as keys, in the order of the runs."""
        return dict.fromkeys(name for run in self.runs for name in (*run.timed, *run.impossible))

    @property
    def side(self) -> Side:
        """These runs as a side of a judgement."""
        return side(self.label, [run.commit for run in self.runs], [run.dirty for run in self.runs])


def holds_benchmarks(path: Path) -> bool:
    """Whether a path names pytest-benchmark files and not records: a file, or a folder with JSON and no record."""
    if not path.is_dir():
        return path.is_file() or path.suffix == SUFFIX
    # A record in it means records, since those may lie beside any other JSON.
    names = [name for _, names in folders_below(path, []) for name in names]
    return RECORD not in names and any(name.endswith(SUFFIX) and name != JUDGEMENT for name in names)


def judge_benchmarks(
    baseline: Sequence[Path], candidate: Sequence[Path], *, tolerances: Tolerances, **rules: Any
) -> Judgement:
    """Judge the pytest-benchmark files of `candidate` by those of `baseline`; paths are files or folders of them.
    A file that cannot be read becomes a verdict. `rules`: as `stored_judgement` takes them."""
    before, after = read_runs(BASELINE, baseline), read_runs(CANDIDATE, candidate)
    verdicts, judged = [*before.broken, *after.broken], list[Verdict | TestedChange]()
    if before.files & after.files:
        verdicts.append(broken_verdict(CANDIDATE, OVERLAPPING))
    differences, warnings = dict[str, list[str | None]](), list[str]()
    newest = after.runs[-1] if after.runs else None
    if newest and before.runs:
        judged = _judge_all(before, after)
        if not before.names.keys() & after.names.keys():
            verdicts.append(broken_verdict("nothing", "no benchmark is on both sides, so nothing was judged"))
        usable = [run for run in before.runs if not _obstacles(run, newest)]
        old = [*before.runs, *usable][-1]  # the newest that can be compared, or the newest
        differences = {name: [old.facts[name], fact] for name, fact in newest.facts.items() if old.facts[name] != fact}
        if usable and len(usable) < len(before.runs):
            warnings.append(
                f"{len(before.runs) - len(usable)} of {len(before.runs)} stored files are left out: they come from "
                "another machine or Python than the candidate"
            )
    return stored_judgement(
        before.side,
        after.side,
        [*verdicts, *(verdict for verdict in judged if isinstance(verdict, Verdict))],
        [change for change in judged if isinstance(change, TestedChange)],
        differences=differences,
        warnings=warnings,
        facts={"started_at": newest.at if newest else "", "machine": newest.machine if newest else ""},
        tolerances=tolerances,
        **rules,
    )


def read_runs(role: str, paths: Sequence[Path]) -> BenchmarkRuns:
    """Read every file that the paths name, or that lies in their folders. What cannot be read becomes a broken verdict.
    `role`: BASELINE or CANDIDATE, the case of such verdicts. At most MOST_FILES are read."""
    reasons: list[str] = []
    files: dict[str, Path] = {}
    for path in paths:
        for file in _list_files(path, reasons):
            files.setdefault(os.path.realpath(file), file)  # a file that is named twice counts once
    if len(files) > MOST_FILES:
        reasons.append(f"there are {len(files):,} files, and at most {MOST_FILES:,} are read")
    runs = []
    for file in list(files.values())[:MOST_FILES]:
        try:
            runs.append(read_run(file))
        except CorruptRecordError as error:
            reasons.append(f"{file.name}: {error}")
    return BenchmarkRuns(
        label=_name(paths[0]) if len(paths) == 1 else f"{len(files)} files",
        runs=sorted(runs, key=lambda run: (run.at, run.name)),
        broken=[broken_verdict(role, reason) for reason in reasons],
        files=frozenset(files),
    )


def _name(path: Path) -> str:
    """The name of the file or folder that a path leads to, also of `.`; `resolve` would raise for circular links."""
    return Path(os.path.realpath(path)).name


def _list_files(path: Path, reasons: list[str]) -> list[Path]:
    """A file itself, or the JSON files below a folder. `reasons`: gets a sentence for what cannot be listed."""
    if not path.is_dir():
        return [path]
    damaged: list[Damage] = []
    folders = folders_below(path, damaged)
    files = [folder / name for folder, names in folders for name in sorted(names) if name.endswith(SUFFIX)]
    reasons += [f"{damage.folder.name}: {damage.reason}" for damage in damaged]
    if not files:
        reasons.append(f"{_name(path)} holds no file that ends with {SUFFIX}")
    return files


def read_run(path: Path) -> BenchmarkRun:
    """Read one pytest-benchmark file. Raises CorruptRecordError for a damaged or foreign one."""
    text = read_file(path, may_be_link=True)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise CorruptRecordError(f"it {error}") from error
    benchmarks = content.get("benchmarks") if isinstance(content, dict) else None
    if not isinstance(benchmarks, list) or not all(isinstance(benchmark, dict) for benchmark in benchmarks):
        raise CorruptRecordError("it is not a file of pytest-benchmark, which has a list named benchmarks")
    version = content.get("version")
    if not (isinstance(version, str) and version.startswith(VERSIONS)):
        raise CorruptRecordError(f"its version must be of pytest-benchmark 4 or 5; got {str(version)[:20]!r}")
    if not benchmarks:
        raise CorruptRecordError("it holds no benchmark: they were disabled, skipped, or failed")
    timed, impossible = _benchmarks(benchmarks)
    machine, commit = (_object(content, name) for name in ("machine_info", "commit_info"))
    cpu = _object(machine, "cpu")
    model = _text(cpu.get("brand_raw", cpu.get("brand")))
    id = _text(commit.get("id"))
    return BenchmarkRun(
        name=path.name,
        facts={"cpu": model} | {name: _text(machine.get(name)) for name in (*FACTS, *SHOWN) if name != "cpu"},
        host=_text(machine.get("node")) or "",
        machine=model or _text(machine.get("processor")) or "",
        commit=None if id in ("unversioned", "unknown") else id,  # pytest-benchmark's words for no repository
        dirty=commit.get("dirty") is True,
        at=_text(content.get("datetime")) or "",
        timed=timed,
        impossible=impossible,
    )


def _benchmarks(benchmarks: Sequence[Mapping[str, Any]]) -> tuple[dict[str, TimedBenchmark], dict[str, str]]:
    """The benchmarks that have usable times, and the reasons for those that do not, by name. Raises CorruptRecordError
    for a name that is missing or stands twice, and for a summary without raw data."""
    timed: dict[str, TimedBenchmark] = {}
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
                "it has no raw data, and a summary is not judged: save it with --benchmark-json, or add "
                "--benchmark-save-data to --benchmark-save or --benchmark-autosave"
            )
        data = stats["data"]
        if problem := _problem(data):
            impossible[name] = problem
            continue
        data_s = list(map(float, data))
        timed[name] = TimedBenchmark(
            median_s=median(data_s),
            timer=_text(_object(benchmark, "options").get("timer")) or "",
            digest=hashlib.sha256(json.dumps(data_s).encode()).digest(),
        )
    return timed, impossible


def _problem(data: Any) -> str:
    """The reason why `data` is not a list of possible seconds, as a predicate; empty if it is."""
    if not isinstance(data, list) or not data:
        return "has no times"
    for value in data:
        if isinstance(value, bool) or not isinstance(value, int | float):  # JSON's true is an int to Python
            return "has a time that is not a number"
        if not SHORTEST_S < value < LONGEST_S:
            return f"has a time of {float(value):.6g} s, which is not plausible"
    return ""


def _judge_all(before: BenchmarkRuns, after: BenchmarkRuns) -> list[Verdict | TestedChange]:
    """A verdict or a change to be tested for each benchmark; one for all if the candidate's differ in machine."""
    newest = after.runs[-1]
    if foreign := [run for run in after.runs if _differing(run, newest) or run.host != newest.host]:
        reason = "the candidate's own files come from several machines or Pythons, so they are no repeats of one run"
        return [Verdict(case=foreign[0].name, outcome=Outcome.INCOMPARABLE, reason=reason, metric=LATENCY)]
    return [_judge_one(name, before.runs, after.runs) for name in before.names | after.names]


def _judge_one(name: str, before: Sequence[BenchmarkRun], after: Sequence[BenchmarkRun]) -> Verdict | TestedChange:
    """The change of one benchmark's time, to be tested, or a verdict that says why it cannot be."""

    def verdict(outcome: Outcome, reason: str) -> Verdict:
        return Verdict(case=name, metric=LATENCY, outcome=outcome, reason=reason)

    # A time that is none in any file breaks the benchmark: another file's may be as wrong and look plausible.
    for role, runs in ((BASELINE, before), (CANDIDATE, after)):
        for run in runs:
            if problem := run.impossible.get(name):
                return verdict(Outcome.BROKEN, f"{role} file {run.name} {problem}")
    newest, stored = after[-1], [run for run in before if name in run.timed]
    candidates = [run.timed[name] for run in after if name in run.timed]
    if not candidates:
        return verdict(Outcome.MISSING, f"it is in {len(stored)} stored runs, but in no file of the candidate")
    if not stored:
        return verdict(Outcome.NEW, "it is in no stored run, so there is nothing to compare with")
    # By the digest of its rounds a run that was copied counts once.
    comparable = {run.timed[name].digest: run for run in stored if not _obstacles(run, newest)}
    if not comparable:
        reason = f"times are not comparable: {'; '.join(_obstacles(stored[-1], newest))}"
        return verdict(Outcome.INCOMPARABLE, reason)
    if any(timed.digest in comparable for timed in candidates):
        return verdict(Outcome.INCOMPARABLE, COPIED)
    timers, stored_timers = (
        {timed.timer or UNKNOWN for timed in timings}
        for timings in (candidates, [run.timed[name] for run in comparable.values()])
    )
    by_host: dict[str, list[float]] = {}
    for run in comparable.values():
        if {run.timed[name].timer or UNKNOWN} == timers:
            by_host.setdefault(run.host, []).append(run.timed[name].median_s)
    if not by_host:
        before_now = f"{', '.join(sorted(stored_timers))} before, {', '.join(sorted(timers))} now"
        return verdict(Outcome.INCOMPARABLE, f"times are not comparable: timer: {before_now}")
    stored_s = by_host.get(newest.host, [])
    if len(stored_s) < FEWEST_RUNS <= len(by_host):  # one time for each of so many hosts
        stored_s = list(map(median, by_host.values()))
    if not stored_s:
        reason = (
            f"the stored runs are from fewer than {FEWEST_RUNS} other hosts, too few to tell how much hosts differ, "
            "even if the CPU model is the same"
        )
        return verdict(Outcome.INCOMPARABLE, reason)
    if len(stored_s) < FEWEST_RUNS:
        reason = (
            f"a time needs {FEWEST_RUNS} stored runs of this benchmark on this machine (rounds of a run do not count); "
            f"there are {len(stored_s)}"
        )
        return verdict(Outcome.INCONCLUSIVE, reason)
    return compare_times(name, "", stored_s, [timed.median_s for timed in candidates], candidates[0].timer)


def _obstacles(before: BenchmarkRun, after: BenchmarkRun) -> list[str]:
    """Facts that differ between two runs or are unknown, so that their times cannot be compared; empty if they can."""
    differing = [
        f"{FACTS[name]}: {before.facts[name] or UNKNOWN} before, {after.facts[name] or UNKNOWN} now"
        for name in _differing(before, after)
    ]
    unknown = [FACTS[name] for name in ("cpu", "python_version") if not before.facts[name] and not after.facts[name]]
    return [*differing, *(f"{label}: {UNKNOWN}" for label in unknown)]


def _differing(before: BenchmarkRun, after: BenchmarkRun) -> list[str]:
    """The names of the FACTS that differ between two runs."""
    return [name for name in FACTS if before.facts[name] != after.facts[name]]


def _object(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The JSON object under a name; an empty one in place of anything else."""
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    """A text of 1 to LONGEST_NAME characters that UTF-8 can encode; None for anything else."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        return None
    return value if value.isascii() or value.encode(errors="ignore").decode() == value else None
