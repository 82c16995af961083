"""Compile the Triton decode kernel for GPUs, of which it needs none, and print what the compiler says as JSON.

    python -m tests.kernels.compile_for sm_90 sm_100     # with the Triton at hand
    python -m tests.kernels.compile_for --each-once      # a kernel for the first architecture that launches it
    python -m tests.kernels.compile_for --write sm_100   # into compiled/sm_100.yaml, for every version that it has
    python -m tests.kernels.compile_for --write          # into all lists, in about 8 minutes of one CPU

A process of its own: where TRITON_INTERPRET=1 is set, nothing is compiled.
"""

import ast
import contextlib
import functools
import hashlib
import inspect
import io
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas_version
from triton.compiler import ASTSource, compile

from suite.attention import triton_decode
from tests.kernels.launches import CHIPS, launched

COMPILED = Path(__file__).with_name("compiled")
HEAD = """\
# What the compiler says of each kernel that tests/kernels/launches.py finds, compiled for {architecture}, by version.
# `programs` is how many the launch counts on at once on a multiprocessor, `tensor_columns` are those of Blackwell's
# tensor memory. `kernel` is a digest of the code that was compiled. After a change of it, or of a launch:
#     .kernels/bin/python -m tests.kernels.compile_for --write
"""
# 3.6.0 comes with torch 2.11, 3.7.1 with torch 2.13, and 3.9.0 with torch 2.15 and `make test-kernels`.
NEWEST = "3.9.0"
VERSIONS = dict.fromkeys(CHIPS, (NEWEST,)) | {"sm_90": ("3.6.0", "3.7.1", NEWEST)}
LISTED = ("registers", "threads", "programs", "spilled_bytes", "shared_bytes", "tensor_columns", "products")
POINTERS = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}
PTXAS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers", re.DOTALL)
PRODUCT = re.compile(r"\b(wgmma|mma)\.(?:mma_async\.)?sync\.aligned\.(m\d+n\d+k\d+)")
TENSOR_MEMORY_PRODUCT = re.compile(r"\b(tcgen05)\.mma\.cta_group::1\.kind::(\w+)")


def report(architectures, *, each_once):
    """What was launched and what the compiler says of it, by architecture and name of the kernel."""
    kernels = {architecture: kernels_of(architecture) for architecture in architectures}
    first = {}
    for architecture, of_one in kernels.items():
        for name, (source, call, _) in of_one.items():
            code = (source.hash(), *options_of(call).items())
            first.setdefault(code if each_once else (architecture, code), (architecture, name))
    # Forks share what was composed and parsed so far.
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), multiprocessing.get_context("fork")) as pool:
        said = dict(zip(first.values(), pool.map(said_of, *zip(*first.values(), strict=True)), strict=True))
    return {
        "kernel": digest(),
        "architectures": {
            architecture: {
                "compiler": compiler_for(architecture),
                "launched": {name: call.launch.shared_bytes for name, (_, call, _) in of_one.items()},
                "compiled": {name: said[architecture, name] for name in of_one if (architecture, name) in said},
            }
            for architecture, of_one in kernels.items()
        },
    }


def compiler_for(architecture):
    """Versions of Triton and of its ptxas, of which older ones have another for Blackwell."""
    ptxas = re.search(r" V(\S+)", get_ptxas_version(number_of(architecture)))[1]
    return f"Triton {triton.__version__}, ptxas {ptxas}"


def number_of(architecture):
    return int(architecture.removeprefix("sm_"))


@functools.cache
def kernels_of(architecture):
    """Source, call and askers of each kernel, by its name."""
    kernels, sources = {}, set()
    for asker, call in launched(CHIPS[architecture]):
        source = source_of(call)
        _, _, askers = kernels.setdefault(name_of(call), (source, call, []))
        if asker not in askers:
            askers.append(asker)
        sources.add((source.hash(), *options_of(call).items()))
    assert len(kernels) == len(sources), "two kernels have one name"
    return kernels


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
    whole = "" if call.arguments[3].dtype is torch.float32 else ", unsplit"
    key = f"{launch.first} + {launch.rest}" if launch.rest else f"{launch.first}"
    value = f"{options['VALUE']} in it" if options["VALUE_IN_KEY"] else f"{options['VALUE']}"
    return (
        f"{dtype}, {options['QUERY_LEN']} new, key {key}, value {value}: {launch.row_block} x {launch.key_block}, "
        f"{launch.warps} warps, {launch.stages} stages{whole}"
    )


def options_of(call):
    return {name: call.options[name] for name in ("num_warps", "num_stages") if name in call.options}


def said_of(architecture, name):
    source, call, askers = kernels_of(architecture)[name]
    target = GPUTarget("cuda", number_of(architecture), 32)
    with contextlib.redirect_stdout(io.StringIO()) as log, knobs.nvidia.scope(), knobs.compilation.scope():
        knobs.nvidia.dump_ptxas_log = knobs.compilation.always_compile = True
        kernel = compile(source, target=target, options=options_of(call))
    ((stores, loads, registers),) = PTXAS.findall(log.getvalue())
    ptx = kernel.asm["ptx"]
    products = [" ".join(product) for product in PRODUCT.findall(ptx) + TENSOR_MEMORY_PRODUCT.findall(ptx)]
    return {
        "registers": int(registers),
        "spilled_bytes": [int(stores), int(loads)],
        "shared_bytes": kernel.metadata.shared,
        "tensor_columns": kernel.metadata.tmem_size or 0,
        "products": {product: products.count(product) for product in sorted(set(products))},
        "threads": 32 * kernel.metadata.num_warps,
        "programs": call.launch.programs if call.kernel is triton_decode.attend_split else 1,
        "row_block": call.launch.row_block,
        "branches": call.launch.branches,
        "warps_of_products": re.findall(r"nvidia_mma<.*?warpsPerCTA = (\[.*?\])", kernel.asm["ttgir"]),
        "for": askers,
    }


def digest():
    """Return a digest of the kernels' code, its comments and docstrings left out."""
    tree = _WithoutTexts().visit(ast.parse(inspect.getsource(triton_decode)))
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:12]


class _WithoutTexts(ast.NodeTransformer):
    def visit_Expr(self, node):
        return None if isinstance(node.value, ast.Constant) else node


def write(architectures):
    """Write golden lists, each version of Triton in a process of its own."""
    lines = {architecture: [f"kernel: {digest()}"] for architecture in architectures}
    for version in sorted({version for architecture in architectures for version in VERSIONS[architecture]}):
        compiled_by_it = [architecture for architecture in architectures if version in VERSIONS[architecture]]
        with tempfile.TemporaryDirectory() as folder:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            subprocess.run([*pip, "--target", folder, f"triton=={version}"], check=True)
            command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.compile_for", *compiled_by_it]
            ended = subprocess.run(
                command, env={**os.environ, "PYTHONPATH": folder}, stdout=subprocess.PIPE, check=True
            )
        for architecture, of_one in json.loads(ended.stdout)["architectures"].items():
            lines[architecture] += [f"{of_one['compiler']}:"]
            lines[architecture] += [
                f"  {json.dumps(name)}: {json.dumps({quantity: said[quantity] for quantity in LISTED})}"
                for name, said in of_one["compiled"].items()
            ]
            print(version, architecture, len(of_one["compiled"]), flush=True)
    for architecture, list_lines in lines.items():
        text = HEAD.format(architecture=architecture) + "\n".join(list_lines) + "\n"
        COMPILED.joinpath(f"{architecture}.yaml").write_text(text, encoding="utf-8")


def main(arguments):
    options = {argument for argument in arguments if argument.startswith("--")}
    architectures = [argument for argument in arguments if argument not in options] or list(CHIPS)
    if "--write" in options:
        write(architectures)
    else:
        print(json.dumps(report(architectures, each_once="--each-once" in options)))


if __name__ == "__main__":
    main(sys.argv[1:])
