"""Counting over the whole context: tokens of several sorts, and a question for each sort, namely its count.

No single token answers, and none may be left out. Each sequence draws how frequent its sorts are, evenly among all
mixtures, so that every count comes up; small ones come up more often. A question sees the context and itself, no other
question: the last count would follow from the others.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from suite.configuration.values import whole_number
from suite.quality.tasks.task import OneDistribution, Questions, questions_apart, single

LEAST_OF_KIND = (0, 1, 3, 5, 9)  # counts at which a kind of question begins


class Counting(OneDistribution):
    """See suite.quality.tasks.task.QualityTask."""

    name, held_out_sequences = "counting", 1024
    least_layers = 1
    kinds = ("none", "1-2", "3-4", "5-8", "9 or more")

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._length = whole_number(settings, "length", at_least=LEAST_OF_KIND[-1], where="task.")
        self._sorts = whole_number(settings, "sorts", at_least=2, where="task.")
        self._asked = 1 + self._sorts
        self._counts = self._asked + self._sorts
        self.vocab_size = self._counts + self._length + 1
        self.longest = self._length + self._sorts
        self.chance = (self._sorts - 1) / (self._sorts - 1 + self._length)  # of a sort that never comes: 0 is likeliest

    def facts(self) -> Mapping[str, Any]:
        return {"length": self._length, "sorts": self._sorts, "held_out_contexts": self.held_out_sequences}

    def sample(self, sequences: int, generator: np.random.Generator) -> Questions:
        shares_BC = generator.dirichlet(np.ones(self._sorts), size=sequences)  # C: sorts, of which each is asked
        drawn_BL = generator.random((sequences, self._length))
        context_BL = (drawn_BL[..., None] > shares_BC.cumsum(axis=1)[:, None, :-1]).sum(axis=2)
        counts_BC = (context_BL[..., None] == np.arange(self._sorts)).sum(axis=1)
        asked_BC = np.tile(self._asked + np.arange(self._sorts), (sequences, 1))
        return Questions(
            tokens_BSK=single(np.concatenate((1 + context_BL, asked_BC), axis=1)),
            answers_BQ=self._counts + counts_BC,
            kinds_BQ=np.searchsorted(LEAST_OF_KIND, counts_BC, side="right") - 1,
            visible_SS=questions_apart(self._length, self._sorts),
        )
