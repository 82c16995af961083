"""Texts that a policy is fine-tuned on, step by step: more of its corpus, or a limited pool of right completions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from suite.lm.decoder import Decoder
from suite.lm.training import Example
from suite.measure.meter import Meter
from suite.measure.rng import python_rng
from suite.rl.base import documents
from suite.rl.plan import RlPlan
from suite.rl.rollout import NOTHING_SAMPLED, Experience, rollout, rollout_readings
from suite.rl.tasks.task import draw


class SftData(ABC):
    """Texts without end; a subclass has them."""

    def prepare(self, meter: Meter) -> Mapping[str, float]:
        """Make ready for the step of the meter's index, and return what is to be noted of it."""
        return NOTHING_SAMPLED

    @abstractmethod
    def of_step(self, step: int, count: int) -> Sequence[Example]:
        """Return `count` texts, or none where there is nothing to learn from. `step`: of the run."""

    def state(self) -> list[Any]:
        """Return what cannot be made again."""
        return []

    def restore(self, state: Sequence[Any]) -> None:
        assert not state, "what can be made again is"


class Corpus(SftData):
    """The texts that the base model has read, and goes on reading."""

    def __init__(self, plan: RlPlan) -> None:
        self._plan = plan

    def of_step(self, step: int, count: int) -> Sequence[Example]:
        return documents(self._plan, python_rng(self._plan.seed, step, "corpus"), count)


class Pool(SftData):
    """A fixed number of texts, read over and over, each time in an order of its own."""

    def __init__(self, plan: RlPlan, examples: Sequence[Example], *, first: int) -> None:
        self._plan, self._examples, self._first = plan, examples, first

    def of_step(self, step: int, count: int) -> Sequence[Example]:
        size = len(self._examples)
        if size == 0:
            return []
        taken = (step - self._first) * count
        passes = range(taken // size, (taken + count - 1) // size + 1)
        order = [place for number in passes for place in self._order(number)]
        skipped = taken - passes[0] * size
        return [self._examples[place] for place in order[skipped : skipped + count]]

    def _order(self, number: int) -> list[int]:
        places = list(range(len(self._examples)))
        python_rng(self._plan.seed, self._first, number, "pool").shuffle(places)
        return places


class Sampled(Pool):
    """The right answers in the asked form, by the key, that a decoder gives in a few rollouts at the stage's begin.

    Each prompt is asked once: the right answers of a group are mostly the same, which would leave a smaller pool.
    """

    def __init__(self, plan: RlPlan, sampler: Decoder, *, first: int) -> None:
        super().__init__(plan, [], first=first)
        self._sampler = sampler

    def prepare(self, meter: Meter) -> Mapping[str, float]:
        if meter.step != self._first:
            return super().prepare(meter)
        rounds = range(self._plan.recipe.options["rollouts"])
        sampled = [rollout(self._plan, self._sampler, meter, round_, copies=1) for round_ in rounds]
        self._examples = distinct([example for experience in sampled for example in verified(experience)])
        return {**rollout_readings(self._plan, sampled), "examples_kept": float(len(self._examples))}

    def state(self) -> list[Any]:
        return [[list(example.ids), example.given] for example in self._examples]

    def restore(self, state: Sequence[Any]) -> None:
        self._examples = [Example(ids=ids, given=given) for ids, given in state]


def solutions(plan: RlPlan, count: int) -> list[Example]:
    """Return right completions of prompts to train on, in the asked form, as a person would write them for a policy."""
    chance = python_rng(plan.seed, "solutions")
    items = [draw(plan.task, chance, held_out=False) for _ in range(count)]
    examples = []
    for item in items:
        prompt = plan.vocabulary.encode(item.prompt)
        completion = plan.vocabulary.encode(plan.task.solution(item, chance))
        examples.append(Example(ids=[*prompt, *completion], given=len(prompt)))
    return examples


def verified(experience: Experience) -> list[Example]:
    """Return the completions that are right and in the asked form, behind their prompts."""
    prompts, lengths = experience.prompts, experience.mask_NT.sum(dim=1).long().tolist()
    valid = None if prompts.valid_PS is None else prompts.valid_PS.sum(dim=1).tolist()
    found = []
    for row, score in enumerate(experience.scores):
        if score.accuracy == score.format == 1.0:
            prompt = prompts.tokens_PS[row].tolist()
            given = prompt if valid is None else prompt[len(prompt) - valid[row] :]
            length = lengths[row] - int(not experience.is_truncated_N[row])  # whoever trains on it adds the end
            found.append(Example(ids=[*given, *experience.tokens_NT[row, :length].tolist()], given=len(given)))
    return found


def distinct(examples: Sequence[Example]) -> list[Example]:
    """Return the first of those that are equal."""
    return list({tuple(example.ids): example for example in examples}.values())
