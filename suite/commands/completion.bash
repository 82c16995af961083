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
