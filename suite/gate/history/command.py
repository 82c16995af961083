"""`suite gate history`: read what was measured of a line of commits, or save the newest judgement beside its commit."""

import json
from collections.abc import Sequence
from pathlib import Path

from suite.gate.history import output
from suite.gate.history.commits import NOTES, Measurements, commit_line, newest_judgement, save_note
from suite.gate.history.findings import find_changes
from suite.gate.output.files import RESULTS, add_to_github_summary
from suite.gate.side_by_side.revisions import checkout_around
from suite.gate.verdict import BROKEN, PASSED, CorruptJudgementError
from suite.records.plain_text import complain, say
from suite.records.stores.claim import alone_in
from suite.records.stores.store import SUMMARY, write_whole

HISTORY = "history.json"


def gate_history(places: Sequence[Path], *, revision: str, commits: int, since: int | None, out: Path | None) -> int:
    """Print the changes over a line of commits, write them to `out` if given, and return the exit code: 4 if something
    is unreadable or not measured, 1 for a change for the worse, 3 if too few points judge, else 0. `places`:
    folders and files to read besides the git notes; if empty, results/gate if it exists. `since`: the newest commits
    that may fail it. Raises ValueError for options that cannot be used."""
    top = checkout_around(Path.cwd(), "a history")
    line = commit_line(top, revision, commits)
    if since is not None and not 1 <= since <= commits:
        raise ValueError(f"since must be from 1 to {commits}, the value of --commits; got {since}")
    read = Measurements()
    read.read_notes(top, line)
    read.read_places(places or [RESULTS] * RESULTS.is_dir())
    history = find_changes(read.snapshots, line, unreadable=read.unreadable, remarks=read.left_out, since=since)
    say("", *output.lines(history))
    if out is not None:
        text = json.dumps(output.as_json(history), indent=1, allow_nan=False) + "\n"
        with alone_in(out):
            for name, content in {SUMMARY: output.markdown(history), HISTORY: text}.items():
                write_whole(out / name, content.encode())
        say(f"Written: {out / HISTORY}, with {SUMMARY} beside it")
    add_to_github_summary(lambda: output.markdown(history))
    return history.exit_code


def gate_history_save(places: Sequence[Path]) -> int:
    """Append the newest judgement of a folder to the git note of its commit, say so, and return the exit code. Raises
    ValueError for several folders, and if there is no judgement."""
    if len(places) > 1:
        raise ValueError(f"--save takes one folder of judgements; got {len(places)}")
    top = checkout_around(Path.cwd(), "a history")
    try:
        snapshot = newest_judgement(places[0] if places else RESULTS)
    except CorruptJudgementError as error:
        complain(f"suite gate: {error}")
        return BROKEN
    commit = snapshot.commit[:9]
    if save_note(top, snapshot):
        say(f"{commit}: saved in a git note of this repository; to share it: git push origin refs/notes/{NOTES}")
    else:
        say(f"{commit}: the git note already has this judgement, so nothing was written")
    return PASSED
