autoload -U +X compinit && compinit -u
_suite() {
  if [[ "${words[2]}" = run && $CURRENT -gt 2 ]]; then
    local line="suite-run ${BUFFER#*run }"
    local -a found
    found=(${(f)"$(COMP_LINE="$line" COMP_POINT=${#line} suite-run -sc query=bash | tr ' ' '\n')"})
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
