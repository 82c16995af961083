"""Associative recall, after "Zoology" (arXiv 2312.04927): pairs of a key and a value, then the keys in another order.

A key asks for the value that stood behind it. One layer cannot: a value must first learn which key it follows, and only
then can it be found by that key.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from suite.configuration.values import whole_number
from suite.quality.tasks.task import OneDistribution, Questions, in_any_order, single

FILLERS = 8  # different ones, that stand between the pairs and the questions


class Recall(OneDistribution):
    """See suite.quality.tasks.task.QualityTask."""

    name, held_out_sequences = "recall", 1024
    least_layers = 2

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._keys = whole_number(settings, "keys", at_least=1, where="task.")
        self._values = whole_number(settings, "values", at_least=2, where="task.")
        self._pairs = whole_number(settings, "pairs", at_least=1, at_most=self._keys, where="task.")
        self._distance = whole_number(settings, "distance", at_least=0, where="task.")
        self._first_value = 1 + self._keys
        self._first_filler = self._first_value + self._values
        self.vocab_size = self._first_filler + FILLERS
        self.longest = 3 * self._pairs + self._distance
        self.kinds = [f"pair {number + 1}" for number in range(self._pairs)]
        self.chance = 1 / self._values

    def facts(self) -> Mapping[str, Any]:
        return {"pairs": self._pairs, "distance": self._distance, "held_out_sequences": self.held_out_sequences}

    def sample(self, sequences: int, generator: np.random.Generator) -> Questions:
        keys_BP = 1 + in_any_order(self._keys, sequences, generator)[:, : self._pairs]
        values_BP = self._first_value + generator.integers(self._values, size=(sequences, self._pairs))
        pairs_BS = np.stack((keys_BP, values_BP), axis=2).reshape(sequences, 2 * self._pairs)
        fillers_BS = self._first_filler + generator.integers(FILLERS, size=(sequences, self._distance))
        order_BP = in_any_order(self._pairs, sequences, generator)
        asked_BP = np.take_along_axis(keys_BP, order_BP, axis=1)
        return Questions(
            tokens_BSK=single(np.concatenate((pairs_BS, fillers_BS, asked_BP), axis=1)),
            answers_BQ=np.take_along_axis(values_BP, order_BP, axis=1),
            kinds_BQ=order_BP,
        )
