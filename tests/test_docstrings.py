"""How docstrings open and how long the names of tests are."""

import ast
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parents[1]
OPENINGS = ("What", "Of", "By", "As", "Whether", "Where", "How")
LONGEST_NAME = 60


def parsed(top: str) -> dict[Path, ast.Module]:
    paths = list((HERE / top).rglob("*.py"))
    assert paths
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def strings_in(module: ast.Module) -> list[str]:
    """Return the docstrings of a module: each string that stands alone as a statement."""
    statements = [node.value for node in ast.walk(module) if isinstance(node, ast.Expr)]
    return [
        str(value.value) for value in statements if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]


def test_docstrings_open_with_a_verb_or_a_noun():
    found = {
        f"{path.relative_to(HERE)}: {text.strip().splitlines()[0]}"
        for path, module in parsed("suite").items()
        for text in strings_in(module)
        if text.split(maxsplit=1)[0].strip(",:;") in OPENINGS
    }
    assert not found, "\n".join(sorted(found))


def test_names_of_tests_are_short():
    names = Counter(
        node.name
        for module in parsed("tests").values()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )
    long = [name for name in names if len(name) > LONGEST_NAME]
    assert not long, "\n".join(long)
