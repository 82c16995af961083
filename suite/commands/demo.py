"""`suite demo`: a few sweeps, then the page beside the reference records, then the answer in a few sentences.

With `--full` the sweeps by which claims are ruled run again instead. conf/reproduce.yaml names them, narrowed to what
decides. Their cases are the reference records', so that the page says of each claim whether its verdict came out the
same on this machine.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suite.commands.run import DONE, INTERRUPTED, USAGE
from suite.commands.run import main as run
from suite.console.table import say_folded
from suite.machine.environment import machine_id
from suite.machine.plain_text import say
from suite.records import numbers
from suite.report.answers.answers import build_answers
from suite.report.answers.claims import sweeps_again
from suite.report.blocks import joined
from suite.report.command import report
from suite.report.model.results import Results, read_results
from suite.report.page.texts import load_texts

TIMED, LEARNT = ("demo", "demo_prefill"), ("demo_rl", "demo_quality")
RESULTS, PAGE = Path("results/demo"), Path("reports/index.html")
RESULTS_AGAIN, PAGE_AGAIN = Path("results/reproduce"), Path("reports/reproduce.html")
# A part of a checkout, not of an installed package.
REFERENCE = Path("results/reference")
# One of conf/reproduce.yaml, or by its name alone.
Sweep = Mapping[str, Any]


def sweep_arguments(sweep: Sweep, results: Path = RESULTS, *, again: bool = False) -> list[str]:
    """Arguments of `suite run` for one of the sweeps. `again`: recorded cases are measured again."""
    anew = ["resume=false"] if again else []
    return ["-m", f"sweep={sweep['sweep']}", *sweep.get("only", []), f"hydra.sweep.dir={results}", *anew]


def demo(*, sweep: str | None = None, again: bool = False) -> int:
    """Run the demo's sweeps, write the page, print the page's first answers and return the worst exit code.

    `sweep`: one of conf/reproduce.yaml, which is run first and joins them. `again`: recorded cases are measured again.
    """
    deciding = {entry["sweep"]: entry for entry in sweeps_again()}
    if sweep is not None and sweep not in deciding:
        raise ValueError(f"sweep must be one of {', '.join(deciding)}; got {sweep!r}")
    codes = []
    # Trainings take turns, so that none of them leaves a core idle: a base model is waited for, and one takes longest.
    turns = [[{"sweep": name}] for name in TIMED] + [[{"sweep": name} for name in LEARNT]]
    for turn in ([[deciding[sweep]]] if sweep else []) + turns:
        first, *others = (sweep_arguments(each, again=again) for each in turn)
        codes.append(run(first, beside=others))
        if codes[-1] in (USAGE, INTERRUPTED):
            return codes[-1]
    references = {"reference CPU": REFERENCE / "cpu", "fresh seeds": REFERENCE / "cpu_fresh"}
    return _worst(*codes, _write_page(PAGE, RESULTS, references))


def _write_page(page: Path, own: Path, references: Mapping[str, Path]) -> int:
    """Write the page of results, as `this machine`, beside those reference records that are there, by their label, and
    print its first answers. Gives the exit code."""
    there = {label: folder for label, folder in references.items() if folder.is_dir()}
    folders = {"this machine": own} | there
    results = read_results(list(folders.values()), list(folders))
    path, code = report(list(folders.values()), list(folders), out=page, read=results)
    say("")
    say_folded(*first_view(results))
    say(f"page: {path}")
    return code


def first_view(results: Results) -> list[str]:
    """Sentences that open the page: the first ranking of each kind, and which claims agree with the reference."""
    answers, english = build_answers(results, machine_id()), load_texts("en")
    rankings = {ranking.view: ranking for ranking in reversed(answers.own)}  # the first of each kind
    texts = [joined(": ", [ranking.table.title, ranking.finding]) for ranking in reversed(rankings.values())]
    return [english.render(text) for text in (*texts, *answers.reproduced)]


def reproduce(*, again: bool = False) -> int:
    """Run the sweeps that decide claims, write the page and return the worst exit code. `again`: recorded cases are
    measured again. An interruption ends it at once; the next call continues from there."""
    deciding, codes = sweeps_again(), list[int]()
    say_folded(
        f"{len(deciding)} sweeps, about {sum(sweep['minutes'] for sweep in deciding)} minutes on two cores. "
        "If interrupted, the same command continues; --again measures everything again. "
        f"Records: {RESULTS_AGAIN}"
    )
    for place, sweep in enumerate(deciding, start=1):
        minutes = numbers.duration(60.0 * sweep["minutes"])
        say_folded("", f"sweep {place} of {len(deciding)}: sweep={sweep['sweep']}, about {minutes}")
        codes.append(run(sweep_arguments(sweep, RESULTS_AGAIN, again=again)))
        if codes[-1] == INTERRUPTED:
            say_folded(
                "Interrupted. The same command continues from here; "
                f"suite report --results {RESULTS_AGAIN} shows what is there."
            )
        if codes[-1] in (USAGE, INTERRUPTED):
            return codes[-1]
    return _worst(*codes, _write_page(PAGE_AGAIN, RESULTS_AGAIN, {"reference": REFERENCE}))


def _worst(*codes: int) -> int:
    return next((code for code in (4, 1, 3) if code in codes), DONE)
