"""`suite compare`: two runs, two folders or the arms of a setting, compared by the one rule of evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from suite.commands.results import find_run
from suite.console.compare import between_folders, between_two, by_machine, by_setting, in_short
from suite.console.fail_on import judge
from suite.console.summary import SummaryEntry, stored_json, summarise_record
from suite.console.sweep_table import headline_values
from suite.console.table import ConsoleColumn, number_column, say_folded, say_table
from suite.machine.plain_text import complain, json_text, one_line, say
from suite.records import numbers
from suite.records.derived import started_at
from suite.records.record import CorruptRecordError
from suite.records.stores.store import StoredRecord, has_record, read_contents, read_record
from suite.report.model.outcome import outcome_metric

DONE, FAILED, BROKEN = 0, 1, 4


def compare(
    names: Sequence[str],
    *,
    by: str | None,
    against: str | None,
    fail_on: str | None = None,
    results: Sequence[Path],
    as_json: bool,
) -> int:
    """Compare two runs or two folders, or with `by` the arms of a setting within one folder or two.

    A run is named as `suite results show` takes it. Returns 4 where a run is damaged, 1 where `fail_on` (slower or
    worse) finds a case, else 0. Raises ValueError, in one sentence that names the choices, for what cannot be compared.
    """
    if not 0 < len(names) < 3:
        raise ValueError(
            f"compare takes two runs or two folders, or with --by one or two folders; got {len(names)} names"
        )
    places = [Path(name) for name in names]
    are_folders = [place.is_dir() and not has_record(place) for place in places]
    if by is None and against is not None:
        raise ValueError(f"--against names a value of the setting in --by, which is missing; got {against!r} alone")
    if by is None and len(names) < 2:
        raise ValueError(
            f"compare needs a second run or folder, or a setting as in --by attention; got {names[0]!r} alone"
        )
    if (by is not None or any(are_folders)) and not all(are_folders):
        run = names[are_folders.index(False)]
        needed = "one or two folders of results with --by" if by is not None else "two folders of results, or two runs"
        raise ValueError(f"compare needs {needed}; {run!r} is no folder of results")
    if len({place.resolve() for place in places}) < len(names):
        raise ValueError(f"compare takes two different runs or folders; got {names[0]!r} twice")
    if fail_on is not None and not all(are_folders):
        raise ValueError(f"--fail-on judges folders of results, of which there are none; got {names[0]!r}, a run")
    try:
        if all(are_folders):
            return _compare_folders(dict(zip(names, places, strict=True)), by, against, fail_on, as_json)
        return _compare_runs(names, results, as_json)
    except CorruptRecordError as error:
        complain(f"suite compare: a run is damaged, and suite results verify names it: {error}")
        return BROKEN


def _compare_runs(names: Sequence[str], results: Sequence[Path], as_json: bool) -> int:
    """Print two runs' headline values side by side and the sentence that compares them, or one JSON object of both."""
    folders = [find_run(name, results) for name in names]
    stored = [StoredRecord(record=read_record(folder), folder=folder) for folder in folders]
    both = [
        SummaryEntry(record=run.record, summary=summarise_record(run.record), label=name)
        for run, name in zip(stored, names, strict=True)
    ]
    comparison = between_two(*both)
    sentence = comparison.sentence if comparison else "The two runs have no number in common, so nothing was compared"
    first, second = values = [headline_values(entry) for entry in both]
    if as_json:
        runs = [stored_json(run, list(by_key.values())) for run, by_key in zip(stored, values, strict=True)]
        comparisons = [comparison.as_json()] if comparison else []
        say(json_text({"runs": runs, "comparisons": comparisons, "sentence": sentence}))
        return DONE
    titles = {value.key: value.title for by_key in values for value in by_key.values()}
    ratios = [
        first[key].number / second[key].number if key in first and key in second and second[key].number else None
        for key in titles
    ]
    say(*(one_line(f"{letter}  {entry.record.case.id}") for letter, entry in zip("AB", both, strict=True)), "")
    say_table(
        [
            ConsoleColumn(title="", cells=list(titles.values()), is_name=True),
            number_column("A", [first.get(key) for key in titles], lambda value: value.text),
            number_column("B", [second.get(key) for key in titles], lambda value: value.text),
            number_column("A / B", ratios, numbers.times, rank=1),
        ]
    )
    say_folded(f"{sentence}.")
    return DONE


def _compare_folders(
    folders: Mapping[str, Path], by: str | None, against: str | None, fail_on: str | None, as_json: bool
) -> int:
    """Compare two folders of runs, or, with `by`, the values of that setting over the runs of all folders together.

    Shows the comparisons, and returns BROKEN where a run is damaged, FAILED where `fail_on` finds a case, else DONE.
    """
    entries, damaged = [], 0
    for name, folder in folders.items():
        contents = read_contents([folder], with_readings=False)
        damaged += len(contents.damaged)
        oldest_first = sorted(contents.stored, key=lambda run: started_at(run.record))
        entries.append(by_machine([_entry(run, name if len(folders) > 1 else "") for run in oldest_first]))
    comparisons = between_folders(*entries) if by is None else by_setting([*chain(*entries)], by, against)
    is_failing, judgement = judge(entries, by, against, fail_on, damaged) if fail_on else (False, "")
    if as_json:
        content = [comparison.as_json() for comparison in comparisons]
        say(json_text({"by": by, "comparisons": content, "sentence": in_short(comparisons)}))
    else:
        places = [each.where for each in comparisons]
        columns = [
            *([ConsoleColumn(title="where", cells=places)] if len(set(places)) > 1 else []),
            ConsoleColumn(title="compared", cells=[f"{each.arm} against {each.other}" for each in comparisons]),
            ConsoleColumn(title="first", cells=[each.ours for each in comparisons], rank=3, is_number=True),
            ConsoleColumn(title="second", cells=[each.theirs for each in comparisons], rank=3, is_number=True),
            ConsoleColumn(title="quantity", cells=[each.quantity for each in comparisons], rank=1),
            ConsoleColumn(title="difference", cells=[each.difference for each in comparisons], is_number=True),
            ConsoleColumn(title="outcome", cells=[each.outcome_in_words for each in comparisons], is_name=True),
        ]
        say_table(columns)
        say_folded(f"{in_short(comparisons)}.")
    if judgement:
        complain(f"suite compare: {judgement}")
    return BROKEN if damaged else FAILED if is_failing else DONE


def _entry(stored: StoredRecord, label: str) -> SummaryEntry:
    record, outcome = read_record(stored.folder), outcome_metric(stored.record.case.workload)
    needed = replace(record, readings=outcome.readings(record) if outcome else ())
    return SummaryEntry(record=needed, summary=summarise_record(record), label=label)
