"""What the benchmarks beside transformers and TRL share: turns of CPU time, a row of a table, and their sampling."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor
from transformers import GenerationConfig

from suite.lm.sampling import Prompts
from suite.lm.tokenizer import PAD
from tools.benchmarks.paired_ratio import paired_ratio_interval

COPIES = 8
NEVER = 1_000_000
"""An end token that no model samples."""

Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Row:
    what: str
    ours_ms: Sequence[float]
    theirs_ms: Sequence[float]

    def __str__(self) -> str:
        ratio = paired_ratio_interval(self.theirs_ms, self.ours_ms)
        times = f"{median(self.ours_ms):9.1f} {median(self.theirs_ms):9.1f}"
        return f"{self.what:<58}{times}  {ratio.median:5.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def in_turns(pairs: int, *works: Work) -> list[list[float]]:
    """CPU milliseconds of each work in each turn; the order is reversed from turn to turn."""
    for work in works:
        work()
    times_ms: list[list[float]] = [[] for _ in works]
    for turn in range(pairs):
        numbered = list(enumerate(works))
        for number, work in reversed(numbered) if turn % 2 else numbered:
            begun_s = time.process_time()
            work()
            times_ms[number].append(1e3 * (time.process_time() - begun_s))
    return times_ms


@dataclass(frozen=True, kw_only=True)
class Generated:
    tokens_NT: Tensor
    mask_NT: Tensor

    @property
    def lengths(self) -> Tensor:
        return self.mask_NT.sum(dim=1).float()


@torch.no_grad()
def generated(theirs, prompts: Prompts, longest: int, end: int, best: Mapping[str, str | None]) -> Generated:
    """As TRL generates, masked behind the first end token."""
    theirs.set_attn_implementation(best["attention"])
    config = GenerationConfig(
        max_new_tokens=longest,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        pad_token_id=PAD,
        eos_token_id=[end],
        cache_implementation=best["cache"],
        disable_compile=True,
    )
    tokens_NS = prompts.repeated(COPIES).tokens_PS
    whole = theirs.generate(input_ids=tokens_NS, attention_mask=torch.ones_like(tokens_NS), generation_config=config)
    tokens_NT = whole[:, tokens_NS.shape[1] :]
    ended_NT = tokens_NT == end
    return Generated(tokens_NT=tokens_NT, mask_NT=(ended_NT.cumsum(dim=1) - ended_NT.int() == 0).int())


def fastest(theirs, prompts: Prompts, *, longest: int = 32, pairs: int = 3) -> tuple[dict[str, str | None], str]:
    """Of transformers' implementations of attention and cache; compiling is TRL's choice too not to do."""
    ways = [{"attention": one, "cache": cache} for one in ("sdpa", "eager") for cache in (None, "static")]
    works = [lambda way=way: generated(theirs, prompts, longest, NEVER, way) for way in ways]
    medians = [median(times_ms) for times_ms in in_turns(pairs, *works)]
    told = ", ".join(
        f"{way['attention']} {way['cache'] or 'dynamic'} {ms:.0f}" for way, ms in zip(ways, medians, strict=True)
    )
    best = ways[medians.index(min(medians))]
    return (
        best,
        f"  theirs is {best['attention']} with the {best['cache'] or 'dynamic'} cache: ms of {longest} tokens {told}",
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
