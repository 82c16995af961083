"""`suite compare`: two runs, two folders or the arms of a setting, compared by the one rule of evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from suite.commands.results import find_run
from suite.console.compare import between_folders, between_two, by_machine, by_setting
from suite.console.sentences import told
from suite.console.summary import Entry, stored_json, summary_of
from suite.console.sweep_table import values_of
from suite.console.table import Column, folded, has_colour, table_lines, terminal_width
from suite.records import numbers
from suite.records.derived import started_at
from suite.records.plain_text import complain, json_text, one_line, say
from suite.records.record import CorruptRecordError
from suite.records.stores.mirror import on_this_machine
from suite.records.stores.store import StoredRecord, has_record, read_contents, read_record
from suite.report.model.outcome import outcome_of

DONE, BROKEN = 0, 4


def compare(
    names: Sequence[str], *, by: str | None, against: str | None, results: Sequence[Path], as_json: bool
) -> int:
    """Compare two runs or two folders, or with `by` the arms of a setting within one folder or two.

    A run is named as `suite results show` takes it. Returns 4 where a run is damaged, else 0. Raises ValueError, in one
    sentence that names the choices, for what cannot be compared.
    """
    if not 0 < len(names) < 3:
        raise ValueError(
            f"compare takes two runs or two folders, or with --by one folder or two; got {len(names)} names"
        )
    places = [on_this_machine(Path(name)) for name in names]
    are_folders = [place.is_dir() and not has_record(place) for place in places]
    if by is None and against is not None:
        raise ValueError(f"--against needs --by with the setting that it is a value of; got {against!r} alone")
    if by is None and len(names) < 2:
        raise ValueError(f"compare needs a second run or folder, or --by with a setting; got {names[0]!r} alone")
    if (by is not None or any(are_folders)) and not all(are_folders):
        run = names[are_folders.index(False)]
        raise ValueError(f"compare takes folders beside {'--by' if by is not None else 'a folder'}; got {run!r}")
    if len({place.resolve() for place in places}) < len(names):
        raise ValueError(f"compare takes two different runs or folders; got {names[0]!r} twice")
    try:
        if all(are_folders):
            return _folders(dict(zip(names, places, strict=True)), by, against, as_json)
        return _runs(names, results, as_json)
    except CorruptRecordError as error:
        complain(f"suite compare: the run is damaged: {error}")
        return BROKEN


def _runs(names: Sequence[str], results: Sequence[Path], as_json: bool) -> int:
    folders = [find_run(name, results) for name in names]
    stored = [StoredRecord(record=read_record(folder), folder=folder) for folder in folders]
    both = [
        Entry(record=run.record, summary=summary_of(run.record), label=name)
        for run, name in zip(stored, names, strict=True)
    ]
    verdict = between_two(*both)
    sentence = verdict.sentence if verdict else "The two runs have no number in common that could be compared"
    values = [values_of(entry) for entry in both]
    if as_json:
        runs = [stored_json(run, list(own.values())) for run, own in zip(stored, values, strict=True)]
        say(json_text({"runs": runs, "comparisons": [verdict.as_json()] if verdict else [], "sentence": sentence}))
        return DONE
    known = {value.key: value.title for own in values for value in own.values()}
    texts = [[own[key].text if key in own else numbers.NOTHING for key in known] for own in values]
    first, second = values
    ratios = [
        numbers.times(first[key].number / second[key].number)
        if key in first and key in second and second[key].number
        else numbers.NOTHING
        for key in known
    ]
    say(*(one_line(f"{letter}  {entry.record.case.id}") for letter, entry in zip("AB", both, strict=True)), "")
    columns = [
        Column(title="", cells=list(known.values()), is_name=True),
        *(Column(title=letter, cells=own, is_number=True) for letter, own in zip("AB", texts, strict=True)),
        Column(title="A / B", cells=ratios, rank=1, is_number=True),
    ]
    _show(columns, sentence)
    return DONE


def _folders(folders: Mapping[str, Path], by: str | None, against: str | None, as_json: bool) -> int:
    of_folders, is_damaged = [], False
    for name, folder in folders.items():
        contents = read_contents([folder], with_readings=False)
        is_damaged |= bool(contents.damaged)
        oldest_first = sorted(contents.stored, key=lambda run: started_at(run.record))
        of_folders.append(by_machine([_entry(run, name if len(folders) > 1 else "") for run in oldest_first]))
    verdicts = between_folders(*of_folders) if by is None else by_setting([*chain(*of_folders)], by, against)
    sentence = told(verdicts)
    if as_json:
        say(json_text({"by": by, "comparisons": [verdict.as_json() for verdict in verdicts], "sentence": sentence}))
    else:
        places = [verdict.where for verdict in verdicts]
        columns = [
            *([Column(title="where", cells=places)] if len(set(places)) > 1 else []),
            Column(title="compared", cells=[f"{verdict.arm} with {verdict.other}" for verdict in verdicts]),
            Column(title="the first", cells=[verdict.ours for verdict in verdicts], rank=3, is_number=True),
            Column(title="the second", cells=[verdict.theirs for verdict in verdicts], rank=3, is_number=True),
            Column(title="by", cells=[verdict.quantity for verdict in verdicts], rank=1),
            Column(title="difference", cells=[verdict.difference for verdict in verdicts], is_number=True),
            Column(title="outcome", cells=[verdict.outcome for verdict in verdicts], is_name=True),
        ]
        _show(columns, sentence)
    return BROKEN if is_damaged else DONE


def _entry(stored: StoredRecord, label: str) -> Entry:
    """Summarise a run, of whose readings only those that are compared need be kept."""
    record, outcome = read_record(stored.folder), outcome_of(stored.record.case.workload)
    kept = replace(record, readings=outcome.readings(record) if outcome else ())
    return Entry(record=kept, summary=summary_of(record), label=label)


def _show(columns: Sequence[Column], sentence: str) -> None:
    width = terminal_width()
    say(*table_lines(columns, width=width, colour=has_colour()), *folded([one_line(f"{sentence}.")], width))
