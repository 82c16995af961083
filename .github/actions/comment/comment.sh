#!/usr/bin/env bash
# The comment on a pull request, in three steps, of which the last alone has a token.
#
#   comment.sh may     output `folder`, a new one for the artifact; none where this run may not comment
#   comment.sh write   write $FOLDER.json, the comment, from the judgement in $FOLDER
#   comment.sh post    send it, in the place of this workflow's earlier comment where there is one
set -euo pipefail

may() {
  if [ -z "$PULL_REQUEST" ]; then
    echo "No comment: the event $GITHUB_EVENT_NAME is none of a pull request."
  elif [ "$HEAD_REPOSITORY" != "$GITHUB_REPOSITORY" ]; then
    echo 'No comment: a pull request from a fork has no right to write one. The summary of the job that judged has the answer.' |
      tee -a "$GITHUB_STEP_SUMMARY"
  else
    printf 'folder=%s\n' "$(mktemp -d "$RUNNER_TEMP/suite-gate-comment.XXXXXX")" >>"$GITHUB_OUTPUT"
  fi
}

write() {
  local run="$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID"
  "$JUDGE" -I -m suite.gate.output.comment "$FOLDER" "$NAME" "$run" >"$FOLDER.json"
}

post() {
  local comments="repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments" earlier
  # A person may write the marker too; what a robot has posted is changed, and no comment of a person's.
  earlier=$(MARKER="<!-- suite gate: $NAME -->" gh api --paginate "$comments?per_page=100" \
    --jq '.[] | select(.user.type == "Bot" and (.body | startswith(env.MARKER))) | .id')
  earlier=${earlier%%$'\n'*}
  if [ -n "$earlier" ]; then
    gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$earlier" --input "$FOLDER.json"
  else
    gh api --silent --method POST "$comments" --input "$FOLDER.json"
  fi
}

case "$1" in
  may | write | post) "$1" ;;
esac
