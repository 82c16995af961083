"""The suite's own decode kernel for CPUs, in C++: one for every variant, so that variants and not kernels are compared.

One new token reads the whole cache once, and does with each key what the rows that share it ask for: query heads of a
key-value head, and the new tokens beside them. From this follows what the kernel does:

- A block of keys is scored by all of a head's rows, softened, and its values are weighed, while it lies in the second
  cache: so memory is read once, and of MLA's keys, whose first columns are the value, nothing is read again. Running
  maxima and sums of the softmax join the blocks (M. Milakov and N. Gimelshein, arXiv 1805.02867).
- Rows and keys are multiplied in tiles, whose sums stay in registers (`rows.h`): a loaded key serves several rows, a
  loaded row several keys. In bfloat16 sums are float32 as well; where the CPU has them, two products at once (AVX512's
  BF16 instructions) or matrix units (AMX, `tiles.h`) make them.
- Pieces of work are key-value heads of sequences. Where threads outnumber them the context is cut too, and the parts
  are joined by the logarithms of their sums of exponentials (T. Dao et al., "Flash-Decoding").

It is built for the CPU at hand and one dtype at its first use, in some five seconds, by the machinery with which torch
compiles its own kernels, and is kept in the user's cache folder (`suite.machine.user_cache`). Importing that
machinery and asking it for the flags takes a second, so other processes load the kernel by its name.
"""

import ctypes
import functools
import hashlib
import math
import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor
from torch._C._profiler import _RecordFunctionFast as Watched  # torch.profiler.record_function takes ten microseconds

from suite.machine.environment import cpuinfo
from suite.machine.temporary import temporary_folder
from suite.machine.user_cache import kernels_folder, private_content
from suite.measure.workload import announce
from suite.records.stores.files import write_whole

SOURCES = ("problem.h", "rows.h", "tiles.h", "decode.cpp")
FUNCTIONS = {torch.float32: "decode_float", torch.bfloat16: "decode_bfloat16"}
# The kernel's ways to multiply, as `problem.h` numbers them.
PRODUCTS = ("vectors", "AVX512-BF16's pairs", "AMX's tiles")
OPERATOR = "suite::cpp_decode"  # the kernel's name for torch's profiler
KEY_LENGTH = 16  # letters of what a kernel was built from, in its file's name
LEAST_KEYS = 256  # keys of a part, at least: the sums of its rows are written and read once more
BLOCK_KEYS = 128  # of the kernel's largest block
PARTS_A_THREAD = 4  # of different lengths, at least: the last one's end is waited for
NUMBERS = (
    *("batch", "kv_heads", "rows", "query_len", "seq_len", "d", "v", "splits", "part", "page", "pages", "threads"),
    *("q_b", "q_g", "q_h", "q_s", "k_b", "k_g", "k_t", "v_b", "v_g", "v_t"),
)


class KernelSizes(ctypes.Structure):
    """The sizes of a problem and the strides of its tensors, as `problem.h` has them."""

    _fields_ = (*((name, ctypes.c_int64) for name in NUMBERS), ("scale", ctypes.c_float))


def decode(
    q_BHSd: Tensor,
    k_BGTd: Tensor,
    v_BGTv: Tensor,
    *,
    scale: float,
    products: int = 0,
    splits: int = 1,
    part: int = 0,
    lengths_B: Tensor | None = None,
    table_BP: Tensor | None = None,
) -> Tensor:
    """Causal attention o_BHSv by the C++ kernel, with the last query of a sequence seeing all its keys.

    The columns of each tensor must be adjacent. `products`: see `products_for`. `splits`: the parts of every sequence,
    or of the longest where a part has `part` keys. `lengths_B`: the keys of each sequence, int64; None where all have
    as many as there are slots. Slots behind them are not read. `table_BP`: the pages of each sequence, int32, where
    keys and values are pages, [pages, kv_heads, tokens of a page, width]; `lengths_B` is then needed.
    """
    (batch, heads, query_len, d), (kv_heads, seq_len, v) = q_BHSd.shape, (*k_BGTd.shape[1:3], v_BGTv.shape[3])
    page, pages, table = 0, 0, None
    if table_BP is not None:
        assert lengths_B is not None
        assert table_BP.dtype is torch.int32
        assert table_BP.is_contiguous()
        page, pages, table = seq_len, table_BP.shape[1], table_BP.data_ptr()
    assert q_BHSd.stride(3) == k_BGTd.stride(3) == v_BGTv.stride(3) == 1, "columns must be adjacent"
    assert lengths_B is None or (lengths_B.dtype is torch.int64 and lengths_B.is_contiguous())
    group, (q_b, q_h, q_s, _) = heads // kv_heads, q_BHSd.stride()
    sizes = KernelSizes(
        *(
            batch,
            kv_heads,
            group * query_len,
            query_len,
            seq_len,
            d,
            v,
            splits,
            part,
            page,
            pages,
            torch.get_num_threads(),
        ),
        *(q_b, group * q_h, q_h, q_s, *k_BGTd.stride()[:3], *v_BGTv.stride()[:3]),
        scale,
    )
    o_BHSv = q_BHSd.new_empty(batch, heads, query_len, v)
    lengths = None if lengths_B is None else lengths_B.data_ptr()
    pointers = (q_BHSd.data_ptr(), k_BGTd.data_ptr(), v_BGTv.data_ptr(), lengths, table, o_BHSv.data_ptr())
    with Watched(OPERATOR):
        getattr(library(q_BHSd.dtype), FUNCTIONS[q_BHSd.dtype])(ctypes.byref(sizes), *pointers, products)
    return o_BHSv


def products_for(dtype: torch.dtype, rows: int, d: int, v: int, most: int = len(PRODUCTS) - 1) -> int:
    """Index in PRODUCTS of the best way to multiply that this CPU has, at most `most`; 0 unless `dtype` is bfloat16.

    `rows`: query heads of a key-value head × new tokens; `d`, `v`: widths of a key and of a value.
    """
    if dtype is not torch.bfloat16:
        return 0
    product_count: int = library(dtype).products_of(ctypes.byref(KernelSizes(rows=rows, d=d, v=v)), most)
    return product_count


def splits_for(pairs: int, seq_len: int, threads: int) -> int:
    """The fewest parts to cut each context into so that all threads get equally many, each of LEAST_KEYS at least.

    `pairs`: key-value heads of all sequences, each of which is a piece of work.
    """
    return max(1, min(threads // math.gcd(threads, pairs), seq_len // LEAST_KEYS))


def parts_for(lengths: Sequence[int], kv_heads: int, threads: int) -> tuple[int, int]:
    """(parts of the longest context, keys of a part), where sequences differ in length: so small a part that the thread
    which takes the last one works little longer than the others, and of LEAST_KEYS at least."""
    longest, per_thread = max(lengths), sum(lengths) * kv_heads / threads
    part = longest
    if threads > 1:  # in whole blocks of keys, which pages of as many tokens do not cut
        part = max(LEAST_KEYS, math.ceil(min(longest, per_thread / PARTS_A_THREAD) / BLOCK_KEYS) * BLOCK_KEYS)
    return math.ceil(longest / part), part


@functools.cache
def library(dtype: torch.dtype = torch.float32) -> ctypes.CDLL:
    """Load a dtype's compiled kernel, built first if it is missing or unloadable. Raises OSError or RuntimeError."""
    path = kept_at(dtype)
    with suppress(OSError):  # it is not there, torn, or was built beside other libraries
        return _load(path)
    from filelock import FileLock  # here: see suite.measure.sealed

    with FileLock(path.with_suffix(".lock")):
        with suppress(OSError):  # nor has another process built it meanwhile
            return _load(path)
        _build(path, dtype)
    return _load(path)


def flags(dtype: torch.dtype) -> str:
    """Compiler flags that the kernel was built with, read from the text file beside it. Raises OSError without one."""
    return private_content(kept_at(dtype).with_suffix(".txt")).split(b"\n")[1].decode()


def kept_at(dtype: torch.dtype = torch.float32) -> Path:
    """Path of a dtype's compiled kernel for this CPU and this torch, built or not. Raises OSError without a folder."""
    # The flags say "native": a folder that machines share must tell their CPUs apart.
    chosen = [os.environ.get(name, "") for name in ("ATEN_CPU_CAPABILITY", "CXX")]
    key = hashlib.sha256("\n".join((_source_text(), torch.__version__, _instructions(), *chosen)).encode()).hexdigest()
    return kernels_folder() / f"suite_{FUNCTIONS[dtype]}_{key[:KEY_LENGTH]}.so"


def _load(path: Path) -> ctypes.CDLL:
    """Load a compiled kernel. Raises OSError if its sha256 is not the one in the text file beside it."""
    digest = hashlib.sha256(private_content(path)).hexdigest()
    # In the form that `sha256sum --check` reads.
    if private_content(path.with_suffix(".txt")).split(b"\n")[0] != f"{digest}  {path.name}".encode():
        raise OSError(f"{path} differs from the file that was built")
    library = ctypes.CDLL(str(path))
    for name in FUNCTIONS.values():
        with suppress(AttributeError):  # of the other dtype
            getattr(library, name).argtypes = [ctypes.POINTER(KernelSizes), *[ctypes.c_void_p] * 6, ctypes.c_int]
    return library


def _build(path: Path, dtype: torch.dtype) -> None:
    """Compile a dtype's kernel to `path`, and write its sha256 and compiler flags to a text file beside it."""
    name, start = str(dtype).removeprefix("torch."), time.perf_counter()
    announce(f"compiling the C++ decode kernel for {name} on this CPU, once: about 5 s")
    from torch._inductor import config  # with what follows takes seconds to import
    from torch._inductor.cpp_builder import CppBuilder, CppTorchDeviceOptions
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    about = path.with_suffix(".txt")
    for stale in (about, path):  # a link or a pipe too
        stale.unlink(missing_ok=True)
    # Else torch first compiles a small program for each set of instructions, which takes longer than the kernel does.
    with config.patch({"cpp.vec_isa_ok": True}), temporary_folder("kernel") as folder:
        options = CppTorchDeviceOptions(vec_isa=pick_vec_isa(), device_type="cpu")
        source = folder / "suite_decode.cpp"
        others = [function for other, function in FUNCTIONS.items() if other is not dtype]
        without = "".join(f"#define WITHOUT_{function.upper()}\n" for function in others)
        source.write_text(without + _source_text(), encoding="utf-8")
        builder = CppBuilder(source.stem, str(source), options, str(folder))
        builder.build()
        content = Path(builder.get_target_file_path()).read_bytes()
    flags = " ".join(f"-{flag}" for flag in options.get_cflags())
    digest = hashlib.sha256(content).hexdigest()
    for file, content_bytes in ((path, content), (about, f"{digest}  {path.name}\n{flags}\n".encode())):
        write_whole(file, content_bytes)
        file.chmod(0o600)  # whatever the umask is
    announce(f"compiled the C++ decode kernel for {name} in {time.perf_counter() - start:.0f} s")


@functools.cache
def _source_text() -> str:
    return "".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in SOURCES)


def _instructions() -> str:
    return cpuinfo().get("flags") or cpuinfo().get("Features") or platform.processor() or platform.machine()
