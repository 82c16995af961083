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

It is built for the CPU at hand at its first use, in ten to twenty seconds, by the machinery with which torch compiles
its own kernels, and is kept beside those (TORCHINDUCTOR_CACHE_DIR). Importing that machinery and asking it for the
flags takes three seconds, so other processes load the kernel by its name.
"""

import ctypes
import functools
import getpass
import hashlib
import math
import os
import platform
import tempfile
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor
from torch._C._profiler import _RecordFunctionFast as Watched  # torch.profiler.record_function takes ten microseconds

SOURCES = ("problem.h", "rows.h", "tiles.h", "decode.cpp")
FUNCTIONS = {torch.float32: "decode_float", torch.bfloat16: "decode_bfloat16"}
PRODUCTS = ("vectors", "AVX512-BF16's pairs", "AMX's tiles")
"""The kernel's ways to multiply, as `problem.h` numbers them."""
OPERATOR = "suite::cpp_decode"
"""The kernel's name for torch's profiler."""
KEY_LENGTH = 16
"""Letters of what a kernel was built from, in its file's name."""
LEAST_KEYS = 256
"""Keys of a part, at least: the sums of its rows are written and read once more."""
NUMBERS = (
    *("batch", "kv_heads", "rows", "query_len", "seq_len", "d", "v", "splits", "threads"),
    *("q_b", "q_g", "q_h", "q_s", "k_b", "k_g", "k_t", "v_b", "v_g", "v_t"),
)


class Sizes(ctypes.Structure):
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
    lengths_B: Tensor | None = None,
) -> Tensor:
    """Return o_BHSv, causal, with the last query of a sequence seeing all its keys.

    The columns of each tensor must be adjacent. `products`: see `products_for`. `splits`: the parts of every sequence.
    `lengths_B`: the keys of each sequence, int64; None where all have as many as there are slots. Slots behind them are
    not read.
    """
    (batch, heads, query_len, d), (kv_heads, seq_len, v) = q_BHSd.shape, (*k_BGTd.shape[1:3], v_BGTv.shape[3])
    assert q_BHSd.stride(3) == k_BGTd.stride(3) == v_BGTv.stride(3) == 1, "columns must be adjacent"
    assert lengths_B is None or (lengths_B.dtype is torch.int64 and lengths_B.is_contiguous())
    group, (q_b, q_h, q_s, _) = heads // kv_heads, q_BHSd.stride()
    sizes = Sizes(
        *(batch, kv_heads, group * query_len, query_len, seq_len, d, v, splits, torch.get_num_threads()),
        *(q_b, group * q_h, q_h, q_s, *k_BGTd.stride()[:3], *v_BGTv.stride()[:3]),
        scale,
    )
    o_BHSv = q_BHSd.new_empty(batch, heads, query_len, v)
    lengths = None if lengths_B is None else lengths_B.data_ptr()
    pointers = (q_BHSd.data_ptr(), k_BGTd.data_ptr(), v_BGTv.data_ptr(), lengths, o_BHSv.data_ptr())
    with Watched(OPERATOR):
        getattr(library(), FUNCTIONS[q_BHSd.dtype])(ctypes.byref(sizes), *pointers, products)
    return o_BHSv


def products_for(dtype: torch.dtype, rows: int, d: int, v: int, most: int = len(PRODUCTS) - 1) -> int:
    """Return which of PRODUCTS this machine's build takes, none beyond `most`; bfloat16 alone has a choice.

    `rows`: query heads of a key-value head × new tokens; `d`, `v`: widths of a key and of a value.
    """
    if dtype is not torch.bfloat16:
        return 0
    found: int = library().products_of(ctypes.byref(Sizes(rows=rows, d=d, v=v)), most)
    return found


def splits_for(pairs: int, seq_len: int, threads: int) -> int:
    """Return the fewest parts of each sequence that give every thread as many of them.

    `pairs`: key-value heads of all sequences, each of which is a piece of work.
    """
    return max(1, min(threads // math.gcd(threads, pairs), seq_len // LEAST_KEYS))


@functools.cache
def library() -> ctypes.CDLL:
    """Return the kernel, built where no process has built it yet. Raises what torch or the loader does if it cannot."""
    if not is_built():
        _build(_path())
    found = ctypes.CDLL(str(_path()))
    for name in FUNCTIONS.values():
        getattr(found, name).argtypes = [ctypes.POINTER(Sizes), *[ctypes.c_void_p] * 5, ctypes.c_int]
    return found


def is_built() -> bool:
    """Return whether a kernel of these sources, for this CPU and this torch, is kept here."""
    return _path().exists()


def flags() -> str:
    """Return what the compiler was told."""
    return _path().with_suffix(".txt").read_text(encoding="utf-8")


def _path() -> Path:
    """Return the kernel's file, in the folder of torch's own compiled kernels."""
    folder = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or Path(tempfile.gettempdir(), f"torchinductor_{_user()}"))
    # The flags say "native": a folder that machines share must tell their CPUs apart.
    asked = [os.environ.get(name, "") for name in ("ATEN_CPU_CAPABILITY", "CXX")]
    key = hashlib.sha256("\n".join((_text(), torch.__version__, _instructions(), *asked)).encode()).hexdigest()
    return folder / f"suite_decode_{key[:KEY_LENGTH]}.so"


def _user() -> str:
    """Return who runs this, as torch names its folder: a container's user may have a number alone."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid_{os.getuid()}"


def _build(path: Path) -> None:
    from torch._inductor import config  # with what follows takes seconds to import
    from torch._inductor.codecache import CppCodeCache
    from torch._inductor.cpp_builder import CppTorchDeviceOptions
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    # Else torch first compiles a small program for each set of instructions, which takes longer than the kernel does.
    with config.patch({"cpp.vec_isa_ok": True}):
        # torch's own key knows the flags and not the CPU.
        built = CppCodeCache.load(f"{_text()}// {path.stem}")
        options = CppTorchDeviceOptions(vec_isa=pick_vec_isa(), device_type="cpu")
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path.with_suffix(".txt"), " ".join(f"-{flag}" for flag in options.get_cflags()).encode())
    _write(path, Path(built._name).read_bytes())


def _write(path: Path, content: bytes) -> None:
    """Write a whole file or none: others build the same."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)


@functools.cache
def _text() -> str:
    folder = resources.files(__package__)
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in SOURCES)


def _instructions() -> str:
    """Return the instructions that this CPU has, as Linux lists them; elsewhere its name."""
    if platform.system() == "Linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
    return platform.processor()
