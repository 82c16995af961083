"""What does watching cost? The same kernel of about a millisecond with and without the sampler, in turns.

    OMP_NUM_THREADS=1 .ci/tool benchmarks.sampler_cost [rounds]

As in a run, the sampler is in a process of its own, the parent, and the kernel in its child. Prints the sampler's CPU
time over elapsed time, and the ratio of the kernel's time watched to unwatched with its interval, by each clock.
"""

import multiprocessing
import sys
import time

import torch
from torch.nn import functional as F

from suite.configuration.files import read_choice
from suite.measure.meter import Meter, cpu_clock
from suite.measure.telemetry.sampler import Telemetry
from suite.statistics.intervals import median_interval
from tools.benchmarks.rates import paired_ratio_interval

SECONDS_A_TURN = 0.5


def main(rounds: int) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=work, args=(theirs,), daemon=True)
    child.start()
    ours.recv()
    telemetry = Telemetry(read_choice("telemetry", "auto"))
    watched, unwatched, shares = [], [], []
    for round_number in range(rounds):
        for is_watched in (True, False) if round_number % 2 else (False, True):
            if is_watched:
                with telemetry.watch() as watch:
                    watch.on_message({"pid": child.pid})
                    watched.append(turn(ours))
                shares.append(watch.facts()["sampler_cpu_share"])
            else:
                unwatched.append(turn(ours))
    child.kill()
    print(f"kernel   {median_interval([cpu for cpu, _ in unwatched]).median * 1e3:.3f} ms of thread CPU time")
    share = median_interval(shares)
    interval = f"{share.level:.0%} interval {share.low:.3%} to {share.high:.3%}"
    print(f"sampler  {share.median:.3%} of the elapsed time, {interval}")
    for index, clock in enumerate(("thread CPU time", "wall time")):
        ratio = paired_ratio_interval([times[index] for times in watched], [times[index] for times in unwatched])
        print(f"ratio    {ratio.median:.4f} of {clock}, 95% interval {ratio.low:.4f} to {ratio.high:.4f}")
    print(f"{rounds} rounds of {SECONDS_A_TURN} s watched and as long unwatched, a sample every {telemetry.period_s} s")


def turn(pipe) -> tuple[float, float]:
    """Ask the child for one turn; its median thread CPU and wall time in seconds."""
    pipe.send("go")
    return pipe.recv()


def work(pipe) -> None:
    """In the child: for each request run the kernel for a turn, and send the medians of its CPU and wall times."""
    torch.set_num_threads(1)
    query, latent = torch.randn(1, 1, 16, 576), torch.randn(1, 1, 2048, 576)
    pipe.send("ready")
    with torch.inference_mode():
        while pipe.recv():
            meter, begun = Meter(cpu_clock(threads=1)), time.perf_counter()
            while time.perf_counter() - begun < SECONDS_A_TURN:
                with meter.span("kernel"):
                    F.scaled_dot_product_attention(query, latent, latent, scale=192**-0.5)
            clocks = [[getattr(row, clock) for row in meter.readings] for clock in ("thread_cpu_s", "wall_s")]
            pipe.send(tuple(median_interval(times_s).median for times_s in clocks))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
