"""The C++ decode kernel over its cases, with sanitizers of addresses and of undefined behaviour; and changed by a line.

    python tests/kernels/decode_cases.py

Prints what the cases end as for each set of instructions that torch knows of on this CPU, then a line a change. Ends
with 1 if a case is wrong, a sanitizer stops one, or a changed line passes.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.cpu_vec_isa import pick_vec_isa, valid_vec_isa_list
from torch.utils.cpp_extension import TORCH_LIB_PATH, include_paths

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))

from suite.attention.cpp_decode import kernel  # noqa: E402

SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g1")
BASELINE = ("-DCPU_CAPABILITY=DEFAULT", "-DCPU_CAPABILITY_DEFAULT")
"""What torch's vector class is compiled for where a CPU has none of its sets of instructions."""


@dataclass(frozen=True)
class Change:
    what: str
    file: str
    before: str
    after: str


CHANGES = (
    Change("nothing", "rows.h", "", ""),
    Change("a new token does not see itself", "problem.h", "row % z.query_len + 1 - from", "row % z.query_len - from"),
    Change(
        "new tokens and heads of a query swapped",
        "problem.h",
        "row / z.query_len * z.q_h + row % z.query_len * z.q_s",
        "row / z.query_len * z.q_s + row % z.query_len * z.q_h",
    ),
    Change("columns behind the last whole vector left out", "rows.h", "if (whole < d)", "if (whole < 0)"),
    Change("sums not brought to a new maximum", "rows.h", "(load(sums + c) * factor).store", "load(sums + c).store"),
    Change("total not brought to a new maximum", "rows.h", "(load(lanes) * factor).store(lanes);", ""),
    Change("weights of keys not seen left as they were", "rows.h", "std::fill(s + seen, s + keys, 0.0f);", ""),
    Change("values read at the pace of keys", "rows.h", "block.v + c, block.v_t, keys", "block.v + c, block.k_t, keys"),
    Change("scores not scaled in the softmax", "rows.h", "fmsub(load(s + j), scale,", "fmsub(load(s + j), Vec(1.0f),"),
    Change("lengths of sequences ignored", "decode.cpp", "lengths ? lengths[b] : z.seq_len", "z.seq_len"),
    Change(
        "parts joined by their maxima alone", "decode.cpp", "x.most.data()[r] + std::log(total)", "x.most.data()[r]"
    ),
    Change("pages of the first sequence for all", "decode.cpp", "pages + b * z.pages", "pages"),
    Change("a page's tokens read from its first on", "problem.h", "+ t % z_.page * z_.k_t", ""),
    Change("values of the keys' page number", "problem.h", "pages_[t / z_.page] * z_.v_b", "t / z_.page * z_.v_b"),
    Change("a block goes on behind its page", "problem.h", "if (t % z_.page + keys <= z_.page)", "if (t >= 0)"),
    Change("every part begins with the first key", "decode.cpp", "std::min(length, split * each)", "int64_t(0)"),
)
IN_TILES = (
    Change(
        "keys behind the last one weighed", "tiles.h", "bool is_masked = padded != keys;", "bool is_masked = false;"
    ),
    Change("weights not turned to rows", "tiles.h", "transpose(pairs);", ""),
    Change("the second tile of rows is the first", "tiles.h", "query + next_query + c * ROWS", "query + c * ROWS"),
    Change("the left value for the right", "tiles.h", "pair + TILE, right)", "pair + TILE, left)"),
)
"""These are made on a CPU with AMX only."""


def build(folder, flags, change=CHANGES[0]):
    """Return the path of a program of the kernel, with a change in it, and of its cases."""
    texts = sources(change)
    source, program = Path(folder, "cases.cpp"), Path(folder, "cases")
    cases = Path(__file__).with_name("decode_cases.cpp").read_text(encoding="utf-8")
    source.write_text("".join(texts.values()) + cases, encoding="utf-8")
    headers = [f"-isystem{path}" for path in include_paths()]
    libraries = [f"{TORCH_LIB_PATH}/libtorch_cpu.so", "-lc10", f"-L{TORCH_LIB_PATH}", f"-Wl,-rpath,{TORCH_LIB_PATH}"]
    usual = ("-std=c++20", "-O1", "-fopenmp", "-Wall", "-Wno-psabi", "-Wno-unused-variable")
    command = [get_cpp_compiler(), *usual, *flags, *headers, str(source), "-o", str(program), *libraries]
    subprocess.run(command, check=True)
    return program


def sources(change):
    """Return the kernel's sources by name, with a change in them."""
    texts = {name: (Path(kernel.__file__).parent / name).read_text(encoding="utf-8") for name in kernel.SOURCES}
    if change.before:
        assert texts[change.file].count(change.before) == 1, change
        texts[change.file] = texts[change.file].replace(change.before, change.after)
    return texts


def run(program):
    """Return how the cases ended: the exit status, and the last line said."""
    done = subprocess.run([program], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode, next((line for line in lines if "ERROR" in line or "error:" in line), lines[-1])


def native():
    return [*_macros(pick_vec_isa()), "-march=native"]


def _macros(instructions):
    return [f"-D{macro}" for macro in instructions.build_macro()]


def sanitized():
    """Yield each set of instructions, and how the cases end with sanitizers."""
    builds = {str(found): [*_macros(found), *found.build_arch_flags().split()] for found in valid_vec_isa_list()}
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in {"native": native(), **builds, "none": BASELINE}.items():
            yield name, *run(build(folder, [*flags, *SANITIZED]))


def changed():
    """Yield each change, and how the cases end with it."""
    with tempfile.TemporaryDirectory() as folder:
        has_tiles = kernel.products_for(torch.bfloat16, rows=32, d=64, v=64) == kernel.PRODUCTS.index("AMX's tiles")
        for change in (*CHANGES, *(IN_TILES if has_tiles else ())):
            yield change.what, *run(build(folder, native(), change))


def main():
    bad = False
    for name, status, said in sanitized():
        print(f"sanitized, {name}: {said}", flush=True)
        bad |= status != 0
    for what, status, said in changed():
        print(f"{what}: {said}", flush=True)
        bad |= (status == 0) != (what == CHANGES[0].what)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
