"""Compile the Triton decode kernel for an H100, which needs none, and print what the compiler says as JSON.

    python -m tests.kernels.compile_for_h100                       # with the Triton at hand
    python -m tests.kernels.compile_for_h100 --write               # into h100.yaml, for every version that it has

A process of its own: where TRITON_INTERPRET=1 is set, nothing is compiled.
"""

import ast
import contextlib
import hashlib
import inspect
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from suite.attention import triton_decode
from tests.kernels.launches import launched

GOLDEN = Path(__file__).with_name("h100.yaml")
HEAD = """\
# What the compiler says of each kernel that tests/kernels/launches.py finds, compiled for an H100, by Triton's version:
# 3.6.0 comes with torch 2.11, 3.7.1 with torch 2.13. `programs` is how many the launch counts on at once on a
# multiprocessor. `kernel` is a digest of the code that was compiled. After a change of it, or of a launch:
#     .kernels/bin/python -m tests.kernels.compile_for_h100 --write
"""
VERSIONS = ("3.6.0", "3.7.1", "3.9.0")
KEPT = ("registers", "threads", "programs", "spilled_bytes", "shared_bytes", "products")
TARGET = GPUTarget("cuda", 90, 32)
POINTERS = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}
PTXAS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers", re.DOTALL)
PRODUCT = re.compile(r"\b(wgmma|mma)\.(?:mma_async\.)?sync\.aligned\.(m\d+n\d+k\d+)")


def figures():
    """Return what the compiler says of each kernel, by what makes it another than the rest."""
    found = {}
    for asker, call in launched():
        source = source_of(call)
        key = (source.hash(), *options_of(call).items())
        if key not in found:
            found[key] = {"name": name_of(call), **said_of(source, call), "for": []}
        if asker not in found[key]["for"]:
            found[key]["for"].append(asker)
    named = {said.pop("name"): said for said in found.values()}
    assert len(named) == len(found), "two kernels have one name"
    return named


def source_of(call):
    """Return a kernel for the arguments of a call, as Triton would make it: a whole number that is 1 is a constant."""
    signature, fixed, hints = {}, {}, {}
    for place, (parameter, value) in enumerate(zip(call.kernel.params, call.arguments, strict=False)):
        if isinstance(value, torch.Tensor):
            signature[parameter.name] = POINTERS[value.dtype]
        elif isinstance(value, float):
            signature[parameter.name] = "fp32"
        else:
            signature[parameter.name] = "i32" if value < 1 << 31 else "i64"
        is_special = not isinstance(value, float) and not parameter.do_not_specialize
        if is_special and not isinstance(value, torch.Tensor) and value == 1:
            signature[parameter.name], fixed[place,] = "constexpr", 1
        elif is_special and (isinstance(value, torch.Tensor) or value % 16 == 0):
            hints[place,] = [["tt.divisibility", 16]]
    for place, parameter in enumerate(call.kernel.params):
        if parameter.name in call.options:
            signature[parameter.name], fixed[place,] = "constexpr", call.options[parameter.name]
    assert list(signature) == call.kernel.arg_names
    return ASTSource(call.kernel, signature, fixed, hints)


def name_of(call):
    dtype = str(call.arguments[0].dtype).removeprefix("torch.")
    launch, options = call.launch, call.options
    if call.kernel is not triton_decode.attend_split:
        return f"join of {options['VALUE']} columns, {call.arguments[2].dtype}".replace("torch.", "")
    key = f"{launch.first} + {launch.rest}" if launch.rest else f"{launch.first}"
    value = f"{options['VALUE']} in it" if options["VALUE_IN_KEY"] else f"{options['VALUE']}"
    return (
        f"{dtype}, {options['QUERY_LEN']} new, key {key}, value {value}: {launch.row_block} x {launch.key_block}, "
        f"{launch.warps} warps, {launch.stages} stages"
    )


def options_of(call):
    return {name: call.options[name] for name in ("num_warps", "num_stages") if name in call.options}


def said_of(source, call):
    with contextlib.redirect_stdout(io.StringIO()) as log, knobs.nvidia.scope(), knobs.compilation.scope():
        knobs.nvidia.dump_ptxas_log = knobs.compilation.always_compile = True
        kernel = compile(source, target=TARGET, options=options_of(call))
    ((stores, loads, registers),) = PTXAS.findall(log.getvalue())
    ptx = kernel.asm["ptx"]
    products = [f"{kind} {shape}" for kind, shape in PRODUCT.findall(ptx)]
    return {
        "registers": int(registers),
        "spilled_bytes": [int(stores), int(loads)],
        "shared_bytes": kernel.metadata.shared,
        "products": {product: products.count(product) for product in sorted(set(products))},
        "threads": 32 * kernel.metadata.num_warps,
        "programs": call.launch.programs if call.kernel is triton_decode.attend_split else 1,
        "row_block": call.launch.row_block,
        "branches": call.launch.branches,
        "warps_of_products": re.findall(r"nvidia_mma<.*?warpsPerCTA = (\[.*?\])", kernel.asm["ttgir"]),
    }


def digest():
    """Return a digest of the kernels' code, its comments and docstrings left out."""
    tree = _WithoutTexts().visit(ast.parse(inspect.getsource(triton_decode)))
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:12]


class _WithoutTexts(ast.NodeTransformer):
    def visit_Expr(self, node):
        return None if isinstance(node.value, ast.Constant) else node


def write():
    """Write the golden figures of every version of Triton that they are kept for, each in a process of its own."""
    lines = [f"kernel: {digest()}"]
    for version in VERSIONS:
        with tempfile.TemporaryDirectory() as folder:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            subprocess.run([*pip, "--target", folder, f"triton=={version}"], check=True)
            command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.compile_for_h100"]
            ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": folder}, capture_output=True, check=True)
        kernels = json.loads(ended.stdout)["kernels"]
        lines += [f"{version}:", *(f"  {json.dumps(name)}: {json.dumps(kept(said))}" for name, said in kernels.items())]
        print(version, len(kernels), flush=True)
    GOLDEN.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def kept(said):
    """Return the figures that the golden list has."""
    return {quantity: said[quantity] for quantity in KEPT}


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        print(json.dumps({"triton": triton.__version__, "kernel": digest(), "kernels": figures()}))
