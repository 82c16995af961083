#!/usr/bin/env bash
# Judge, or say why that is refused; outputs `exit-code` and `verdict`. The exit code is the gate's.
set -euo pipefail

finish() {
  local words=([0]=passed [1]=worse [2]=usage [3]=cannot-judge [130]=interrupted)
  printf 'exit-code=%s\nverdict=%s\n' "$1" "${words[$1]-broken}" >>"$GITHUB_OUTPUT"
  cat -- "$FOLDER/summary.md" >>"$GITHUB_STEP_SUMMARY"
  exit "$1"
}

# A line end would begin a line of the log that may command the runner.
annotate() {
  local text=${1//'%'/%25}
  text=${text//$'\r'/%0D} text=${text//$'\n'/%0A}
  echo "::error title=gate::$text"
}

if [ -n "$REFUSAL" ]; then
  annotate "$REFUSAL"
  printf '## Performance gate: cannot judge\n\n%s\n' "$REFUSAL" >"$FOLDER/summary.md"
  finish 3
fi

gate=("$JUDGE" -I -m suite gate)
options=(--against "$REVISION" --python "$PROJECT_PYTHON" --inconclusive "$INCONCLUSIVE" --out "$FOLDER")
[ -z "$MEASURING_S" ] || options+=(--seconds "$MEASURING_S")
[ "$TRUSTED" != true ] || options+=(--trust-candidate-settings)
case "$FORM" in
  pytest)
    gate+=(pytest "${options[@]}" --prepare "$PREPARE" --)
    while IFS= read -r path; do
      [ -z "$path" ] || gate+=("$path")
    done <<<"$PATHS"
    ;;
  suite)
    gate+=("${options[@]}" --sweep "$SWEEP")
    while IFS= read -r setting; do
      [ -z "$setting" ] || gate+=(--set "$setting")
    done <<<"$SETTINGS"
    ;;
  *)
    annotate "form must be pytest or suite; got $FORM"
    printf '## Performance gate: no judgement\n\nform must be pytest or suite.\n' >"$FOLDER/summary.md"
    finish 2
    ;;
esac

# The code that is measured inherits the judge's surroundings, but not the files by which a step speaks to the runner.
code=0
env -u GITHUB_ENV -u GITHUB_OUTPUT -u GITHUB_PATH -u GITHUB_STATE -u GITHUB_STEP_SUMMARY "${gate[@]}" || code=$?
if [ ! -f "$FOLDER/summary.md" ]; then
  printf '## Performance gate: no judgement\n\nExit code %s: the log of this step says why.\n' "$code" >"$FOLDER/summary.md"
fi
finish "$code"
