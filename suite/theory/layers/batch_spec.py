"""Batches of sequences that differ in length, as a server has them.

`seqs` names groups of equal sequences in the grammar of vLLM's attention benchmark (benchmarks/attention_benchmarks):
`<count>q<new tokens>s<all tokens>`, joined by `_`, where `k` stands for 1,024. `32q1s8k_4q4s2k` is 32 sequences with
one new token of 8,192 and four with four new tokens of 2,048. Without a count it is one sequence; without `s` all its
tokens are new. `lengths` instead draws the lengths of `batch` sequences whose mean is `seq_len`, so that a drawn batch
has as many tokens as one of equal sequences.
"""

import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.configuration.values import clipped, one_of, whole_number
from suite.theory.layers.algebra import Pass

K = 1024
GROUP = re.compile(r"(?P<count>[1-9]\d*)?q(?P<new>[1-9]\d*k?)(?:s(?P<all>[1-9]\d*k?))?")
MOST_DIGITS = 9  # of a number in a specification
SPREAD = 1.0  # standard deviation of the logarithms of log-normal lengths
DRAWS: Mapping[str, Callable[[random.Random, int], float]] = {
    "uniform": lambda generator, _: generator.random(),
    "lognormal": lambda generator, _: generator.lognormvariate(0, SPREAD),
    "zipf": lambda _, rank: 1 / rank,
}
"""How far beyond its new tokens a sequence is long, by the value of `lengths`: any multiple, since all are scaled to
their mean."""


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Equal sequences of a batch."""

    count: int
    query_len: int  # new tokens
    seq_len: int  # all tokens, the new ones included


def read_seqs(text: str) -> list[Sequences]:
    """The groups of a batch specification, in its order. Raises ValueError."""
    groups = []
    for part in str(text).split("_"):
        match = GROUP.fullmatch(part)
        if match is None or any(len(number or "") > MOST_DIGITS for number in match.groups()):
            raise ValueError(
                "seqs must be groups of <count>q<new tokens>s<all tokens>, joined by _, as 32q1s8k_4q4s2k; "
                f"got {clipped(part)} in {clipped(text)}"
            )
        new = _tokens(match["new"])
        group = Sequences(count=int(match["count"] or 1), query_len=new, seq_len=_tokens(match["all"] or match["new"]))
        if group.query_len > group.seq_len:
            raise ValueError(f"seqs: the s of a group counts all tokens, so at least those of its q; got {part}")
        groups.append(group)
    return groups


def _tokens(text: str) -> int:
    return int(text.removesuffix("k")) * (K if text.endswith("k") else 1)


def of_seqs(seqs: object, name: str, otherwise: object) -> object:
    """What `batch`, `seq_len` or `query_len` is by default: the number of sequences of a batch specification, the mean
    of all their tokens, the most new ones; without a specification `otherwise`. Raises ValueError."""
    if seqs is None:
        return otherwise
    groups = read_seqs(str(seqs))
    count = sum(group.count for group in groups)
    return {
        "batch": count,
        "seq_len": math.ceil(sum(group.count * group.seq_len for group in groups) / count),
        "query_len": max(group.query_len for group in groups),
    }[name]


def read_batch(settings: Mapping[str, Any], whole: Pass, phase: str) -> list[Sequences]:
    """The sequences of a case, ordered by their new tokens, the longest first; one group where all are equal, as
    `whole` has them. Raises ValueError for settings that do not go together."""
    seqs, distribution = settings.get("seqs"), settings.get("lengths")
    if seqs is None and distribution is None:
        return [Sequences(count=whole.batch, query_len=whole.query_len, seq_len=whole.seq_len)]
    if phase != "decode":
        raise ValueError(f"phase must be decode beside seqs or lengths; got {phase!r}")
    counts = Counter[tuple[int, int]]()
    if seqs is None:
        drawn_as: str = one_of(settings, "lengths", (None, *DRAWS))
        seed = whole_number(settings, "lengths_seed", at_least=0)
        counts.update((whole.query_len, length) for length in drawn_lengths(drawn_as, whole, seed))
    elif distribution is not None:
        raise ValueError(f"lengths must be null beside seqs, which says each length; got {distribution!r}")
    else:
        for name in ("batch", "seq_len", "query_len"):
            if settings[name] != (follows := of_seqs(seqs, name, None)):
                raise ValueError(f"{name} follows from seqs={seqs}, which makes it {follows}; got {settings[name]}")
        for group in read_seqs(str(seqs)):
            counts[group.query_len, group.seq_len] += group.count
    sizes = sorted(counts, key=lambda size: (size[0], -size[1]))
    return [Sequences(count=counts[new, all_], query_len=new, seq_len=all_) for new, all_ in sizes]


def drawn_lengths(distribution: str, whole: Pass, seed: int) -> Sequence[int]:
    """Lengths of the pass's sequences, none shorter than its new tokens, whose sum is that of equal sequences.

    uniform: from one new token to twice the mean. lognormal: the logarithms have a standard deviation of SPREAD. zipf:
    the length at rank r is in proportion to 1 / r.
    """
    generator = random.Random(seed)
    weights = [DRAWS[distribution](generator, rank) for rank in range(1, whole.batch + 1)]
    context = whole.batch * (whole.seq_len - whole.query_len)
    ends = [round(context * total / sum(weights)) for total in itertools.accumulate(weights)]
    return [whole.query_len + end - start for start, end in itertools.pairwise([0, *ends])]
