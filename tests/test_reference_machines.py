"""Which machine took the reference records: the table in their README is recomputed from the records themselves."""

import os
from collections import defaultdict

import pytest

from tests.records.factory import REFERENCE, committed

README = REFERENCE / "cpu" / "README.md"
HEAD = ["| folder | records | CPU | machine | at commit | begun |", "|---|---|---|---|---|---|"]

pytestmark = pytest.mark.skipif(not README.exists(), reason="the records are a part of a checkout alone")


def table():
    """Return the lines of the table: a row for each folder of records and machine."""
    found = defaultdict(list)
    for run, record in committed():
        environment, provenance = record["environment"], record["provenance"]
        folder = os.path.relpath(run.parent, REFERENCE / "cpu").replace(os.sep, "/") + "/"
        found[folder, environment["cpu"], environment["machine_id"]].append(provenance)
    return [*HEAD, *(row(*where, provenances) for where, provenances in sorted(found.items()))]


def row(folder, cpu, machine, provenances):
    commits = ", ".join(f"`{commit}`" for commit in sorted({one["commit"][:7] for one in provenances}))
    days = sorted({one["started_at"][:10] for one in provenances})
    assert not any(one["dirty"] for one in provenances), folder
    return f"| `{folder}` | {len(provenances)} | {cpu} | `{machine[:4]}` | {commits} | {' to '.join(days)} |"


def test_the_readme_names_the_cpu_of_every_folder():
    lines = README.read_text().splitlines()
    start = lines.index(HEAD[0])
    end = lines.index("", start)
    assert lines[start:end] == table()


if __name__ == "__main__":
    print("\n".join(table()))
