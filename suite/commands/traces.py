"""`suite trace`: batches of attention in flashinfer-bench's format, read and written.

A folder of that format has definitions/OP/NAME.json, each with what a kernel computes and its fixed sizes;
workloads/OP/NAME.jsonl, the batches that it meets; and files of safetensors with the tables of their pages. `read`
prints the command that measures a file's batches here, and `write` adds the batches of recorded runs to such a folder.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from suite.configuration.untrusted import parse_json
from suite.configuration.values import clipped
from suite.machine.installation import install_command
from suite.machine.plain_text import say
from suite.records.record import Status
from suite.records.stores.files import write_whole
from suite.records.stores.store import check_folders, each_run
from suite.records.verify.faults import whole_runs
from suite.theory.layers.attention_plan import AttentionPlan
from suite.theory.layers.flashinfer_bench import DTYPES, OPS, Kernel, definition_of, kernel_of, workload_of

DONE, BROKEN = 0, 4
MOST_BYTES = 16 << 20
"""Of a file of JSON, and of the lengths that it names in all: a stranger's may name more than memory holds."""
MOST_SEQUENCES = MOST_BYTES // 8
MOST_BATCHES_A_LINE = 50  # Linux takes no argument above 128 KiB
NAME = re.compile(r"[\w.-]{1,200}")
Batch = Sequence[tuple[int, int]]
"""New and all tokens of each sequence."""


def read(files: Sequence[Path]) -> int:
    """Print for each file of workloads the commands that measure its batches here, each batch once.

    Raises ValueError for a file that is not of this format, and for a kernel that this suite does not have.
    """
    for file in files:
        root = next((folder for folder in file.absolute().parents if (folder / "definitions").is_dir()), None)
        if root is None:
            raise ValueError(f"workloads must lie below the folder that has their definitions/; got {str(file)!r}")
        try:
            left, by_name = MOST_SEQUENCES, defaultdict[str, list[Any]](list)
            for line in filter(str.strip, _lines(file)):
                entry = _parsed(line, file)
                by_name[str(entry["definition"])].append(entry["workload"])
            for name, workloads in by_name.items():
                kernel, inputs = _read_definition(name, root)
                batches = []
                for workload in workloads:
                    batches.append(_read_batch(workload, inputs, kernel, root))
                    left -= len(batches[-1])
                    if left < 0:
                        raise ValueError(f"{file} must have at most {MOST_SEQUENCES:,} sequences in all")
                _print_commands(name, kernel, batches)
        except (KeyError, TypeError, AttributeError, OSError, _safetensors().SafetensorError) as error:
            complaint = f"{type(error).__name__}: {error}"
            raise ValueError(f"{file} must be workloads as flashinfer-bench writes them; got {complaint}") from error
    return DONE


def _print_commands(name: str, kernel: Kernel, batches: Sequence[Batch]) -> None:
    empty = sum(not all(sequence) for batch in batches for sequence in batch)
    specifications = list(dict.fromkeys(filter(None, map(_specification, batches))))
    left_out = f"; {empty} sequences without tokens are left out" if empty else ""
    say(f"# {name}: {len(batches)} workloads, {len(specifications)} different batches{left_out}")
    for first in range(0, len(specifications), MOST_BATCHES_A_LINE):
        chosen = ",".join(specifications[first : first + MOST_BATCHES_A_LINE])
        say(f"suite run -m {' '.join(kernel.settings())} seqs={chosen}")


def _specification(batch: Batch) -> str:
    counts = Counter(sequence for sequence in batch if all(sequence))
    return "_".join(f"{counts[new, length]}q{new}s{length}" for new, length in sorted(counts))


def _read_definition(name: str, root: Path) -> tuple[Kernel, Collection[str]]:
    """The kernel of a definition, and the names of its inputs. Raises ValueError."""
    paths = sorted((root / "definitions").glob(f"*/{name}.json")) if NAME.fullmatch(name) else []
    if len(paths) != 1:
        raise ValueError(f"a workload's definition must be the name of one file of definitions/; got {clipped(name)}")
    definition = _parsed("".join(_lines(paths[0])), paths[0])
    op, inputs = definition["op_type"], definition["inputs"]
    if op not in OPS or ("qo_indptr" in inputs and "causal" not in name):
        raise ValueError(
            f"a definition must be of causal attention, of {', '.join(OPS)}; got {clipped(op)} in {paths[0]}"
        )
    sizes = {axis: int(entry["value"]) for axis, entry in definition["axes"].items() if entry["type"] == "const"}
    dtypes = {inputs[name]["dtype"] for name in ("q", "q_nope", "k", "k_cache", "ckv_cache") if name in inputs}
    if len(dtypes) > 1 or dtypes - {*DTYPES}:
        raise ValueError(
            f"queries and cache must both be in one of {', '.join(DTYPES)}; got {', '.join(dtypes)} in {paths[0]}"
        )
    return Kernel(op=op, sizes=sizes, dtype=dtypes.pop()), inputs.keys()


def _read_batch(workload: Mapping[str, Any], inputs: Collection[str], kernel: Kernel, root: Path) -> Batch:
    """Raises ValueError for sequences that cannot be."""
    page_size = kernel.sizes.get("page_size", 1)
    pages = _differences(_read_tensor("kv_indptr", workload, root))
    new = _differences(_read_tensor("qo_indptr", workload, root)) if "qo_indptr" in inputs else [1] * len(pages)
    if "kv_last_page_len" in inputs:
        used = _read_tensor("kv_last_page_len", workload, root)
    elif page_size == 1:
        used = [1] * len(pages)
    else:
        raise ValueError(f"kv_last_page_len must be an input where a page has {page_size} tokens")
    lengths = [max(0, count - 1) * page_size + last * bool(count) for count, last in zip(pages, used, strict=False)]
    batch = list(zip(new, lengths, strict=False))
    has_gaps = not len(new) == len(pages) == len(used) or min([*new, *pages, *used], default=0) < 0
    if has_gaps or any(length and queries > length for queries, length in batch):
        raise ValueError(f"a sequence must have as many tokens as new ones, or more; got {clipped(workload['uuid'])}")
    return batch


def _differences(ends: Sequence[int]) -> list[int]:
    return [end - start for start, end in pairwise(ends)]


def _read_tensor(name: str, workload: Mapping[str, Any], root: Path) -> list[int]:
    """A list of whole numbers among a workload's inputs. Raises ValueError for what is none."""
    source = workload["inputs"][name]
    if source["type"] != "safetensors":
        raise ValueError(f"{name} must come from a file of safetensors; got {clipped(source)}")
    with _safetensors().safe_open(root / source["path"], framework="numpy") as file:
        shape = file.get_slice(source["tensor_key"]).get_shape()
        if len(shape) != 1 or shape[0] > MOST_SEQUENCES:
            raise ValueError(f"{name} must be a list of at most {MOST_SEQUENCES:,} numbers; got the shape {shape}")
        return [int(number) for number in file.get_tensor(source["tensor_key"])]


def write(folders: Sequence[Path], to: Path) -> int:
    """Add the batch of each recorded decode step of attention to a folder of flashinfer-bench's format; what is there
    already stays. Returns 4 where a run is damaged or has a fault, which is left out.

    Pages are numbered in an order that is drawn; a cache in one piece is written as pages of one token, in order.
    Raises ValueError for a folder whose definition of a name is another one.
    """
    safetensors = _safetensors()
    check_folders(folders)
    faulty, foreign, added = list[Path](), 0, set[str]()
    for run in whole_runs(each_run(folders), faulty):
        record = run.record
        if record.case.workload != "attention" or record.status is not Status.OK:
            continue
        plan = AttentionPlan(record.settings)
        kernel = kernel_of(plan)
        if kernel is None:
            foreign += 1
            continue
        definition = definition_of(kernel, is_decode=all(group.query_len == 1 for group in plan.sequences))
        name = _write_definition(definition, to)
        entry, tensors = workload_of(definition, kernel, plan)
        path = to / "workloads" / kernel.op / f"{name}.jsonl"
        lines = _lines(path) if path.exists() else []
        if any(entry["workload"]["uuid"] in line for line in lines):
            continue
        blob = to / entry["workload"]["inputs"]["kv_indptr"]["path"]
        for place in (blob, path):
            place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(blob, safetensors.numpy.save(tensors))
        write_whole(path, "".join(line.rstrip() + "\n" for line in (*lines, json.dumps(entry))).encode())
        added.add(entry["workload"]["uuid"])
    say(f"{len(added)} workloads written; {foreign} runs of attention have no definition in this format")
    return BROKEN if faulty else DONE


def _write_definition(definition: Mapping[str, Any], to: Path) -> str:
    """Write a definition where there is none of its name, which is returned. Raises ValueError for another one."""
    name: str = definition["name"]
    path = to / "definitions" / definition["op_type"] / f"{name}.json"
    if path.exists():
        other = _parsed("".join(_lines(path)), path)
        if [*other.get("inputs", ())] != [*definition["inputs"]]:
            raise ValueError(f"{path} must have the inputs {', '.join(definition['inputs'])}; it has others")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(definition, indent=2).encode())
    return name


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ValueError(
            f"suite trace needs safetensors, which is not installed: {install_command('traces')} ({error})"
        ) from error
    return safetensors


def _lines(path: Path) -> list[str]:
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path} is larger than {MOST_BYTES} bytes")
    return content.decode().splitlines()


def _parsed(text: str, path: Path) -> Any:
    try:
        return parse_json(text.encode())
    except ValueError as error:
        raise ValueError(f"{path} must be JSON; it {error}") from error
