"""How far correct kernels stay from float64 as the keys become many, and how far one is that leaves a key out.

    OMP_NUM_THREADS=1 .ci/tool benchmarks.rounding [keys left out, one at a time] [keys at most]

The check allows twice eager's error and what rounding adds (suite/attention/check.py); this prints what it stands on.
"""

import sys

import torch

from suite.attention.backends.eager import Eager, attend
from suite.attention.backends.sdpa import Sdpa
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.check import reference_rows, relative_error
from suite.attention.problem import visible_keys
from suite.attention.workload import AttentionWorkload
from suite.configuration.files import read_choice, read_yaml

LENGTHS, LEFT_OUT_OF = (256, 1024, 4096, 16384, 65536), 16384


def main(left_out=60, most_keys=LENGTHS[-1]):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for keys in (keys for keys in LENGTHS if keys <= most_keys):
        problem, inputs, exact = decode_step("mla", keys)
        backends = (Eager, Sdpa, SdpaFolded)
        errors = {backend.name: relative_error(backend(problem)(*inputs), exact) for backend in backends}
        print(f"mla, {keys:,} keys: " + ", ".join(f"{name} {error:.2e}" for name, error in errors.items()))
    left_out_of = min(LEFT_OUT_OF, most_keys)
    for attention in ("mla", "gqa", "mha"):
        problem, inputs, exact = decode_step(attention, left_out_of)
        errors = []
        for key in torch.randperm(left_out_of)[:left_out].tolist():
            hidden = torch.zeros(1, left_out_of, dtype=torch.bool)
            hidden[0, key] = True
            errors.append(relative_error(attend(*inputs, scale=problem.scale, hidden_ST=hidden), exact))
        print(f"{attention}, one of {left_out_of:,} keys left out, {left_out} tried: {min(errors):.1e} at least")


@torch.inference_mode()
def decode_step(attention, keys):
    """A decode step at DeepSeek-V2-Lite's sizes in float32: its problem, the kernel's inputs and the exact output."""
    run = {key: value for key, value in read_yaml("run.yaml").items() if key not in ("defaults", "hydra")}
    groups = {"attention": attention, "geometry": "deepseek-v2-lite", "backend": "eager"}
    workload = AttentionWorkload(
        {
            **run,
            **{group: read_choice(group, name) for group, name in groups.items()},
            "dtype": "float32",
            "seq_len": keys,
        }
    )
    workload.prepare()
    problem, inputs = workload.work.problem, workload.work.projected
    return problem, inputs, reference_rows(*inputs, visible_keys(1, keys, problem.device), problem.scale)


if __name__ == "__main__":
    with torch.inference_mode():
        main(*map(int, sys.argv[1:]))
