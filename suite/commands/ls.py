"""`suite ls`: the groups of settings and their options; `suite run --help` shows them beside the settings."""

import shutil
import textwrap
from collections.abc import Iterable, Sequence

from suite.configuration.files import Setting, choices, described, file_settings, full_name
from suite.machine.plain_text import say

# The groups of conf/ that `suite run` chooses an option from, in the order of their use.
GROUPS = (
    *("workload", "attention", "geometry", "backend", "hardware", "measure", "telemetry", "launcher"),
    *("algorithm", "task", "policy", "recipe", "sweep"),
)
USAGE = """\
Run one case, or a sweep with -m. A case that is already recorded is not
measured again.
  suite run attention=mla seq_len=4096
  suite run -m attention=gqa,mla dtype=float32,bfloat16   every combination
  suite run -m sweep=demo       a named sweep; your settings override its own
  suite run --json ...          print the records as JSON and nothing else
Exit codes: 0 done, 1 failed or incorrect, 2 wrong usage, 3 cannot run
here, 4 cannot write the results, 130 interrupted."""
FOOTER = """\
Settings of one workload: suite run workload=rl --help. What each option means:
suite ls geometry. Hydra's own flags, such as --cfg job: suite run --hydra-help.
Every setting: conf/README.md."""
NAME_WIDTH = 32


def list_options(group: str | None) -> None:
    """Print each option of a group with a sentence, or each group with its options.

    Raises ValueError for a group that does not exist.
    """
    if group is None:
        say(*_group_lines())
    else:
        options = described(group)
        width = max(map(len, options))
        say(*(_folded(f"{name:<{width}}  {sentence}", width + 2) for name, sentence in options.items()))


def run_help(arguments: Sequence[str]) -> None:
    """Print the help of `suite run`; where the arguments name a workload with settings of its own, only those."""
    named = [argument.removeprefix("workload=") for argument in arguments if argument.startswith("workload=")]
    workload = full_name("workload", named[-1]) if named else None
    if workload is not None and workload in choices("settings"):
        say(f"Settings of workload={workload}, in addition to those of suite run --help:")
        say(*_setting_lines(file_settings(f"settings/{workload}.yaml")))
        return
    say(
        USAGE,
        "Groups (group=option):",
        *_group_lines(),
        "Settings (setting=value):",
        *_setting_lines(file_settings("run.yaml")),
    )
    say(FOOTER)


def _group_lines() -> Iterable[str]:
    for group in GROUPS:
        names = textwrap.shorten(", ".join(choices(group)), _width() - 13, placeholder=f" … suite ls {group}")
        yield f"  {group:<10} {names}"


def _setting_lines(settings: Iterable[Setting]) -> Iterable[str]:
    for setting in settings:
        yield _folded(f"  {f'{setting.key}={setting.value}':<{NAME_WIDTH}} {setting.comment}", NAME_WIDTH + 3)


def _folded(line: str, indent: int) -> str:
    return textwrap.fill(
        line.rstrip(), _width(), subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def _width() -> int:
    return max(60, shutil.get_terminal_size((120, 24)).columns)
