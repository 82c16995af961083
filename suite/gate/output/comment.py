"""The comment on a pull request, written anew from the judgement that an artifact brings.

The job that may comment runs no code of the pull request, but the artifact comes from a job that did: its Markdown
could call people, command robots or show foreign pictures. So only the judgement is read, as the data of anybody, and
every text in it is escaped again. The comment is no proof: the exit code of the job that judged is.
"""

import json
import re
import sys
from pathlib import Path

from suite.gate.output.files import read_judgement
from suite.gate.output.github import markdown
from suite.gate.verdict import CorruptJudgementError

# The length of a comment's body that GitHub takes.
MOST_CHARACTERS = 65_536
NO_JUDGEMENT = (
    "## Performance gate: no judgement\n\nThe gate's job left no judgement that can be read. Its log says why.\n"
)
CUT = "\n\nThe rest is left out, because GitHub limits the length of a comment.\n"
NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)


def comment(folder: Path, name: str, run: str) -> str:
    """The Markdown body of a pull request's comment, from the judgement in `folder`, cut to MOST_CHARACTERS. It begins
    with `marker(name)` and ends with a link to `run`, the address of the workflow run. `name`: of the artifact. A
    judgement that cannot be read gives NO_JUDGEMENT. Raises ValueError for a name with other characters."""
    if not NAME.fullmatch(name):
        raise ValueError(f"name must have 1 to 100 ASCII letters, digits or characters of -_. ; got {name!r}")
    try:
        text = markdown(read_judgement(folder), MOST_CHARACTERS)
    except CorruptJudgementError:
        text = NO_JUDGEMENT
    first, last = (
        f"{marker(name)}\n",
        f"\nThe [workflow run]({run}) has the full result, and its check has the exit code.\n",
    )
    room = MOST_CHARACTERS - len(first) - len(last)
    if len(text) > room:  # at the end of a line, so that no sign is parted from its escape
        text = text[: text.rindex("\n", 0, room - len(CUT))] + CUT
    return first + text + last


def marker(name: str) -> str:
    """The first line of a comment, which nobody sees, and by which a later run finds it."""
    return f"<!-- suite gate: {name} -->"


if __name__ == "__main__":
    folder, name, run = sys.argv[1:]
    print(json.dumps({"body": comment(Path(folder), name, run)}))
