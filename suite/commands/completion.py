"""Tab completion for the shell: commands and their options, and for `suite run` Hydra's own choices of settings.

Hydra completes a command of one word. `suite-run` is that, so the line is handed to it with `suite run` shortened.
"""

from typing import Any

from typer import Typer
from typer.main import get_command

BASH = """\
_suite() {
  if [ "${COMP_WORDS[1]}" = run ] && [ "$COMP_CWORD" -gt 1 ]; then
    local line="suite-run ${COMP_LINE#*run }"
    local at=$((COMP_POINT - ${#COMP_LINE} + ${#line}))
    COMPREPLY=($(COMP_LINE="$line" COMP_POINT="$at" suite-run -sc query=bash))
    [[ "${COMPREPLY[0]}" == *[=/.] ]] && compopt -o nospace
    return
  fi
  local offered="" unasked="-*"
  case "${COMP_WORDS[*]:1:$((COMP_CWORD - 1))}" in
@CASES@
  esac
  [[ "${COMP_WORDS[$COMP_CWORD]}" == -* ]] && unasked=""
  COMPREPLY=($(compgen -W "$offered" -X "$unasked" -- "${COMP_WORDS[$COMP_CWORD]}"))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
COMP_WORDBREAKS=$COMP_WORDBREAKS complete -o default -F _suite suite
"""
ZSH = """\
autoload -U +X compinit && compinit -u
_suite() {
  if [[ "${words[2]}" = run && $CURRENT -gt 2 ]]; then
    local line="suite-run ${BUFFER#*run }"
    local -a found
    found=(${(f)"$(COMP_LINE="$line" COMP_POINT=${#line} suite-run -sc query=bash | tr ' ' '\\n')"})
    compadd -Q -S '' -- $found
    return
  fi
  local line="${words[2,CURRENT-1]}" offered=""
  case "$line" in
@CASES@
  esac
  local -a shown=(${=offered})
  [[ "$PREFIX" == -* ]] || shown=(${shown:#-*})
  compadd -- $shown || _files
}
compdef _suite suite
"""
FISH = """\
function __suite_run
  set -l line "suite-run "(string replace -r '^suite run ?' '' -- (commandline -cp))
  env COMP_LINE=$line suite-run -sc query=fish
end
complete -c suite -f -n '__fish_is_nth_token 1' -a '@COMMANDS@'
complete -c suite -f -n '__fish_seen_subcommand_from run' -a '(__suite_run)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def script(shell: str, application: Typer) -> str:
    """The completion script of a shell, for the commands of an application."""
    words = _words_after(get_command(application))
    cases = [f"    '{path}'{'*' if path else ''}) offered='{offered}' ;;" for path, offered in words.items()]
    return SCRIPTS[shell].replace("@CASES@", "\n".join(cases)).replace("@COMMANDS@", words[""])


def _words_after(command: Any, path: str = "") -> dict[str, str]:
    """By `PATH`, the subcommands and options that may follow `suite PATH`, as one string; the longest paths first."""
    subcommands, words = getattr(command, "commands", {}), dict[str, str]()
    for name, subcommand in subcommands.items():
        words |= _words_after(subcommand, f"{path} {name}".strip())
    options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
    return words | {path: " ".join([*subcommands, *options, "--help"])}
