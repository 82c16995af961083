"""The main job: the demo sweeps, then the page, with the reference records beside what was just measured."""

from pathlib import Path

from suite.commands.run import main as run
from suite.report.command import report

TIMED, LEARNT = ("demo", "demo_prefill"), ("demo_rl", "demo_quality")
PRECISELY = ("measure=precise", "measure.max_seconds=20")
RESULTS, PAGE = Path("results/demo"), Path("reports/index.html")
REFERENCE = Path("results/reference/cpu")
"""A part of a checkout, not of an installed package."""


def arguments_of(sweep: str, *, full: bool, again: bool) -> list[str]:
    """Return what `suite run` is told for one of the sweeps. Only timed ones can be measured precisely."""
    precisely = PRECISELY if full and sweep in TIMED else ()
    anew = ("resume=false",) if again else ()
    return ["-m", f"sweep={sweep}", f"hydra.sweep.dir={RESULTS}", *anew, *precisely]


def demo(*, full: bool = False, again: bool = False) -> int:
    """Run the demo sweeps and write the page; returns the worst exit code.

    `full` measures precisely, for minutes. `again` measures what is recorded already, too.
    """
    codes = []
    for sweep in (*TIMED, *LEARNT):
        code = run(arguments_of(sweep, full=full, again=again))
        if code in (2, 130):
            return code
        codes.append(code)
    shown = {"this machine": RESULTS, **({"reference CPU": REFERENCE} if REFERENCE.is_dir() else {})}
    written, reported = report(list(shown.values()), list(shown), out=PAGE)
    print(f"page: {written}")
    return next((code for code in (4, 1, 3) if code in (*codes, reported)), 0)
