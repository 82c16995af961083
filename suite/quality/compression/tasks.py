"""Three small tasks beside the loss, made of a window's own tokens and scored exactly: each answer is one of a few
candidate tokens, of which the model takes the likeliest, so that the share that guessing gets right is known.

The tasks of suite/quality/tasks have a vocabulary of their own, which a published model does not know.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from suite.measure.rng import numpy_rng

CONTINUATION, COPYING, LOOK_UP = TASKS = ("continuation", "copying", "look_up")
CONTINUATIONS, COPIED_TOKENS, LIST_PAIRS = 4, 64, 16


class Choices(NamedTuple):
    """Answers of one task: the token behind place n of what is read is one of row n of the candidates, and which."""

    tokens_S: Sequence[int]
    places_Q: Sequence[int]
    candidates_QC: Sequence[Sequence[int]]
    right_Q: Sequence[int]

    def right_answers(self, logits_SV: Tensor) -> int:
        """The number of places at which the likeliest candidate is the right one."""
        candidates_QC, right_Q = (logits_SV.new_tensor(ids, dtype=torch.long) for ids in self[2:])
        return int((logits_SV[list(self.places_Q)].gather(1, candidates_QC).argmax(dim=1) == right_Q).sum())


def make_tasks(tokens: Sequence[int], step: int) -> dict[str, Choices]:
    """The tasks of one window by name: the same in every case that reads it at this step.

    `continuation`: each next token of the window, among CONTINUATIONS of the window's tokens. `copying`: the window's
    first COPIED_TOKENS twice; each token of the second copy but the first, among all of the passage. `look_up`: a list
    of LIST_PAIRS of tokens, then the list again in another order; each pair's second token behind its first, among the
    second tokens of all pairs. A short window has fewer.
    """
    generator = numpy_rng("compress", step)
    distinct = np.unique(tokens)
    count = min(CONTINUATIONS, len(distinct))
    candidates, right = [], generator.integers(count, size=len(tokens) - 1).tolist()
    for token, place in zip(tokens[1:], right, strict=True):
        others = generator.choice(distinct[distinct != token], count - 1, replace=False).tolist()
        candidates.append([*others[:place], token, *others[place:]])
    continuation = Choices(tokens, range(len(tokens) - 1), candidates, right)

    passage = list(tokens[: min(COPIED_TOKENS, len(tokens) // 2)])
    candidates = [sorted(set(passage))] * (len(passage) - 1)
    right = [candidates[0].index(token) for token in passage[1:]]
    copying = Choices(passage * 2, range(len(passage), 2 * len(passage) - 1), candidates, right)

    pairs = min(LIST_PAIRS, len(distinct) // 2, len(tokens) // 4)
    drawn, order = generator.permutation(distinct).tolist(), generator.permutation(pairs).tolist()
    listed = [token for number in (*range(pairs), *order) for token in drawn[2 * number : 2 * number + 2]]
    candidates = [drawn[1 : 2 * pairs : 2]] * pairs
    look_up = Choices(listed, range(2 * pairs, 4 * pairs, 2), candidates, order)
    return dict(zip(TASKS, (continuation, copying, look_up), strict=True))
