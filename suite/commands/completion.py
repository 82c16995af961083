"""Tab completion for the shell: the commands, and for `suite run` Hydra's own choices of settings and options.

Hydra completes a command of one word. `suite-run` is that, so the line is handed to it with `suite run` shortened.
"""

COMMANDS = "calibrate choose compare completion demo doctor explain fit gate ls report results run"
BASH = """\
_suite() {
  if [ "${COMP_WORDS[1]}" = run ] && [ "$COMP_CWORD" -gt 1 ]; then
    local line="suite-run ${COMP_LINE#*run }"
    local at=$((COMP_POINT - ${#COMP_LINE} + ${#line}))
    COMPREPLY=($(COMP_LINE="$line" COMP_POINT="$at" suite-run -sc query=bash))
    [[ "${COMPREPLY[0]}" == *[=/.] ]] && compopt -o nospace
  elif [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "@COMMANDS@" -- "${COMP_WORDS[1]}"))
  fi
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
  elif [[ $CURRENT -eq 2 ]]; then
    compadd -- @COMMANDS@
  fi
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


def script(shell: str) -> str:
    """Return the script of a shell."""
    return SCRIPTS[shell].replace("@COMMANDS@", COMMANDS)
