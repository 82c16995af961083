"""Tiers of information: entities that bundle attributes which are asked often, sometimes and rarely.

The article's apple: its colour is asked for every day, its seeds hardly ever. Each entity in context is one token, the
sum of its name and of a value for every attribute; a question names an entity and an attribute. Whatever a variant
keeps of a token, it keeps of all attributes at once, so what it drops where there is no room is its own choice, made by
training. A question sees the entities and itself, no other question.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from suite.configuration.values import one_of, whole_number
from suite.measure.rng import numpy_rng
from suite.quality.tasks.task import NO_ID, Ids, Questions, in_any_order, questions_apart

TIERS = ("often", "sometimes", "rarely")
SHARES = (0.85, 0.12, 0.03)  # shares of the questions, by tier, where queries are skewed
FREQUENCIES = ("skewed", "uniform", "uniform_weighted", "reversed", "shifted")
HELD_OUT_CONTEXTS = 256


class Tiers:
    """See suite.quality.tasks.task.QualityTask."""

    least_layers = 1

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._frequency: str = one_of(settings, "query_frequency", FREQUENCIES, where="task.")
        self._entities = whole_number(settings, "entities", at_least=1, where="task.")
        self._tier_size = whole_number(settings, "attributes_per_tier", at_least=1, where="task.")
        self._values = whole_number(settings, "values", at_least=2, where="task.")
        self._questions = whole_number(settings, "questions", at_least=1, where="task.")
        attributes = self._tier_size * len(TIERS)
        if self._entities * attributes % self._questions:
            raise ValueError(
                "task.questions must divide the entities times the attributes, so that a held-out set asks for all; "
                f"got {self._questions} for {self._entities} entities and {attributes} attributes"
            )
        self._names = 1 + attributes * self._values  # after NO_ID and the values of each attribute
        self._asked_attributes = self._names + self._entities
        self._asked_entities = self._asked_attributes + attributes
        self._answers = self._asked_entities + self._entities
        self.vocab_size = self._answers + self._values
        self.longest = self._entities + self._questions
        self.kinds = [f"attribute {number + 1}" for number in range(attributes)]
        starts = range(0, attributes, self._tier_size)
        self.groups = {tier: range(start, start + self._tier_size) for tier, start in zip(TIERS, starts, strict=True)}
        self.chance = 1 / self._values

    def training(self, sequences: int, generator: np.random.Generator, progress: float) -> Questions:
        """Draw questions: entities evenly, attributes by `query_frequency`. `shifted` swaps the tiers' shares halfway;
        `uniform_weighted` draws evenly and weighs the losses instead."""
        size, weights_BQ = (sequences, self._questions), None
        is_reversed = self._frequency == "reversed" or (self._frequency == "shifted" and progress >= 0.5)
        shares_A = self._by_attribute(SHARES[::-1] if is_reversed else SHARES)
        if self._frequency in ("uniform", "uniform_weighted"):
            shares_A = np.full(len(self.kinds), 1 / len(self.kinds))
        attributes_BQ = generator.choice(len(self.kinds), size=size, p=shares_A)
        entities_BQ = generator.integers(self._entities, size=size)
        if self._frequency == "uniform_weighted":
            weights_A = self._by_attribute(SHARES) * len(self.kinds)
            weights_BQ = weights_A[attributes_BQ].astype(np.float32)
        values_BEA = self._sample_values(sequences, generator)
        return self._assemble(values_BEA, entities_BQ, attributes_BQ, generator, weights_BQ)

    def held_out(self) -> Questions:
        """Ask each held-out context for every attribute of every entity, `questions` in a sequence."""
        generator = numpy_rng("tiers", "held out")
        pairs = self._entities * len(self.kinds)
        rows = pairs // self._questions
        values_BEA = self._sample_values(HELD_OUT_CONTEXTS, generator).repeat(rows, axis=0)
        order_CP = in_any_order(pairs, HELD_OUT_CONTEXTS, generator)
        pairs_BQ = order_CP.reshape(HELD_OUT_CONTEXTS * rows, self._questions)
        return self._assemble(values_BEA, pairs_BQ // len(self.kinds), pairs_BQ % len(self.kinds), generator, None)

    def bundles(self, count: int, generator: np.random.Generator) -> tuple[Ids, Ids]:
        """See suite.quality.tasks.task.HasDetails."""
        values_BEA, order_BE = self._sample_values(count, generator), in_any_order(self._entities, count, generator)
        return self._entity_tokens(values_BEA, order_BE)[:, 0], values_BEA[np.arange(count), order_BE[:, 0]]

    def facts(self) -> Mapping[str, Any]:
        """Shares of the tiers, the frequency of queries and the size of the held-out set."""
        return {
            "tiers": dict(zip(TIERS, SHARES, strict=True)),
            "query_frequency": self._frequency,
            "held_out_contexts": HELD_OUT_CONTEXTS,
        }

    def _by_attribute(self, shares: tuple[float, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Each tier's share divided evenly among its attributes, [A]."""
        return np.repeat(np.array(shares) / self._tier_size, self._tier_size)

    def _sample_values(self, sequences: int, generator: np.random.Generator) -> Ids:
        return generator.integers(self._values, size=(sequences, self._entities, len(self.kinds)))

    def _entity_tokens(self, values_BEA: Ids, order_BE: Ids) -> Ids:
        """Ids of each entity's values and name, with the entities in the order given: [B, E, A + 1]."""
        standing_BEA = np.take_along_axis(values_BEA, order_BE[..., None], axis=1)
        first_of_attribute_A = 1 + self._values * np.arange(len(self.kinds))
        return np.concatenate((standing_BEA + first_of_attribute_A, self._names + order_BE[..., None]), axis=2)

    def _assemble(
        self,
        values_BEA: Ids,
        entities_BQ: Ids,
        attributes_BQ: Ids,
        generator: np.random.Generator,
        weights_BQ: np.ndarray[Any, np.dtype[np.float32]] | None,
    ) -> Questions:
        """The given questions behind their entities, which are put in a random order, with the right answers."""
        sequences, entities, question_count = len(values_BEA), self._entities, entities_BQ.shape[1]
        context_BEK = self._entity_tokens(values_BEA, in_any_order(entities, sequences, generator))
        questions_BQK = np.full((sequences, question_count, context_BEK.shape[2]), NO_ID)
        questions_BQK[..., 0] = self._asked_attributes + attributes_BQ
        questions_BQK[..., 1] = self._asked_entities + entities_BQ
        return Questions(
            tokens_BSK=np.concatenate((context_BEK, questions_BQK), axis=1),
            answers_BQ=self._answers + values_BEA[np.arange(sequences)[:, None], entities_BQ, attributes_BQ],
            kinds_BQ=attributes_BQ,
            weights_BQ=weights_BQ,
            visible_SS=questions_apart(entities, question_count),
        )
