"""The options of `suite gate`, each command handed to `suite.gate.command`, which is imported when one runs."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Inconclusive(StrEnum):
    passes = "pass"
    fails = "fail"


OnInconclusive = Annotated[Inconclusive, typer.Option(help="Whether undecided timings pass, or fail with exit code 3.")]
Out = Annotated[Path | None, typer.Option(help="Output folder. Default: a new folder in results/gate/.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust-candidate-settings",
        help="Judge by the working tree's tolerances, acceptances and benchmarks, even if changed.",
    ),
]
Sweep = Annotated[str, typer.Option(help="Name of the sweep whose cases are compared.")]


def gate_application(finish: Callable[[Callable[[], int]], None]) -> typer.Typer:
    """Build the typer application of `suite gate`. `finish` runs a command and exits with its code; for an error that a
    user can cause it prints one sentence."""
    application = typer.Typer(
        rich_markup_mode=None, invoke_without_command=True, help="Fail if a change is slower, larger or wrong."
    )

    def run(name: str, arguments: Mapping[str, Any]) -> int:
        from suite.gate import command

        return command.reported(lambda: getattr(command, name)(**arguments))

    @application.callback()
    def judge(
        context: typer.Context,
        against: Annotated[
            str | None, typer.Option(metavar="REV", help="Compare the working tree with this revision on this machine.")
        ] = None,
        sweep: Sweep = "gate",
        set_: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="KEY=VALUE", help="A setting for every case. Can be repeated."),
        ] = None,
        seconds: Annotated[
            float, typer.Option(help="Longest measuring time of all cases together, in seconds.")
        ] = 120.0,
        trust_settings: Trust = False,
        inconclusive: OnInconclusive = Inconclusive.passes,
        out: Out = None,
        python: Annotated[
            Path | None, typer.Option(help="The Python that runs the cases. Default: the one that runs this command.")
        ] = None,
    ) -> None:
        def command() -> int:
            if against is None:
                raise ValueError("gate needs --against REV")
            how = {
                "against": against,
                "sweep": sweep,
                "chosen": set_ or [],
                "python": python,
                "seconds": seconds,
                "trust_settings": trust_settings,
                "inconclusive_fails": inconclusive is Inconclusive.fails,
                "out": out,
            }
            return run("gate_against", how)

        if context.invoked_subcommand is None:
            finish(command)

    @application.command("pytest", help="Compare two revisions with any project's pytest-benchmark suite.")
    def pytest_benchmark(
        against: Annotated[str, typer.Option(metavar="REV", help="The revision to compare the working tree with.")],
        paths: Annotated[
            list[str] | None,
            typer.Argument(metavar="PATH", help="Files, folders or node ids. Default: what pytest's settings collect."),
        ] = None,
        python: Annotated[
            Path | None,
            typer.Option(help="The project's Python. Default: .venv or venv, then VIRTUAL_ENV, then PATH."),
        ] = None,
        seconds: Annotated[
            float | None,
            typer.Option(
                help="Longest measuring time of all benchmarks together, in seconds. Default: 120; more for many."
            ),
        ] = None,
        inconclusive: OnInconclusive = Inconclusive.passes,
        prepare: Annotated[
            str,
            typer.Option(
                metavar="COMMAND", help="A shell command that builds the project, run once in each of the two trees."
            ),
        ] = "",
        trust_settings: Trust = False,
        out: Out = None,
    ) -> None:
        how = {
            "against": against,
            "paths": paths or [],
            "prepare": prepare,
            "python": python,
            "seconds": seconds,
            "trust_settings": trust_settings,
            "inconclusive_fails": inconclusive is Inconclusive.fails,
            "out": out,
        }
        finish(lambda: run("gate_pytest", how))

    @application.command(help="Accept a known regression, with a reason and an expiry date.")
    def accept(
        case: Annotated[str, typer.Argument(help="The case as the gate prints it; * matches any text.")],
        reason: Annotated[str, typer.Option(help="Why the regression is accepted.")],
        ceiling: Annotated[
            float, typer.Option(help="Largest ratio (after divided by before) that passes, for example 1.05.")
        ],
        expires: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Last day on which it passes.")],
        span: Annotated[str, typer.Option(help="Only this span (part) of the case.")] = "*",
        metric: Annotated[str, typer.Option(help="Only this metric; `missing` accepts that a case is gone.")] = "*",
    ) -> None:
        entry = {"span": span, "metric": metric, "reason": reason, "ceiling": ceiling, "expires": expires}
        finish(lambda: run("gate_accept", {"case": case, **entry}))

    return application
