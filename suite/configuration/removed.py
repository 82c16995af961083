"""What left since the last release: each name answers for one release with one sentence on what takes its place.

A name is a command with the option that left, a command, or a setting.
"""

import re
from typing import NoReturn

STORING = "keeping results in object stores (s3:// and others)"
REMOVED = {
    STORING: "copy the folder with the store's own client, and read tables in a store by URL with pandas and fsspec",
    "results push": "publish the folder with the client of its place, such as aws, gsutil or hf",
    "report --overwrite": "the page in reports/ is written anew, and --out names another place",
    "ls --watch": "each run shows its own progress, and Ray's dashboard shows a cluster's",
    "workload=rl_conformance": "suite/rl/README.md has its table of biases, which tests compute",
    "backend=sglang": "it never ran on a GPU; flash_mla and flashinfer decode absorbed MLA too",
    "report --format readings": "in Python, suite.load(FOLDER).readings() is a pandas frame of every reading",
    "gate history": "collect judgements (gate --out FOLDER) in a CSV, and give it to Apache Otava",
    "gate selftest": "in a checkout, .ci/tool benchmarks.gate_error_rates measures the gate's error rates",
    "gate --baseline": "suite compare A B --fail-on slower (or worse) judges stored runs",
    "gate --candidate": "suite compare A B --fail-on slower (or worse) judges stored runs",
    "gate --export-benchmark-json": "gate --out FOLDER writes every sample to rounds.csv.gz",
    "gate --clock": "the gate judges by time, and pytest-codspeed counts instructions",
}
STORES = re.compile(r"(.*=)?['\"]?(s3a?|gs|gcs|az|abfss?|adl|hf|memory)(::.*)?:/", re.DOTALL | re.IGNORECASE)
"""An argument that names a place in an object store, and such a URL after it became a path."""


def refuse_removed(name: str) -> NoReturn:
    """Raise ValueError that says what takes the place of a name in REMOVED."""
    raise ValueError(f"{name} was removed: {REMOVED[name]}")


def refuse_arguments(arguments: list[str]) -> None:
    """Raise ValueError for a command that left, or an option of one, and for the URL of an object store."""
    refuse_stores(*arguments)
    words = [word for argument in arguments for word in argument.split("=", 1)]
    for name in REMOVED:
        command, *rest = name.split()
        starts = range(1, len(words)) if rest and rest[0].startswith("--") else [1]
        if words[0] == command and rest and any(words[start : start + len(rest)] == rest for start in starts):
            refuse_removed(name)


def refuse_stores(*places: str) -> None:
    """Raise ValueError for the URL of an object store, which is not repeated: it may hold a password."""
    if any(map(STORES.match, places)):
        refuse_removed(STORING)
