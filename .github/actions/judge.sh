#!/usr/bin/env bash
# The judge: `suite` without what runs need, in an environment of its own, so that the project's one stays as it is.
#
#   judge.sh find             output `python`: a Python from PATH that can make the environment; empty where there is none
#   judge.sh install SOURCE   install this repository's SOURCE with $PYTHON; output `python`: the environment's own
set -euo pipefail

CAN_MAKE_IT='import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

find_python() {
  local name
  for name in python3.12 python3.13 python3.11 python3 python; do
    if command -v "$name" >/dev/null && "$name" -I -c "$CAN_MAKE_IT" 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
}

# -I everywhere: neither PYTHONPATH nor the folder that lies here, which is the pull request's, may lend it a module.
install() {
  local source=$1 folder="$RUNNER_TEMP/suite-judge"
  local inside="$folder/bin/python"
  if [ "$(cat "$folder/source" 2>/dev/null || true)" != "$source" ]; then
    rm -rf -- "$folder"
    "$PYTHON" -I -m venv "$folder"
    local pip=("$inside" -I -m pip --quiet --disable-pip-version-check install --no-compile)
    "${pip[@]}" "$source"
    printf '%s\n' "$source" >"$folder/source"
  fi
  "$inside" -I -m suite --version
  printf 'python=%s\n' "$inside" >>"$GITHUB_OUTPUT"
}

case "$1" in
  find) printf 'python=%s\n' "$(find_python)" >>"$GITHUB_OUTPUT" ;;
  install) install "$2" ;;
esac
