"""Every place in suite/ that opens a file or parses a text, and why it may: all others use the bounded loader."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

SUITE = Path(__file__).resolve().parents[1] / "suite"
READING = {"open", "read_text", "read_bytes", "fdopen"}
PARSING = {"loads", "safe_load", "safe_load_all", "ParquetFile", "read_parquet", "read_table", "safe_open", "ZipFile"}
PARSING |= {"GGUFReader", "GzipFile", "literal_eval", "fromstring", "unpack_archive", "read_csv", "memory_map"}
LOADERS = {"yaml", "json", "pickle", "torch", "OmegaConf", "np", "numpy", "toml", "tomllib", "marshal", "joblib"}
MAY_BE = re.compile(rf"\b({'|'.join(READING | PARSING | LOADERS)})\b")
OWN, SYSTEM, JUST_WRITTEN, BOUNDED, RUN_ANYWAY = (
    "a file of this package",
    "what the system says of this machine",
    "written by this process or its child a moment ago",
    "bounded: part of the loader, or by its own checks of size and form",
    "of a tree, a configuration or a package whose code runs with our rights anyway (SECURITY.md)",
)
MAY_READ = {
    OWN: """
        attention/cpp_decode/kernel.py _source_text Path(__file__).with_name(name).read_text
        commands/completion.py script Path(__file__).with_suffix(f'.{shell}').read_text
        theory/layers/flashinfer_bench.py _reference Path(spec.origin).read_text
        configuration/files.py described (conf_dir() / group / f'{name}.yaml').read_text
        configuration/files.py file_settings (conf_dir() / relative).read_text
        configuration/files.py _loaded path.read_text
        configuration/files.py _loaded yaml.load
        lm/shakespeare.py _read (folder / f'{name}{_ENDING}').read_text
        records/machine/code.py _digest path.read_bytes
        records/machine/code.py _imports path.read_bytes
        records/machine/environment.py read_commit (root / BUNDLED).read_text
        records/machine/environment.py source_digest path.read_bytes
        records/machine/installation.py install_command json.loads
        records/machine/installation.py install_command packages[0].read_text
        records/stores/board.py card Path(__file__).with_suffix('.md').read_text
        report/page/page.py _asset (HERE / folder / name).read_text
        report/page/page.py _libraries bundle.read_bytes
        """,
    SYSTEM: """
        gate/workers/worker_loop.py end path.read_bytes
        gate/workers/worker_loop.py run_delay_s open
        gate/workers/worker_trees.py _installed_files distribution.read_text
        gate/side_by_side/rounds.py _pressure path.read_text
        measure/child.py _limit_memory Path('/proc/self/status').read_text
        measure/cold.py last_level_cache_bytes kind.read_text
        measure/cold.py last_level_cache_bytes size.read_text
        measure/telemetry/machine.py _is_readable path.read_text
        measure/telemetry/machine.py _waited_s path.read_text
        measure/telemetry/nvml.py loaded_library MAPPED.read_text
        measure/telemetry/nvml.py loaded_library path.read_bytes
        measure/telemetry/rapl.py __init__ (folder / 'max_energy_range_uj').read_text
        measure/telemetry/rapl.py _read self._counter.read_text
        measure/telemetry/rapl.py packages path.read_text
        records/machine/environment.py cpuinfo Path('/proc/cpuinfo').read_text
        records/machine/environment.py _installation Path(path).read_text
        records/machine/limits.py _first_text path.read_text
        records/machine/limits.py _first_text Path('/proc/self/cgroup').read_text
        records/machine/limits.py oom_kills path.read_text
        run/launchers/cores.py count_busy_s path.read_text
        run/launchers/cores.py hardware_threads (topology / f'cpu{cpu}' / 'topology' / 'thread_siblings_list').read_text
        """,
    JUST_WRITTEN: """
        attention/cpp_decode/kernel.py _build Path(builder.get_target_file_path()).read_bytes
        commands/doctor.py _ask_torch json.loads
        commands/doctor.py _ask_torch json.loads
        commands/gpu_parts.py _examine json.loads
        commands/gpu_parts.py _part log.read_text
        gate/pytest_benchmark/project.py prepare log.read_text
        gate/workers/pytest_worker.py main json.loads
        gate/workers/worker_loop.py read json.loads
        measure/profiling.py record_trace json.loads
        measure/profiling.py record_trace path.read_text
        measure/worker.py _death_message stderr_log.read_text
        records/stores/folder.py _owner path.read_bytes
        rl/tasks/reasoning_gym.py __init__ json.loads
        run/launchers/ray.py is_ready pickle.loads
        run/launchers/ray.py measure pickle.loads
        run/launchers/remote.py __init__ pickle.loads
        run/launchers/remote.py describe pickle.loads
        run/launchers/remote.py measure pickle.loads
        """,
    BOUNDED: """
        console/watch.py state_lines json.loads
        commands/traces.py _read_tensor _safetensors().safe_open
        configuration/untrusted.py bounded_blocks path.open
        configuration/untrusted.py parse_json json.loads
        configuration/untrusted.py parse_yaml yaml.load
        configuration/untrusted.py parse_yaml yaml.parse
        lm/checkpoint/locate.py digest path.open
        lm/checkpoint/tensors.py stored_in path.open
        measure/sealed.py _read_checked torch.load
        measure/sealed.py read_sealed path.open
        records/stores/archive.py _plain_files tarfile.open
        records/stores/archive.py unpack archive.open
        records/stores/archive.py unpack gzip.open
        records/stores/board.py known_runs pq.ParquetFile
        records/stores/pack.py _index path.open
        records/stores/pack.py _index zipfile.ZipFile
        records/stores/pack.py blocks self.pack.open
        records/stores/pack.py pack_bytes zipfile.ZipFile
        records/stores/tables.py _opened pq.ParquetFile
        records/machine/temporary.py _has_our_mark (folder / MARK).read_bytes
        records/stores/pack.py _is_copy path.read_bytes
        report/command.py _page_digest path.open
        """,
    RUN_ANYWAY: """
        gate/workers/pytest_worker.py pytest_collectreport path.read_text
        gate/workers/worker_trees.py _note path.read_bytes
        gate/workers/worker_trees.py _used_digest path.read_bytes
        gate/pytest_benchmark/comparison.py _digest path.read_bytes
        gate/pytest_benchmark/comparison.py _runner_checks path.read_bytes
        gate/side_by_side/against.py _requirements (tree / 'pyproject.toml').read_text
        gate/side_by_side/against.py _requirements tomllib.loads
        gate/side_by_side/worker_client.py _death self._log.read_text
        gate/side_by_side/worker_client.py _received json.loads
        lm/checkpoint/tensors.py _read_gguf GGUFReader
        """,
}


def test_every_place_that_reads_is_listed_with_a_reason():
    listed = Counter(line.strip() for lines in MAY_READ.values() for line in lines.strip().splitlines())
    calls = Counter(call for path in SUITE.rglob("*.py") for call in calls_in(path))
    assert calls == listed, "a new one uses suite.configuration.untrusted, or stands here under its reason"


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("path.open()", 1),
        ("path.open('rb')", 1),
        ("path.open('wb')", 0),
        ("open(name, encoding='utf-8')", 1),
        ("open(name, mode='a')", 0),
        ("webbrowser.open(page)", 0),
        ("yaml.safe_load(text)", 1),
        ("torch.load(path)", 1),
        ("registry.load(name)", 0),
        ("OmegaConf.load(path)", 1),
        ("read_text('report', lang)", 0),
        ("path.read_text()", 1),
    ],
)
def test_what_reads_is_seen(tmp_path, line, count):
    (tmp_path / "some.py").write_text(line)
    assert len(list(calls_in(tmp_path / "some.py", tmp_path))) == count


def calls_in(path, top=SUITE):
    """Calls that read, as `file function call`; not what is opened for writing alone."""

    def walk(node, name):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = node.name
        if isinstance(node, ast.Call) and is_reader(node):
            yield f"{path.relative_to(top).as_posix()} {name} {ast.unparse(node.func)}"
        for inner in ast.iter_child_nodes(node):
            yield from walk(inner, name)

    text = path.read_text(encoding="utf-8")
    return walk(ast.parse(text), "") if MAY_BE.search(text) else ()  # to parse all 500 takes seconds


def is_reader(call):
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    holder = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if name in READING and holder not in ("os", "webbrowser"):
        modes = [node.value for node in [*call.args, *(word.value for word in call.keywords)] if is_mode(node)]
        is_written = any(set(mode) & set("wax") and "+" not in mode for mode in modes)
        return not is_written and (bool(holder) or name == "open")  # others are functions of our own
    return name in PARSING or (name in ("load", "parse", "load_all") and holder in LOADERS)


def is_mode(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and set(node.value) <= set("rwaxbt+:gz|")
