"""`suite gate history`: read what was measured of a line of commits, or save the newest judgement beside its commit."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from suite.gate.history import output
from suite.gate.history.commits import NOTES, line_of, newest_judgement, read_notes, read_places, save_note
from suite.gate.history.findings import find, lay_out
from suite.gate.output.files import RESULTS, add_to_github_summary
from suite.gate.side_by_side.revisions import checkout_around
from suite.gate.verdict import BROKEN, PASSED, CorruptJudgementError
from suite.records.plain_text import complain, say
from suite.records.stores.claim import alone_in
from suite.records.stores.store import SUMMARY, Room, write_whole
from suite.statistics.change_points import Change, steps_at

HISTORY = "history.json"


def gate_history(
    places: Sequence[Path],
    *,
    revision: str,
    commits: int,
    since: int | None,
    otava: bool,
    out: Path | None,
) -> int:
    """Show the changes over a line of commits and return the exit code. Raises ValueError for what cannot be asked.

    `places`: folders and files besides the notes; by default results/gate where that is.
    """
    top = checkout_around(Path.cwd(), "a history")
    line = line_of(top, revision, commits)
    if since is not None and not 1 <= since <= commits:
        raise ValueError(f"since must be from 1 to commits, {commits}; got {since}")
    room = Room()
    notes, files = read_notes(top, line, room), read_places(places or [RESULTS] * RESULTS.is_dir(), room)
    history = find(
        lay_out([*notes.snapshots, *files.snapshots], line, chained=not otava),
        line,
        unreadable=[*notes.unreadable, *files.unreadable],
        remarks=[*notes.left_out, *files.left_out],
        since=since,
        detector=_otava_changes if otava else None,
    )
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
    """Append the newest judgement of a folder to the note of its commit. Raises ValueError where there is none."""
    if len(places) > 1:
        raise ValueError(f"--save takes one folder of judgements; got {len(places)}")
    top = checkout_around(Path.cwd(), "a history")
    try:
        snapshot = newest_judgement(places[0] if places else RESULTS)
    except CorruptJudgementError as error:
        complain(f"suite gate: {error}")
        return BROKEN
    is_new = save_note(top, snapshot)
    commit = snapshot.commit[:9]
    if is_new:
        say(f"{commit}: saved in a git note, here only; to share it: git push origin refs/notes/{NOTES}")
    else:
        say(f"{commit}: the judgement stands in its note already, and nothing was written")
    return PASSED


def _otava_changes(series: Sequence[Sequence[float]]) -> list[list[Change]]:
    """The changes of each series of logarithms of values by Apache Otava. Raises ValueError where it is not installed.

    Its own defaults hold (Fleming et al., Hunter, https://doi.org/10.1145/3578244.3583719), so each series is judged by
    itself: among many flat ones some show a change (`.ci/tool benchmarks.history`).
    """
    try:
        from otava.analysis import compute_change_points
    except ImportError as error:
        raise ValueError(
            "--otava needs the package apache-otava, about 300 MB with what it brings: "
            "pip install 'mla-grpo-suite[history]'"
        ) from error
    return [
        steps_at(values, [point.index for point in compute_change_points([math.exp(value) for value in values])[0]])
        for values in series
    ]
