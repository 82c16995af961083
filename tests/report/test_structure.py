"""The report's own layers: blocks, model, plot, tables, chapters, page, command. Nothing imports upwards."""

import ast
from functools import cache
from pathlib import Path

import pytest

import suite.report

CODE = Path(suite.report.__file__).parent
LAYERS = (
    ("blocks",),
    ("model",),
    ("plot",),
    ("table",),
    ("evidence", "quoted"),
    ("attention", "quality", "rl", "runs"),
    ("answers", "decide"),
    ("page",),
    ("command",),
)
"""From the lowest up. A chapter imports no other."""
ONCE = ("Arm", "Experiment", "Comparison", "Contrast", "Quantity", "Mark", "Point", "Series", "Column")
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


@pytest.mark.parametrize("name", ONCE)
def test_what_all_chapters_share_is_defined_once(name):
    found = [
        path for path in FILES for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef) and node.name == name
    ]
    assert len(found) <= 1, found


def test_only_the_page_speaks_a_language():
    for path in FILES:
        names = [
            a.arg
            for node in ast.walk(tree(path))
            if isinstance(node, ast.arguments)
            for a in node.args + node.kwonlyargs
        ]
        assert path.parent.name == "page" or path.name == "command.py" or not {"words", "texts"} & set(names), path


def test_only_plot_writes_traces():
    for path in FILES:
        kinds = [
            value.value
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Dict)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant) and key.value == "type" and isinstance(value, ast.Constant)
        ]
        assert path.parent.name == "plot" or not {"scatter", "bar", "heatmap"} & set(kinds), path
