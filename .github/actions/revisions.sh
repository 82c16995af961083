#!/usr/bin/env bash
# Choose the revision to compare with, and say where the judgement goes: outputs `folder`, then `against` or `refusal`.
#
# Without AGAINST it is the merge base of BASE_SHA and HEAD_SHA, for which a shallow clone is deepened. HEAD_SHA itself
# must be checked out: the gate judges the files that lie here, and actions/checkout's own choice, a merge with the
# base, has others.
set -euo pipefail

MOST_AT_ONCE=6400 # commits; each fetch deepens by twice the last one's, so that 12,750 are seen in all

give() { printf '%s=%s\n' "$1" "${2//[$'\r\n']/ }" >>"$GITHUB_OUTPUT"; }
refuse() { give refusal "$1" && exit 0; } # the step that judges says it, with exit code 3
is_known() { git cat-file -e "$1^{commit}" 2>/dev/null; }
is_shallow() { [ "$(git rev-parse --is-shallow-repository)" = true ]; }
fetch() { git fetch --quiet --no-tags --no-recurse-submodules "$@"; }

# Set `base`, and fail unless it is the merge base of the whole history: none of the commits on the way to it is one
# whose parents this clone lacks.
find_merge_base() {
  base=$(git merge-base "$BASE_SHA" "$HEAD_SHA") || return 1
  if is_shallow; then
    local without_parents
    without_parents=$(git rev-parse --git-path shallow)
    [ -z "$(git rev-list "$BASE_SHA" "$HEAD_SHA" "^$base" | grep -xF -f "$without_parents" || true)" ]
  fi
}

folder=${OUT:-$(mktemp -d "$RUNNER_TEMP/suite-gate.XXXXXX")}
mkdir -p -- "$folder"
folder=$(cd -- "$folder" && pwd)
rm -f -- "$folder/judgement.json" "$folder/summary.md" "$folder/junit.xml" # an older answer is none to this question
give folder "$folder"

[ "$RUNNER_OS" != Windows ] || refuse 'the gate measures two revisions on Linux and macOS alone; this runner has Windows'
[ "$GITHUB_EVENT_NAME" != pull_request_target ] ||
  refuse 'pull_request_target would run the code of a pull request beside secrets and a right to write; use pull_request'
said=$(git rev-parse --git-dir 2>&1) ||
  refuse "no repository here (git says: $said): actions/checkout comes first, and working-directory lies in its checkout"

# On a private repository a fetch needs a token, which `persist-credentials: false` has not left in the settings.
if [ -n "$TOKEN" ] && ! git config --get-regexp '^http\..*\.extraheader$' >/dev/null; then
  GIT_CONFIG_VALUE_0="AUTHORIZATION: basic $(printf 'x-access-token:%s' "$TOKEN" | base64 | tr -d '\n')"
  export GIT_CONFIG_VALUE_0 GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.$GITHUB_SERVER_URL/.extraheader"
fi
export GIT_TERMINAL_PROMPT=0

depth_of() { ! is_shallow || echo "--depth=$1"; } # which would cut the history of a clone that has all of it
commit_of() { git rev-parse --verify --quiet --end-of-options "$1^{commit}"; }

# git repeats the name in what it says, and a line that begins with :: would command the runner.
[[ $AGAINST != *[$'\r\n']* ]] || refuse "against must be one line; got: $AGAINST"
if [ -n "$AGAINST" ]; then
  if ! base=$(commit_of "$AGAINST"); then # as a branch, of which actions/checkout fetches one alone
    # shellcheck disable=SC2046 # one word or none
    fetch $(depth_of 1) origin -- "$AGAINST" || refuse "against names no revision here and none of origin's: $AGAINST"
    base=$(commit_of FETCH_HEAD)
  fi
  give against "$base"
  exit 0
fi

if [ -z "$BASE_SHA" ] || [ -z "$HEAD_SHA" ]; then
  refuse "the event $GITHUB_EVENT_NAME has no base to compare with: give one as against"
fi
head=$(git rev-parse HEAD)
[ "$head" = "$HEAD_SHA" ] || refuse "what lies here is ${head:0:9} (a merge with the base, by default), not the pull \
request's head, ${HEAD_SHA:0:9}: give actions/checkout ref: \${{ github.event.pull_request.head.sha }}"

deepen_by=50
if ! is_known "$BASE_SHA"; then
  # shellcheck disable=SC2046 # one word or none
  fetch $(depth_of "$deepen_by") origin -- "$BASE_SHA" ||
    refuse "the base of the pull request, ${BASE_SHA:0:9}, cannot be fetched from origin"
fi
until find_merge_base; do
  is_shallow || refuse "the pull request and its base, ${BASE_SHA:0:9}, have no commit in common"
  [ "$deepen_by" -le "$MOST_AT_ONCE" ] ||
    refuse "the merge base lies further back than the gate fetches: give actions/checkout fetch-depth: 0"
  fetch --deepen="$deepen_by" origin -- "$BASE_SHA" "$HEAD_SHA" ||
    refuse 'this clone is shallow, and more of its history cannot be fetched: give actions/checkout fetch-depth: 0'
  deepen_by=$((deepen_by * 2))
done
echo "the merge base of ${HEAD_SHA:0:9} with ${BASE_SHA:0:9} is ${base:0:9}"
give against "$base"
