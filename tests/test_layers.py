"""Who may import whom: by the import lines that run, all that they reach, and what stands in sys.modules then."""

import ast
import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BASE = {"suite.configuration", "suite.machine", "suite.records", "suite.statistics", "suite.theory"}
READING = BASE | {"suite.gate", "suite.report"}
MAY_IMPORT = {
    "suite.configuration": set(),
    "suite.machine": {"suite.configuration"},
    "suite.records": {"suite.configuration", "suite.machine", "suite.theory"},
    "suite.statistics": {"suite.configuration"},
    "suite.theory": {"suite.configuration"},
    "suite.measure": BASE,
    "suite.attention": BASE | {"suite.measure"},
    "suite.lm": BASE | {"suite.measure", "suite.attention"},
    "suite.rl": BASE | {"suite.measure", "suite.attention", "suite.lm"},
    "suite.quality": BASE | {"suite.measure", "suite.attention", "suite.lm"},
    "suite.report": BASE | {"suite.gate"},
    "suite.gate": BASE,
    "suite.api": READING | {"suite.console"},
    "suite.run": BASE | {"suite.measure"},
    "suite.console": READING,
    "suite.commands.doctor": BASE | {"suite.commands"},
    "suite.commands.explain": BASE | {"suite.commands", "suite.console"},
    "suite.commands.results": BASE | {"suite.commands", "suite.console"},
    "suite.commands.export": BASE | {"suite.commands"},
    "suite.commands.compare": READING | {"suite.commands", "suite.console"},
}
NEEDS_TORCH = ("suite.measure", "suite.attention", "suite.lm", "suite.rl", "suite.quality")
RUNS_ONLY = {"torch", "hydra", "omegaconf"}
WATCHED = RUNS_ONLY | {"typer", "pandas", "plotly", "numpy", "pyarrow"}


NEED_TRITON = set() if importlib.util.find_spec("triton") else {"suite.attention.triton_decode"}
FOR_PYTEST = {"suite.gate.sweep_plugin", "suite.gate.pytest11.mla_grpo_suite_pytest"}
"""Loaded by pytest alone; the second is installed beside the package."""


def modules_of(layer):
    """Dotted names of a layer's modules, without those whose package is not installed or that only pytest loads."""
    path = ROOT.joinpath(*layer.split("."))
    files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    dotted = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return sorted({name.removesuffix(".__init__") for name in dotted} - NEED_TRITON - FOR_PYTEST)


def held_after(*groups):
    """What stands in sys.modules after importing each of these groups of modules, in turn, into one process."""
    look = """
import importlib, sys
for group in sys.argv[1:]:
    for name in group.split():
        importlib.import_module(name)
    print(*sys.modules)
"""
    command = [sys.executable, "-W", "ignore", "-c", look, *map(" ".join, groups)]
    path = os.pathsep.join([str(ROOT / "suite/gate/pytest11"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    held = [set(line.split()) for line in ended.stdout.splitlines()]
    assert all(set(group) <= found for group, found in zip(groups, held, strict=True))
    return held


def imported_at_once(body):
    """What statements import when they run, as dotted names; not what a function or a type checker would."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ClassDef | ast.Try | ast.With | ast.If):
            is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            handlers = [one for handler in getattr(node, "handlers", ()) for one in handler.body]
            yield from imported_at_once([*([] if is_for_types else node.body), *handlers, *getattr(node, "orelse", ())])


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports_of(module):
    """A module's own imports and those of the packages around it: modules of the suite, and other packages' names."""
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = set()
    for name in imported_at_once(tree_of(path).body):
        name = module_named(name)
        found.add(name if name.startswith("suite") else name.partition(".")[0])
    parents = [module.rsplit(".", count)[0] for count in range(1, module.count(".") + 1)]
    return found | {name for name in parents if name != "suite"}


def module_named(name):
    """The module or package of the suite in which a dotted name lies; another package's name as it is."""
    while name.startswith("suite.") and not ROOT.joinpath(*name.split(".")).is_dir():
        if ROOT.joinpath(*name.split(".")).with_suffix(".py").exists():
            break
        name = name.rpartition(".")[0]
    return name


def reached_from(module):
    """All that importing a module imports, by its own lines and those of the suite's modules that it reaches."""
    reached, left = set(), {module}
    while left:
        name = left.pop()
        reached.add(name)
        left |= imports_of(name) - reached - {"suite"} if name.startswith("suite.") else set()
    return reached


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_what_lies_below_it(layer):
    forbidden = {"hydra", "omegaconf"} if layer in NEEDS_TORCH else RUNS_ONLY
    modules = [module for module in modules_of(layer) if not module.startswith("suite.run.compose")]
    assert modules
    for module in modules:
        reached = reached_from(module)
        layers = {".".join(name.split(".")[:2]) for name in reached if name.startswith("suite.")}
        assert layers <= MAY_IMPORT[layer] | {layer}, module
        assert not forbidden & reached, module


def lines_of_import(module):
    """What a module names in any import line: in functions and for type checkers, too."""
    path = ROOT.joinpath(*module.split("."))
    for node in ast.walk(tree_of(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (module_named(f"{node.module}.{alias.name}") for alias in node.names)


def circles(imports):
    """Groups of modules each of which reaches all others of its group: modules, and the set that each imports."""
    while ends := {module for module, found in imports.items() if not found & imports.keys()}:  # none is in a circle
        imports = {module: found for module, found in imports.items() if module not in ends}
    reached = {module: set(found) for module, found in imports.items()}
    for through in imports:
        for module in imports:
            if through in reached[module]:
                reached[module] |= reached[through]
    return {frozenset(b for b in reached[a] if a in reached[b]) for a in imports if a in reached[a]}


def test_no_modules_import_each_other_in_a_circle():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {frozenset("bc")}
    modules = {"suite", *modules_of("suite")}
    imports = {module: set(lines_of_import(module)) & modules - {module} for module in modules}
    assert circles(imports) == set()


def test_what_reads_and_what_starts_runs_hold_no_torch():
    """In one process: the gate, then all that reads, then all that starts runs, which composes by Hydra."""
    reading = [module for layer in MAY_IMPORT if layer not in NEEDS_TORCH for module in modules_of(layer)]
    reading = [module for module in reading if not module.startswith("suite.run.compose")]
    plans = [module for module in modules_of("suite") if module.endswith(".plan")]
    starting = ["suite.commands.run", *plans, *modules_of("suite.quality.tasks")]
    by_gate, by_reading, by_starting = held_after(
        ["suite.commands.application", "suite.gate.command"], reading, starting
    )
    assert not {"pyarrow", "pandas", "plotly", "torch"} & by_gate
    assert not RUNS_ONLY & by_reading
    assert "torch" not in by_starting


IN_THE_GATES_GROUP = {"numpy", "yaml", "psutil", "typer", "filelock", "pynvml"}
"""What the packages of pyproject.toml's group `gate` are imported as."""


def test_the_gate_needs_the_packages_of_its_group_alone():
    modules = ["suite.commands.application", *modules_of("suite.gate")]
    others = {name for module in modules for name in reached_from(module) if name.partition(".")[0] != "suite"}
    assert others - sys.stdlib_module_names - {"__future__"} <= IN_THE_GATES_GROUP


def test_hydra_is_imported_by_composing_alone():
    """In no line of any other module, in functions neither."""
    modules = modules_of("suite")
    packages = {name: {line.split(".")[0] for line in lines_of_import(name)} for name in modules}
    importers = [name for name in modules if {"hydra", "omegaconf"} & packages[name]]
    assert importers
    assert all(name.startswith("suite.run.compose.") for name in importers)


INTERVALS = {"seed_mean": {"formats"}, "stratified_bootstrap": {"frames", "efficiency"}}
"""Intervals of one arm, and who makes them: for bands of lines, and the cells of means."""


def test_the_report_judges_arms_by_the_one_rule_alone():
    for path in (ROOT / "suite" / "report").rglob("*.py"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("suite.statistics"):
                assert node.module not in ("suite.statistics.student", "suite.statistics.holm"), path
                assert all(path.stem in INTERVALS.get(one.name, {path.stem}) for one in node.names), path
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                ends = [side for side in sides if isinstance(side, ast.Attribute) and side.attr in ("low", "high")]
                assert not ends or not any(isinstance(side, ast.Constant) and side.value == 0 for side in sides), path


def test_the_command_and_the_pytest_plugin_import_nothing_dear():
    (held,) = held_after(["suite", "suite.__main__", "mla_grpo_suite_pytest"])
    assert not WATCHED & held
    assert {name for name in held if name.startswith("suite.")} == {"suite.__main__"}


def test_suite_alone_answers_without_typer_torch_or_pandas():
    look = "import sys; from suite.__main__ import main; sys.argv = ['suite']; main(); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True, cwd=ROOT)
    assert not WATCHED & set(ended.stdout.splitlines()[-1].split())
