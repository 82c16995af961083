"""Many samples of each held-out prompt: what the policy can do at all, beside what it does most likely."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from suite.lm.decoder import Decoder
from suite.lm.sampling import Prompts, sample
from suite.measure.rng import torch_rng
from suite.records.metrics import pass_at_k_span
from suite.rl.plan import RlPlan
from suite.rl.rollout import score_samples
from suite.rl.tasks.task import Item
from suite.statistics.pass_at_k import pass_at_k

ROWS = 1024
"""Completions sampled at once, as far as they are whole rounds. For the small policy that holds 46 MiB and is as fast
as any number; 256 take a quarter more time, and 16,384 hold 579 MiB."""


def pass_at_k_readings(
    plan: RlPlan, policy: Decoder, items: Sequence[Item], prompts: Prompts, *, rows: int = ROWS
) -> Mapping[str, float]:
    """The mean over the prompts of pass@k for k = 1, 2, 4, up to the samples of each, by span.

    Each round samples every prompt once, with noise of its own stream, so `rows`, the completions in memory, change no
    sample. Streams follow from the seed alone: the policy meets the same noise before and after training.
    """
    samples, right = plan.pass_at_k or 0, Counter[int]()
    rounds = max(1, min(samples, rows // len(items)))
    for start in range(0, samples, rounds):
        streams = range(start, min(start + rounds, samples))
        completions = sample(
            policy,
            prompts,
            copies=len(streams),
            longest=plan.longest_completion,
            end=plan.vocabulary.end,
            temperature=plan.temperature,
            generator=[torch_rng(policy.made.device, plan.seed, "pass at k", stream) for stream in streams],
        )
        scores = score_samples(plan, [item for item in items for _ in streams], completions)
        right.update(row // len(streams) for row, score in enumerate(scores) if score.accuracy == 1.0)
    counts = np.asarray([right[prompt] for prompt in range(len(items))])
    return {pass_at_k_span(k): float(pass_at_k(counts, samples, k).mean()) for k in powers_of_two(samples)}


def powers_of_two(most: int) -> list[int]:
    """1, 2, 4 and on, up to `most`."""
    return [1 << exponent for exponent in range(most.bit_length())]
