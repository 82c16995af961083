"""The main job: the demo sweeps, then the page beside the reference records, then the answer in a few sentences."""

from pathlib import Path

from suite.commands.run import main as run
from suite.console.table import folded, terminal_width
from suite.records.machine.environment import machine_id
from suite.records.plain_text import one_line, say
from suite.report.answers.answers import build_answers
from suite.report.blocks import joined
from suite.report.command import report
from suite.report.model.results import Results, read_results
from suite.report.page.texts import load_texts

TIMED, LEARNT = ("demo", "demo_prefill"), ("demo_rl", "demo_quality")
RESULTS, PAGE = Path("results/demo"), Path("reports/index.html")
REFERENCE = Path("results/reference/cpu")
"""A part of a checkout, not of an installed package."""


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
    results = read_results(list(shown.values()), list(shown))
    written, reported = report(list(shown.values()), list(shown), out=PAGE, read=results)
    say("", *folded(map(one_line, first_view(results)), terminal_width()), f"page: {written}")
    return next((code for code in (4, 1, 3) if code in (*codes, reported)), 0)


def first_view(results: Results) -> list[str]:
    """Say what the page's first view opens on: a ranking of each kind, and which claims of the article came out as in
    the reference records.
    """
    answers, english = build_answers(results, machine_id()), load_texts("en")
    first = {ranking.view: ranking for ranking in reversed(answers.own)}
    rankings = [joined(": ", [ranking.table.title, ranking.finding]) for ranking in reversed(first.values())]
    return [english.render(text) for text in (*rankings, *answers.reproduced)]
