"""What left since the last release: each name answers for one release with one sentence on what takes its place."""

from typing import NoReturn

REMOVED = {
    "ls --watch": "each run shows its own progress, and Ray's dashboard shows a cluster's",
    "workload=rl_conformance": "suite/rl/README.md has its table of biases, which tests compute",
    "backend=sglang": "it never ran on a GPU; flash_mla and flashinfer decode absorbed MLA too",
}


def refuse_removed(name: str) -> NoReturn:
    """Raise ValueError that says what takes the place of a name in REMOVED."""
    raise ValueError(f"{name} was removed: {REMOVED[name]}")
