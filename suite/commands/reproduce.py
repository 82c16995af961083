"""`suite demo --full`: the sweeps by which claims are ruled run again here, then the page beside the reference records.

conf/reproduce.yaml names them, narrowed to what decides. Their cases are the reference records', so that the page says
of each claim whether its verdict came out the same on this machine.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.commands.run import DONE, INTERRUPTED, USAGE
from suite.commands.run import main as run
from suite.configuration.files import read_yaml
from suite.console.eta import SeveralSweeps
from suite.console.table import folded, terminal_width
from suite.records import numbers
from suite.records.plain_text import say
from suite.report.command import report

RESULTS, PAGE = Path("results/reproduce"), Path("reports/reproduce.html")
REFERENCE = Path("results/reference")
"""A part of a checkout, not of an installed package."""
Sweep = Mapping[str, Any]
"""One of conf/reproduce.yaml."""


def sweeps() -> Sequence[Sweep]:
    """Return the sweeps in their order."""
    found: Sequence[Sweep] = read_yaml("reproduce.yaml")["sweeps"]
    return found


def arguments_of(sweep: Sweep, *, again: bool = False) -> list[str]:
    """Return what `suite run` is told for one of the sweeps."""
    anew = ["resume=false"] if again else []
    return ["-m", f"sweep={sweep['sweep']}", *sweep.get("only", []), f"hydra.sweep.dir={RESULTS}", *anew]


def reproduce(*, again: bool = False) -> int:
    """Run the sweeps and write the page; returns the worst exit code.

    `again` measures what is recorded already, too. An interruption ends it at once; the next call goes on from there.
    """
    every = sweeps()
    _say(
        f"{len(every)} sweeps, about {sum(sweep['minutes'] for sweep in every)} minutes on two cores; interrupted, the "
        f"same command goes on from there, and --again measures anew. Records: {RESULTS}"
    )
    several = SeveralSweeps([60.0 * sweep["minutes"] for sweep in every])
    codes = []
    for place, sweep in enumerate(every, start=1):
        _say("", f"{place} of {len(every)}: sweep={sweep['sweep']}, about {numbers.duration(60.0 * sweep['minutes'])}")
        code = run(arguments_of(sweep, again=again), several=several)
        if code == INTERRUPTED:
            _say(
                f"Interrupted: the same command goes on from here; suite report --results {RESULTS} draws what is there"
            )
        if code in (USAGE, INTERRUPTED):
            return code
        codes.append(code)
    shown = {"this machine": RESULTS, **({"reference": REFERENCE} if REFERENCE.is_dir() else {})}
    written, reported = report(list(shown.values()), list(shown), out=PAGE)
    _say("", f"page: {written}")
    return next((code for code in (4, 1, 3) if code in (*codes, reported)), DONE)


def _say(*lines: str) -> None:
    say(*folded(lines, terminal_width()))
