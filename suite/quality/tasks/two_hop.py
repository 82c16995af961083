"""Two hops: facts `a → b` and `b → c` in any order, and a question that names a and asks for c.

Each fact is one token, the sum of a name that it is of and a name that it leads to, so one hop is one look at the
context, and two are two, the second for what the first found. The same contexts are asked by one hop, from a to b and
from b to c: who answers those and not the others can look up, and cannot go on from what was found. A question sees the
facts and itself, no other question.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from suite.configuration.values import whole_number
from suite.quality.tasks.task import OneDistribution, Questions, in_any_order, questions_apart

ONE_HOP, TWO_HOPS = 0, 1
NAMES_OF_CHAIN = 3
QUESTIONS_OF_CHAIN = 3  # from a to b, from b to c, and from a to c


class TwoHop(OneDistribution):
    """See suite.quality.tasks.task.QualityTask."""

    name, held_out_sequences = "two_hop", 512
    least_layers = 2
    kinds = ("one hop", "two hops")

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._chains = whole_number(settings, "chains", at_least=1, where="task.")
        self._names = whole_number(settings, "names", at_least=NAMES_OF_CHAIN * self._chains, where="task.")
        self._leads_to = 1 + self._names  # after NO_ID and the names that facts are of
        self._asked = self._leads_to + self._names
        self._hops = self._asked + self._names
        self._answers = self._hops + len(self.kinds)
        self.vocab_size = self._answers + self._names
        self.longest = (2 + QUESTIONS_OF_CHAIN) * self._chains
        self.chance = 1 / self._names

    def facts(self) -> Mapping[str, Any]:
        return {"chains": self._chains, "names": self._names, "held_out_contexts": self.held_out_sequences}

    def sample(self, sequences: int, generator: np.random.Generator) -> Questions:
        names_BN = in_any_order(self._names, sequences, generator)[:, : NAMES_OF_CHAIN * self._chains]
        a_BC, b_BC, c_BC = np.split(names_BN, NAMES_OF_CHAIN, axis=1)
        from_BF, to_BF = np.concatenate((a_BC, b_BC), axis=1), np.concatenate((b_BC, c_BC), axis=1)
        order_BF = in_any_order(2 * self._chains, sequences, generator)
        facts_BF2 = np.stack((1 + from_BF, self._leads_to + to_BF), axis=2)
        facts_BF2 = np.take_along_axis(facts_BF2, order_BF[..., None], axis=1)
        named_BQ, answers_BQ = np.concatenate((from_BF, a_BC), axis=1), np.concatenate((to_BF, c_BC), axis=1)
        kinds_Q = np.repeat([ONE_HOP, TWO_HOPS], [2 * self._chains, self._chains])
        kinds_BQ = np.tile(kinds_Q, (sequences, 1))
        questions_BQ2 = np.stack((self._asked + named_BQ, self._hops + kinds_BQ), axis=2)
        return Questions(
            tokens_BSK=np.concatenate((facts_BF2, questions_BQ2), axis=1),
            answers_BQ=self._answers + answers_BQ,
            kinds_BQ=kinds_BQ,
            visible_SS=questions_apart(2 * self._chains, QUESTIONS_OF_CHAIN * self._chains),
        )
