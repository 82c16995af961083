"""How long the names of tests are."""

import re
from pathlib import Path

HERE = Path(__file__).parents[1]
LONGEST_NAME = 60
TEST = re.compile(r"^def (test_\w+)", re.MULTILINE)


def test_names_of_tests_are_short():
    files = (HERE / "tests").rglob("*.py")
    names = [name for path in files for name in TEST.findall(path.read_text(encoding="utf-8"))]
    assert len(names) > 1_000
    long = [name for name in names if len(name) > LONGEST_NAME]
    assert not long, "\n".join(long)
