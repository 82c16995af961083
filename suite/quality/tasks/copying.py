"""Copying: a random string somewhere among fillers, a separator, and the string again, each of whose tokens is asked
behind those before it.

Nothing of the string may be dropped: all of it is asked in every sequence, each token once. Without fillers the token
to copy always stands equally far back, and where it stands is all that must be known; with fillers it must be found by
what stands before it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from suite.configuration.values import whole_number
from suite.quality.tasks.task import OneDistribution, Questions, single

SEPARATOR, FILLER = 1, 2


class Copying(OneDistribution):
    """See suite.quality.tasks.task.QualityTask."""

    name, held_out_sequences = "copying", 512
    kinds = ("first half", "second half")

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._length = whole_number(settings, "length", at_least=2, where="task.")
        self._characters = whole_number(settings, "characters", at_least=2, where="task.")
        self._fillers = whole_number(settings, "fillers", at_least=0, where="task.")
        self.vocab_size = FILLER + 1 + self._characters
        self.longest = self._fillers + 2 * self._length
        self.chance = 1 / self._characters
        self.least_layers = 2 if self._fillers else 1

    def facts(self) -> Mapping[str, Any]:
        """Sizes of the task and of its held-out set."""
        sizes = {"length": self._length, "characters": self._characters, "fillers": self._fillers}
        return {**sizes, "held_out_sequences": self.held_out_sequences}

    def sample(self, sequences: int, generator: np.random.Generator) -> Questions:
        string_BL = FILLER + 1 + generator.integers(self._characters, size=(sequences, self._length))
        begins_B1 = generator.integers(self._fillers + 1, size=(sequences, 1))
        context_BS = np.full((sequences, self._fillers + self._length), FILLER)
        np.put_along_axis(context_BS, begins_B1 + np.arange(self._length), string_BL, axis=1)
        separator_B1 = np.full((sequences, 1), SEPARATOR)
        kinds_L = np.arange(self._length) * len(self.kinds) // self._length
        return Questions(
            tokens_BSK=single(np.concatenate((context_BS, separator_B1, string_BL[:, :-1]), axis=1)),
            answers_BQ=string_BL,
            kinds_BQ=np.tile(kinds_L, (sequences, 1)),
        )
