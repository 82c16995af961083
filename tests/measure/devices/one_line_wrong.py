"""One line of CUDA's clock, flush, rotation or capture changed at a time: tests on the simulated device must see it.

    OMP_NUM_THREADS=1 python tests/measure/devices/one_line_wrong.py

Prints a line a change, `seen` or `NOT SEEN`; ends with 1 if one was not seen. It takes minutes, and is no part of
`make test`.
"""

import io
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT))  # behind whatever copy is put first

from tests.wrong_lines import try_all  # noqa: E402

LEFT_OUT = "not rewards and not prefill and not latent"
TESTS = [str(Path(__file__).with_name(name)) for name in ("test_simulated_cuda.py", "test_simulated_cases.py")]
CUDA, CLOCK, GRAPH = "devices/cuda.py", "devices/cuda_clock.py", "devices/cuda_graph.py"
ROTATED = "rotated_buffers.py"


@dataclass(frozen=True)
class Change:
    what: str
    file: str
    before: str
    after: str


FLUSH = "warm = self._read()\n        self._filler."
CHANGES = (
    Change("nothing", CLOCK, "", ""),
    Change("the flush writes", CLOCK, FLUSH + "sum()", FLUSH + "zero_()"),
    Change("no flush before the span", CLOCK, FLUSH + "sum()", "warm = self._read()"),
    Change("nothing holds the device", CLOCK, "int(held_s *", "int(0 *"),
    Change("launches are not timed", CLOCK, "time.perf_counter() - wall)\n            now", "0.0)\n            now"),
    Change("the device is never too early", CLOCK, "float(is_ahead)", "1.0"),
    Change("the probe is cold both times", CLOCK, "        self._probe.sum()\n        warm", "        warm"),
    Change("half an L2 is flushed", CLOCK, "FLUSH_OVER_L2 * cache_bytes //", "cache_bytes // 2 //"),
    Change("the probe's cold time is its warm one", CLOCK, "ratio = cold[0]", "cold = warm; ratio = cold[0]"),
    Change("the end is marked too early", CLOCK, "            end.record()\n            thread", "            thread"),
    Change("milliseconds are taken for seconds", CLOCK, "(end) / 1e3 / count", "(end) / count"),
    Change("runs are not counted", CLOCK, "count = runs.get(span, 1)", "count = 1"),
    Change("the clock does not wait", CLOCK, "end.synchronize()  #", "begin.synchronize()  #"),
    Change("copies share their memory", ROTATED, "pointer: storage.clone() for", "pointer: storage for"),
    Change("one copy at most", ROTATED, "copies = min(wanted,", "copies = min(1,"),
    Change("a round is run once", ROTATED, "* math.ceil(LEAST_RUNS / copies)", "* 1"),
    Change("memory is not looked at", ROTATED, "1 + most_bytes // held_bytes(inputs)", "wanted"),
    Change("outputs are not emptied", GRAPH, "            output.zero_()", "            pass"),
    Change("the graph is not replayed", GRAPH, "        graph.replay()\n", ""),
    Change("nothing is compared", GRAPH, "if not is_same:", "if False:"),
    Change("a graph is launched as one run", GRAPH, "runs=len(rotated.runs), fact=fact", "runs=1, fact=fact"),
    Change("a failed capture is left open", GRAPH, "            graph.capture_end()", "            pass"),
    Change("only what takes 1 us is captured", GRAPH, "SHORT_S = 2e-3", "SHORT_S = 1e-6"),
    Change(
        *("a range holds the flush", CUDA),
        *("CudaFlush(l2_bytes(), launch_s), nvtx_range", "nvtx_range, CudaFlush(l2_bytes(), launch_s)"),
    ),
)  # fmt: skip


def outcome(change, folder):
    sys.path.insert(0, folder)
    import pytest

    with redirect_stdout(io.StringIO()):
        code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *TESTS, "-k", LEFT_OUT])
    return ("right" if code == 0 else "WRONG") if not change.before else ("NOT SEEN" if code == 0 else "seen")


def main():
    import pytest  # noqa: F401
    import torch._dynamo

    torch.set_num_threads(1)
    return int(bool({"NOT SEEN", "WRONG"} & {*try_all(CHANGES, "measure", outcome)}))


if __name__ == "__main__":
    sys.exit(main())
