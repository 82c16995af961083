"""How docstrings open and how long the names of tests are."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parents[1]
OPENINGS = ("What", "Of", "By", "As", "Whether", "Where", "How")
LONGEST_NAME = 60
TEST = re.compile(r"^def (test_\w+)", re.MULTILINE)


def strings_in(path: Path) -> list[str]:
    """Return the docstrings of a file: each string that stands alone as a statement."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    values = [node.value for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return [value.value for value in values if isinstance(value.value, str)]


def test_docstrings_open_with_a_verb_or_a_noun():
    strings = [(path, text) for path in (HERE / "suite").rglob("*.py") for text in strings_in(path)]
    assert len(strings) > 1_000
    found = [
        f"{path.relative_to(HERE)}: {text.strip().splitlines()[0]}"
        for path, text in strings
        if text.split(maxsplit=1)[0].strip(",:;") in OPENINGS
    ]
    assert not found, "\n".join(sorted(found))


def test_names_of_tests_are_short():
    files = (HERE / "tests").rglob("*.py")
    names = [name for path in files for name in TEST.findall(path.read_text(encoding="utf-8"))]
    assert len(names) > 1_000
    long = [name for name in names if len(name) > LONGEST_NAME]
    assert not long, "\n".join(long)
