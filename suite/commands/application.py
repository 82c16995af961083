"""The command line: options and help of every command. Each hands on to the module that does the work."""

import importlib
import os
from collections.abc import Callable
from enum import StrEnum
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

import suite
from suite.gate.options import gate_application
from suite.machine.streams import run_or_complain

P = ParamSpec("P")
DONE = 0
Folders = Annotated[list[Path] | None, typer.Argument(metavar="[FOLDER]...", help="Default: results/.")]

Results = Annotated[list[Path] | None, typer.Option(help="Where to look. Default: results/. Can be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Model = Annotated[str | None, typer.Option(help="A name that suite ls geometry lists, or a short form such as 8b.")]
Sizes = Annotated[str | None, typer.Option(help="Your own model, instead of --model: hidden_size=4096,num_layers=32,…")]
Calibrated = Annotated[
    Path | None, typer.Option(help="A file written by suite calibrate. Default: the files of conf/calibration.")
]


class Language(StrEnum):
    en = "en"
    zh = "zh"


class Format(StrEnum):
    html = "html"
    markdown = "markdown"
    csv = "csv"


class FailOn(StrEnum):
    slower = "slower"
    worse = "worse"


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def finish(command: Callable[[], int]) -> None:
    """Run a command and end the process with its exit code; a refusal is printed as one sentence, no traceback."""
    raise SystemExit(run_or_complain(command))


def call_command(function: str, *arguments: Any, **options: Any) -> int:
    """Call a `module.function` of suite.commands, which is imported only now, so that no command waits for another's
    imports. Returns its exit code, 0 where it has none."""
    module, _, name = function.rpartition(".")
    code: int | None = getattr(importlib.import_module(f"suite.commands.{module}"), name)(*arguments, **options)
    return code or DONE


def add_command(
    app: typer.Typer, help: str, name: str | None = None, **settings: Any
) -> Callable[[Callable[P, int]], Callable[P, None]]:
    """Decorator that makes a function a command of `app`; what it returns becomes the process's exit code."""

    def add(command: Callable[P, int]) -> Callable[P, None]:
        @wraps(command)
        def run_and_exit(*arguments: P.args, **options: P.kwargs) -> None:
            finish(partial(command, *arguments, **options))

        return app.command(name, help=help, **settings)(run_and_exit)

    return add


def application() -> typer.Typer:
    """Build the typer application with every command of `suite`."""
    # Of many small tables, Arrow's own allocator holds 40 MiB more in a report, and a list takes a tenth longer.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    app = typer.Typer(
        # Plain help and errors: they read the same in a terminal, a log and under NO_COLOR.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=False,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 120},
        help="Measure attention variants (MHA, MQA, GQA, MLA) and RL algorithms (PPO, GRPO and relatives) on your own "
        "hardware.",
    )

    def show_version(is_wanted: bool) -> None:
        if is_wanted:
            print(f"mla-grpo-suite {suite.__version__}")
            raise typer.Exit

    @app.callback()
    def options(
        version: Annotated[
            bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        pass

    @add_command(app, "Run a small sweep and write its report.")
    def demo(
        full: Annotated[
            bool, typer.Option("--full", help="Run the sweeps that decide the report's claims (make reproduce).")
        ] = False,
        sweep: Annotated[
            str | None, typer.Option("--sweep", help="Run one of those sweeps too, by its name, as in rl_curves.")
        ] = None,
        again: Annotated[bool, typer.Option("--again", help="Measure recorded cases again.")] = False,
    ) -> int:
        return (
            call_command("demo.reproduce", again=again) if full else call_command("demo.demo", sweep=sweep, again=again)
        )

    # Listed for --help only: main() hands `run` on before typer parses anything.
    @add_command(
        app,
        "Run one case, or a sweep with -m (Hydra syntax).",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    )
    def run(context: typer.Context) -> int:
        return call_command("run.main", context.args)

    @add_command(app, "List the groups of settings, or the options of one group.")
    def ls(
        group: Annotated[str | None, typer.Argument(help="A group, for example geometry, sweep or algorithm.")] = None,
    ) -> int:
        return call_command("ls.list_options", group)

    @add_command(app, 'Print shell completion: eval "$(suite completion bash)".')
    def completion(shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> int:
        from suite.commands.completion import script

        print(script(shell.value, app), end="")
        return DONE

    @add_command(app, "Write the report of one or several folders of results.")
    def report(
        results: Annotated[
            list[Path] | None, typer.Option(help="A folder of results. Default: all in results/. Can be repeated.")
        ] = None,
        label: Annotated[list[str] | None, typer.Option(help="The folder's name, once for each --results.")] = None,
        format: Annotated[Format, typer.Option(help="The page, or its tables as Markdown or CSV.")] = (Format.html),
        lang: Annotated[Language, typer.Option(help="The page's language.")] = Language.en,
        out: Annotated[Path | None, typer.Option(help="The file to write. Default: in reports/.")] = None,
        calibration: Calibrated = None,
        show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    ) -> int:
        import webbrowser

        from suite.report.command import report as write_report

        if show and format is not Format.html:
            raise ValueError(f"--open opens the HTML page and needs --format html; got {format.value!r}")
        path, code = write_report(
            results or [],
            label or [],
            format=format.value,
            lang=lang.value,
            out=out,
            calibration=calibration,
        )
        print(f"Written: {path}")
        if show and not webbrowser.open(path.resolve().as_uri()):
            print("No browser was found to open the page.")
        return code

    @add_command(app, "Compare two runs, two folders, or the values of a setting.")
    def compare(
        names: Annotated[
            list[str],
            typer.Argument(metavar="A [B]", help="Two folders, or two runs by folder or key; or a folder with --by."),
        ],
        by: Annotated[
            str | None, typer.Option(help="Compare the values of this setting, for example attention.")
        ] = None,
        against: Annotated[str | None, typer.Option(help="The value to compare with. Default: the first.")] = None,
        fail_on: Annotated[
            FailOn | None,
            typer.Option(
                help="Exit with 1 if a case of A is clearly slower than in B (or --against), or has learnt clearly "
                "worse. Holm's correction over all cases keeps chance alone to 5 of 100 comparisons."
            ),
        ] = None,
        results: Results = None,
        as_json: AsJson = False,
    ) -> int:
        shown = {"results": results or [Path("results")], "as_json": as_json}
        return call_command(
            "compare.compare", names, by=by, against=against, fail_on=fail_on and fail_on.value, **shown
        )

    @add_command(app, "Show what can run on this machine, and why the rest cannot.")
    def doctor(as_json: AsJson = False) -> int:
        return call_command("doctor.doctor", as_json=as_json)

    @add_command(app, "Explain MLA, GQA, GRPO or PPO with numbers for a model.")
    def explain(
        topic: Annotated[str, typer.Argument(metavar="TOPIC", help="mla, gqa, grpo or ppo.")],
        geometry: Annotated[str | None, typer.Option(help="A published model (see suite ls geometry).")] = None,
        lang: Annotated[Language, typer.Option(help="The text's language.")] = Language.en,
        calibration: Calibrated = None,
    ) -> int:
        from suite.commands.explain import explain as explained
        from suite.console.table import terminal_width

        width = terminal_width()
        print(explained(topic, geometry=geometry, lang=lang.value, calibration=calibration, width=width), end="")
        return DONE

    @add_command(app, "Compute whether a model fits on your GPUs, and how fast it is.")
    def choose(
        invocation: typer.Context,
        gpus: Annotated[str, typer.Option(help="How many GPUs of which kind, or of how many GB: 4xh100, 4x80.")],
        context: Annotated[str, typer.Option(help="Tokens per sequence, for example 32768 or 32k.")],
        model: Model = None,
        sizes: Sizes = None,
        batch: Annotated[int | None, typer.Option(help="Number of sequences at once. Default: as many as fit.")] = None,
        new_tokens: Annotated[str, typer.Option(help="New tokens per sequence and step.")] = "1",
        parallel: Annotated[
            str | None,
            typer.Option(help="A layout: tp4, dp2 or dcp. Default: the best one. tp4 on 8 devices makes two replicas."),
        ] = None,
        weights: Annotated[str, typer.Option(help="Dtype of the weights: bfloat16, fp8 or int4.")] = "bfloat16",
        cache_dtype: Annotated[str, typer.Option(help="Dtype of the cache: bfloat16, fp8 or int8.")] = "bfloat16",
        tpot: Annotated[
            str | None, typer.Option(help="The longest time per output token, as 30ms: limits the batch.")
        ] = None,
        ttft: Annotated[
            str | None, typer.Option(help="The longest time to the first token of a prompt of --context tokens, as 1s.")
        ] = None,
        price: Annotated[float | None, typer.Option(help="Price of one device for one hour, in any currency.")] = None,
        watts: Annotated[
            float | None, typer.Option(help="Watts that one device draws. Default: from its specification.")
        ] = None,
        sort: Annotated[str, typer.Option(help="Order of rows: fits (largest batch), fastest or cheapest.")] = "fits",
        as_json: AsJson = False,
    ) -> int:
        question = {name: value for name, value in invocation.params.items() if name not in ("sort", "as_json")}
        return call_command("choose.choose", question, sort=sort, as_json=as_json)

    @add_command(app, "Compute whether an RL step fits on your GPUs.")
    def fit(
        invocation: typer.Context,
        algorithm: Annotated[str, typer.Option(help="grpo, ppo or another one of suite ls algorithm.")],
        gpus: Annotated[str, typer.Option(help="1, 2, 4 or 8 GPUs of which kind, or of how many GB: 8xh100, 4x80.")],
        model: Model = None,
        sizes: Sizes = None,
        seq_len: Annotated[str, typer.Option(help="Tokens of a prompt and its completion together.")] = "2048",
        prompt_len: Annotated[str, typer.Option(help="Tokens of the prompt.")] = "256",
        group: Annotated[int, typer.Option(help="Completions per prompt.")] = 8,
        prompts: Annotated[int, typer.Option(help="Prompts per step.")] = 16,
        lora_rank: Annotated[
            int | None, typer.Option(help="Rank of LoRA adapters. Default: all weights are trained.")
        ] = None,
        precision: Annotated[str, typer.Option(help="bf16 (8 bytes/parameter), mixed or float32 (16).")] = "bf16",
        as_json: AsJson = False,
    ) -> int:
        question = {name: value for name, value in invocation.params.items() if name != "as_json"}
        return call_command("fit.fit", question, as_json=as_json)

    @add_command(app, "Fit the expected kernel times of a GPU to its records.")
    def calibrate(
        results: Annotated[
            list[Path] | None, typer.Option(help="A folder of results. Default: results/gpu. Can be repeated.")
        ] = None,
        out: Annotated[
            Path | None, typer.Option(help="The file to write, for --calibration of report and explain.")
        ] = None,
    ) -> int:
        return call_command("calibrate.calibrate", results or [Path("results/gpu")], out=out)

    app.add_typer(_results(), name="results")
    app.add_typer(_traces(), name="trace")
    app.add_typer(gate_application(finish), name="gate")
    return app


def _results() -> typer.Typer:
    """Build the application of `suite results` with its commands."""
    app = typer.Typer(
        rich_markup_mode=None,
        no_args_is_help=True,
        help="List, show, verify, merge, pack or export runs.",
    )

    @add_command(app, "List all runs, including damaged and unfinished ones.", "list")
    def list_(
        folders: Folders = None,
        status: Annotated[str | None, typer.Option(help="Show only runs of this status, for example failed.")] = None,
        as_json: AsJson = False,
    ) -> int:
        return call_command("results.list_runs", folders or [Path("results")], status=status, as_json=as_json)

    @add_command(app, "Show one run: its numbers, checks and origin.")
    def show(
        run: Annotated[str, typer.Argument(help="The run's folder, or the first digits of its key (at least 4).")],
        results: Results = None,
    ) -> int:
        return call_command("results.show", run, results or [Path("results")])

    @add_command(app, "Read every run completely and list what is wrong.")
    def verify(folders: Folders = None) -> int:
        return call_command("results.verify", folders or [Path("results")])

    @add_command(app, "Copy all complete runs into one folder. Nothing is overwritten.")
    def merge(
        sources: Annotated[
            list[Path], typer.Argument(metavar="SOURCE...", help="Folders of results, or archives written by make gpu.")
        ],
        into: Annotated[Path, typer.Option(help="The target folder.")],
    ) -> int:
        return call_command("results.merge", sources, into)

    @add_command(app, "Turn the runs of each folder into tables (parquet).")
    def pack(
        folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders of results.")],
        remove: Annotated[
            bool, typer.Option(help="Remove the packed folders after the tables were read back.")
        ] = False,
        compact: Annotated[
            bool, typer.Option(help="Keep seven digits of each clock, and telemetry summed up by phase and quantity.")
        ] = False,
    ) -> int:
        return call_command("results.pack", folders, remove=remove, compact=compact)

    @add_command(app, "Write verified runs into MLflow (a server or a file).")
    def export(
        folders: Folders = None,
        to: Annotated[str, typer.Option(help="MLflow's tracking URI.")] = "sqlite:///reports/mlflow.db",
    ) -> int:
        return call_command("export.export", folders or [Path("results")], to)

    return app


def _traces() -> typer.Typer:
    """Build the application of `suite trace` with its commands."""
    app = typer.Typer(
        rich_markup_mode=None,
        no_args_is_help=True,
        help="Read or write flashinfer-bench's batches of attention.",
    )

    @add_command(app, "Print the command that measures the batches of a file of workloads.")
    def read(
        files: Annotated[
            list[Path], typer.Argument(metavar="FILE...", help="workloads/OP/NAME.jsonl, below its definitions/.")
        ],
    ) -> int:
        return call_command("traces.read", files)

    @add_command(app, "Write recorded decode steps as definitions and workloads.")
    def write(
        to: Annotated[Path, typer.Option(help="The folder of definitions/ and workloads/. What is there stays.")],
        folders: Folders = None,
    ) -> int:
        return call_command("traces.write", folders or [Path("results")], to)

    return app
