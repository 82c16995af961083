"""The worker of a project's suite under valgrind: it takes no times, and lets callgrind count between its requests.

Run by path as `valgrind --tool=callgrind … python counting_worker.py JSON`, with Python 3.9 or later and the standard
library alone, like pytest_worker.py beside it, which does all else. Requests to valgrind ("client requests") are an
instruction sequence that does nothing on a real processor, with a number in a register (valgrind/valgrind.h and
callgrind/callgrind.h, of which these are the constants). Callgrind writes each count into a file of its own, which the
judge reads: what the code under test says of itself is no part of it.
"""

import ctypes
import gc
import importlib
import mmap
import platform
import sys
from time import perf_counter

IS_VALGRIND = 0x1001
CALLGRIND = (ord("C") << 24) | (ord("T") << 16)
DUMP, ZERO, START, STOP = CALLGRIND, CALLGRIND + 1, CALLGRIND + 4, CALLGRIND + 5
SEQUENCES = {
    # rax: the address of six words; rdx: what is returned elsewhere than under valgrind, 0.
    "x86_64": "4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3",
}
"""mov rax, rdi; xor edx, edx; four rotations of rdi by 128 bits in all; xchg rbx, rbx; mov rax, rdx; ret."""
FEW = 1
LEAST_MORE, MOST_MORE, COUNTED_S = 4, 256, 0.5
"""More calls in the second count than in the first, as many as take about this time under valgrind."""


class Valgrind:
    """Sends client requests to valgrind."""

    def __init__(self) -> None:
        """Make the instruction sequence callable. Raises RuntimeError on another architecture or without valgrind."""
        sequence = SEQUENCES.get(platform.machine())
        if sequence is None:
            raise RuntimeError(f"instructions can be counted on {', '.join(SEQUENCES)}; this is {platform.machine()}")
        self._code = _executable_page()
        self._code.write(bytes.fromhex(sequence))
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._code))
        self._call = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p)(address)
        if not self.ask(IS_VALGRIND):
            raise RuntimeError("instructions are counted under valgrind alone")

    def ask(self, request: int) -> int:
        """Send a request, as START or DUMP, and return valgrind's answer; 0 without valgrind."""
        words = (ctypes.c_size_t * 6)(request)
        return int(self._call(ctypes.addressof(words)))


def _executable_page() -> mmap.mmap:
    if sys.platform != "win32":
        return mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    raise RuntimeError("instructions are counted under valgrind alone")


def main(argument: str) -> None:
    """Run the pytest worker with calls that are counted in place of timed. `argument`: its request as JSON."""
    worker = importlib.import_module("pytest_worker")
    valgrind = Valgrind()

    class CountedCall(worker.Call):  # type: ignore[name-defined, misc]
        """A call whose samples are two counts, of a few calls and of more."""

        def sample(self, stats: object) -> dict[str, object]:
            """Let callgrind write two counts, of FEW calls and of `more` further ones; the answer is `more`."""
            args, kwargs = self.arguments()
            function = self.function
            gc.collect()
            with worker.loop.undisturbed(disables_gc=True):
                valgrind.ask(START)
                function(*args, **kwargs)  # valgrind translates what it has not seen
                begun = perf_counter()
                function(*args, **kwargs)
                call_s = perf_counter() - begun
                more = LEAST_MORE
                while more < MOST_MORE and 2 * more * call_s < COUNTED_S:
                    more *= 2
                for calls in (FEW, FEW + more):
                    valgrind.ask(ZERO)
                    for _ in range(calls):
                        function(*args, **kwargs)
                    valgrind.ask(DUMP)
                valgrind.ask(STOP)
            return {"more": more}

    worker.Call = CountedCall  # type: ignore[attr-defined]
    worker.main(argument)


if __name__ == "__main__":
    main(sys.argv[1])
