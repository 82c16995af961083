"""The report's own layers: blocks, model, plot, tables, chapters, page, command. Nothing imports upwards."""

import ast
from functools import cache
from pathlib import Path

import suite.report

CODE = Path(suite.report.__file__).parent
LAYERS = (
    ("blocks",),
    ("model",),
    ("plot",),
    ("table",),
    ("evidence", "quoted", "timings"),
    ("attention", "quality", "rl", "runs"),
    ("answers", "decide"),
    ("page",),
    ("command",),
)
"""From the lowest up. A chapter imports no other."""
FILES = sorted(CODE.rglob("*.py"))


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def part_of(module):
    return module.removeprefix("suite.report.").split(".")[0]


def layer_of(part):
    return next(place for place, parts in enumerate(LAYERS) if part in parts)


def imports_of(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("suite.report."):
            yield node.module


def test_nothing_imports_upwards():
    for path in FILES:
        own = part_of(path.relative_to(CODE).with_suffix("").as_posix().split("/")[0])
        for module in imports_of(path) if own != "__init__" else ():
            other = part_of(module)
            assert other == own or layer_of(other) < layer_of(own), (path, module)


def test_no_module_reaches_itself():
    edges = {}
    for path in FILES:
        edges[".".join(["suite.report", *path.relative_to(CODE).with_suffix("").parts])] = set(imports_of(path))

    def reached(module, seen):
        for other in edges.get(module, set()) - seen:
            seen.add(other)
            reached(other, seen)
        return seen

    assert [module for module in edges if module in reached(module, set())] == []
