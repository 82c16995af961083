"""The options of `suite gate`, each command handed to `suite.gate.command`, which is imported when one runs."""

import importlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Inconclusive(StrEnum):
    passes = "pass"
    fails = "fail"


class JudgedBy(StrEnum):
    time = "time"
    instructions = "instructions"


Export = Annotated[
    Path | None,
    typer.Option(
        "--export-benchmark-json",
        metavar="PATH",
        help="A file for the samples as pytest-benchmark's JSON; the revision's stand in NAME.before.json beside it.",
    ),
]
# Options of a measuring form, by the name of their parameter.
MEASURES = {
    "sweep": "--sweep",
    "set_": "--set",
    "seconds": "--seconds",
    "python": "--python",
    "export": "--export-benchmark-json",
    "trust_settings": "--trust-candidate-settings",
}
Hidden = Annotated[Inconclusive, typer.Option(help="Exit status when noise hides the answer.")]
Out = Annotated[Path | None, typer.Option(help="Where to write it, by default below results/gate/.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust-candidate-settings",
        help="Judge by what the change alters of its own judging: tolerances, noise, acceptances, benchmarks.",
    ),
]
Sweep = Annotated[str, typer.Option(help="The named sweep whose cases judge.")]


def _refuse(context: typer.Context, options: Mapping[str, str], why: str) -> None:
    """Raise ValueError for an option that was given where it does nothing."""
    for name, option in options.items():
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE":
            raise ValueError(f"{option} is for {why}")


def gate_application(finish: Callable[[Callable[[], int]], None]) -> typer.Typer:
    """Build the application. `finish` runs a command, says in one sentence what a user can cause, and exits."""
    application = typer.Typer(
        rich_markup_mode=None, invoke_without_command=True, help="Refuse what became slower, larger or other."
    )

    def run(name: str, arguments: Mapping[str, Any], module: str = "suite.gate.command") -> int:
        from suite.gate.command import reported

        return reported(lambda: getattr(importlib.import_module(module), name)(**arguments))

    @application.callback()
    def judge(
        context: typer.Context,
        against: Annotated[
            str | None, typer.Option(metavar="REV", help="Compare the working tree with this revision, here and now.")
        ] = None,
        baseline: Annotated[
            list[Path] | None,
            typer.Option(
                metavar="PATH",
                help="Stored records from before the change, or pytest-benchmark's JSON; may be repeated.",
            ),
        ] = None,
        candidate: Annotated[
            list[Path] | None,
            typer.Option(metavar="PATH", help="The same from after it; may be repeated for JSON."),
        ] = None,
        sweep: Sweep = "gate",
        set_: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="KEY=VALUE", help="A setting of every case; may be repeated."),
        ] = None,
        seconds: Annotated[float, typer.Option(help="The most measuring time of --against.")] = 120.0,
        trust_settings: Trust = False,
        inconclusive: Hidden = Inconclusive.passes,
        out: Out = None,
        python: Annotated[
            Path | None, typer.Option(help="The Python that runs the cases, by default this command's own.")
        ] = None,
        export: Export = None,
    ) -> None:
        def command() -> int:
            how: dict[str, Any] = {"inconclusive_fails": inconclusive is Inconclusive.fails, "out": out}
            if against is not None and not baseline and not candidate:
                how |= {"sweep": sweep, "chosen": set_ or [], "seconds": seconds, "python": python, "export": export}
                return run("gate_against", {"against": against, "trust_settings": trust_settings, **how})
            if against is None and baseline and candidate:
                _refuse(context, MEASURES, "times of --against, and --baseline and --candidate are stored")
                return run("gate_stored", {"baseline": baseline, "candidate": candidate, **how})
            raise ValueError(
                "gate needs either --against REV, or both --baseline PATH and --candidate PATH, folders of records or "
                "JSON of pytest-benchmark"
            )

        if context.invoked_subcommand is None:
            finish(command)

    @application.command("pytest", help="Judge any project's pytest-benchmark suite.")
    def pytest_benchmark(
        against: Annotated[str, typer.Option(metavar="REV", help="The revision to compare the working tree with.")],
        paths: Annotated[
            list[str] | None,
            typer.Argument(metavar="PATH", help="Files, folders or node ids; else what pytest's settings collect."),
        ] = None,
        python: Annotated[
            Path | None,
            typer.Option(help="The project's Python, by default that of .venv or venv, of VIRTUAL_ENV, or on PATH."),
        ] = None,
        seconds: Annotated[
            float | None,
            typer.Option(help="The most measuring time, by default 120 or what a change of each needs to be called."),
        ] = None,
        inconclusive: Hidden = Inconclusive.passes,
        prepare: Annotated[
            str, typer.Option(metavar="COMMAND", help="A command that builds, run once in each of the two trees.")
        ] = "",
        trust_settings: Trust = False,
        clock: Annotated[
            JudgedBy, typer.Option(help="What judges: time, or the instructions that valgrind counts of pure Python.")
        ] = JudgedBy.time,
        out: Out = None,
        export: Export = None,
    ) -> None:
        how = {
            "against": against,
            "paths": paths or [],
            "prepare": prepare,
            "python": python,
            "seconds": seconds,
            "counts_instructions": clock is JudgedBy.instructions,
            "trust_settings": trust_settings,
            "inconclusive_fails": inconclusive is Inconclusive.fails,
            "out": out,
            "export": export,
        }
        finish(lambda: run("gate_pytest", how))

    @application.command(help="A regression that may stay, with a reason and a date.")
    def accept(
        case: Annotated[str, typer.Argument(help="The case as the gate names it; * stands for any text.")],
        reason: Annotated[str, typer.Option(help="Why it may be.")],
        ceiling: Annotated[float, typer.Option(help="The largest ratio that passes, as 1.05.")],
        expires: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="The last day on which it passes.")],
        span: Annotated[str, typer.Option(help="Only this span of it.")] = "*",
        metric: Annotated[str, typer.Option(help="Only this metric; `missing` for what is gone.")] = "*",
    ) -> None:
        entry = {"span": span, "metric": metric, "reason": reason, "ceiling": ceiling, "expires": expires}
        finish(lambda: run("gate_accept", {"case": case, **entry}))

    @application.command(help="Find changes over many commits.")
    def history(
        places: Annotated[
            list[Path] | None,
            typer.Argument(
                metavar="PATH", help="Folders of judgements and files of pytest-benchmark, by default results/gate."
            ),
        ] = None,
        rev: Annotated[str, typer.Option(metavar="REV", help="The commit whose first parents are looked at.")] = "HEAD",
        commits: Annotated[int, typer.Option(help="The newest commits of them.")] = 200,
        since: Annotated[
            int | None,
            typer.Option(metavar="N", help="Exit with 1 for a change for the worse in the newest N commits."),
        ] = None,
        save: Annotated[
            bool, typer.Option("--save", help="Append the newest judgement to the git note of its commit, and no more.")
        ] = False,
        out: Annotated[Path | None, typer.Option(help="Where to write history.json and summary.md.")] = None,
    ) -> None:
        module = "suite.gate.history.command"
        how: dict[str, Any] = {"places": places or []}
        if not save:
            how |= {"revision": rev, "commits": commits, "since": since, "out": out}
        finish(lambda: run("gate_history_save" if save else "gate_history", how, module))

    @application.command(help="How often the gate is wrong, on this machine.")
    def selftest(
        runs: Annotated[int, typer.Option(min=1, help="Runs of identical code.")] = 20,
        slowed_runs: Annotated[int, typer.Option(min=0, help="Runs of each injected slowdown: 3, 5 and 10 %.")] = 5,
        one_process_runs: Annotated[
            int, typer.Option(min=0, help="Runs of identical code with both sides in one process, for comparison.")
        ] = 5,
        seconds: Annotated[float, typer.Option(help="The most measuring time of each.")] = 30.0,
        sweep: Sweep = "gate",
        busy: Annotated[int, typer.Option(min=0, help="Processes that keep a CPU busy meanwhile.")] = 0,
        save: Annotated[
            bool, typer.Option("--save", help="Keep each benchmark's noise for the gate's floors.")
        ] = False,
        out: Annotated[Path, typer.Option(help="Where the runs are kept; the same folder goes on.")] = (
            Path("results/gate/selftest")
        ),
        badge: Annotated[
            Path | None,
            typer.Option(metavar="PATH", help="Make no run: write the error rate of those in --out for shields.io."),
        ] = None,
    ) -> None:
        def command() -> int:
            if badge is not None:
                return run("gate_badge", {"folder": out, "path": badge})
            from suite.gate.selftest import SelftestPlan

            counts = {"identical_runs": runs, "slowed_runs": slowed_runs, "one_process_runs": one_process_runs}
            plan = SelftestPlan(sweep=sweep, seconds=seconds, busy=busy, **counts)
            return run("gate_selftest", {"plan": plan, "out": out, "save": save})

        finish(command)

    return application
