"""Given texts that a policy is trained on, step by step: more of its corpus, or a limited pool of right completions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from suite.lm.decoder import Decoder
from suite.lm.training import Example
from suite.measure.meter import Meter
from suite.measure.rng import python_rng
from suite.rl.base import documents
from suite.rl.experience import Experience, rollout
from suite.rl.plan import RlPlan
from suite.rl.rollout_readings import NOTHING_SAMPLED, of_rollouts
from suite.rl.tasks.task import draw


class Lessons(ABC):
    """Texts without end; a subclass has them."""

    def gather(self, meter: Meter) -> Mapping[str, float]:
        """Before each step; what is to be noted of it."""
        return NOTHING_SAMPLED

    @abstractmethod
    def of_step(self, step: int, count: int) -> Sequence[Example]:
        """`count` of them, or none where there is nothing to learn from. `step`: of the run."""

    def state(self) -> list[Any]:
        """What cannot be made again."""
        return []

    def restore(self, state: Sequence[Any]) -> None:
        assert not state, "what can be made again is"


class Corpus(Lessons):
    """What the base model has read, and goes on reading."""

    def __init__(self, plan: RlPlan) -> None:
        self._plan = plan

    def of_step(self, step: int, count: int) -> Sequence[Example]:
        return documents(self._plan, python_rng(self._plan.seed, step, "corpus"), count)


class Pool(Lessons):
    """So many texts, read over and over, each time in an order of its own."""

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
    """What a decoder answered rightly and in the asked form, by the key, in a few rollouts at the stage's begin.

    Each prompt is asked once: the right answers of a group are mostly the same, which would leave a smaller pool.
    """

    def __init__(self, plan: RlPlan, sampler: Decoder, *, rollouts: int, first: int) -> None:
        super().__init__(plan, [], first=first)
        self._sampler, self._rollouts = sampler, rollouts

    def gather(self, meter: Meter) -> Mapping[str, float]:
        if meter.step != self._first:
            return super().gather(meter)
        numbers = range(self._rollouts)
        sampled = [rollout(self._plan, self._sampler, meter, number, copies=1) for number in numbers]
        self._examples = distinct([example for one in sampled for example in verified(one)])
        return {**of_rollouts(self._plan, sampled), "examples_kept": float(len(self._examples))}

    def state(self) -> list[Any]:
        return [[list(example.ids), example.given] for example in self._examples]

    def restore(self, state: Sequence[Any]) -> None:
        self._examples = [Example(ids=ids, given=given) for ids, given in state]


def solutions(plan: RlPlan, count: int) -> list[Example]:
    """Right completions of prompts to train on, in the asked form, as a person would write them down for a policy."""
    chance = python_rng(plan.seed, "solutions")
    items = [draw(plan.task, chance, held_out=False) for _ in range(count)]
    return [_lesson(plan, item.prompt, plan.task.solution(item, chance)) for item in items]


def verified(experience: Experience) -> list[Example]:
    """The completions that are right and in the asked form, behind their prompts."""
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
    """The first of those that are equal."""
    return list({tuple(example.ids): example for example in examples}.values())


def _lesson(plan: RlPlan, prompt: str, completion: str) -> Example:
    given = plan.vocabulary.encode(prompt)
    return Example(ids=[*given, *plan.vocabulary.encode(completion)], given=len(given))
