"""Asks git about a folder, and lets nothing of its caller answer for another."""

import os
import subprocess
from pathlib import Path

LOCAL_VARIABLES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
"""Variables that a hook or a script may have set, as `git rev-parse --local-env-vars` lists them: they lead git to
another repository."""
SETTINGS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
"""No program of a configuration runs: neither one that watches a folder nor a hook."""
QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
"""git may otherwise refresh the index while it only looks, ask for a password, and speak another language."""


def git(folder: Path, *arguments: str, timeout_s: float | None = None, given: str = "") -> str:
    """The output of git, without its last line ends. Raises CalledProcessError where it fails.

    `given`: what it reads from its standard input.
    """
    environment = {name: value for name, value in os.environ.items() if name not in LOCAL_VARIABLES}
    ended = subprocess.run(
        ["git", *SETTINGS, "-C", str(folder), *arguments],
        input=os.fsencode(given),
        capture_output=True,
        check=True,
        timeout=timeout_s,
        env=environment | QUIET,
    )
    return os.fsdecode(ended.stdout).rstrip("\n")
