"""Tab completion for the shell: commands and their options, and for `suite run` Hydra's own choices of settings.

Hydra completes a command of one word. `suite-run` is that, so the line is handed to it with `suite run` shortened.
"""

from pathlib import Path
from typing import Any

from typer import Typer
from typer.main import get_command


def script(shell: str, application: Typer) -> str:
    """The completion script of a shell, `completion.{shell}` beside this file, for the commands of an application."""
    content = Path(__file__).with_suffix(f".{shell}").read_text(encoding="utf-8")
    words = _words_after(get_command(application))
    cases = [f"    '{path}'{'*' if path else ''}) offered='{offered}' ;;" for path, offered in words.items()]
    return content.replace("@CASES@", "\n".join(cases)).replace("@COMMANDS@", words[""])


def _words_after(command: Any, path: str = "") -> dict[str, str]:
    """By `PATH`, the subcommands and options that may follow `suite PATH`, as one string; the longest paths first."""
    subcommands = {name: each for name, each in getattr(command, "commands", {}).items() if not each.hidden}
    words = dict[str, str]()
    for name, subcommand in subcommands.items():
        words |= _words_after(subcommand, f"{path} {name}".strip())
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    options = [option for parameter in shown for option in parameter.opts if option.startswith("--")]
    return words | {path: " ".join([*subcommands, *options, "--help"])}
