"""Texts that a policy is fine-tuned on, step by step: more of its corpus, or a limited pool of right completions."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from suite.lm.decoder import Decoder
from suite.lm.training import Example
from suite.measure.memory_tracker import attribute_to
from suite.measure.meter import Meter
from suite.measure.rng import python_rng
from suite.records.holdings import EXPERIENCE, NOBODY
from suite.rl.base import documents
from suite.rl.plan import RlPlan
from suite.rl.rollout import NOTHING_SAMPLED, Experience, rollout, rollout_readings
from suite.rl.tasks.task import Score, draw


class SftData(ABC):
    """A source of texts to train on, step by step; subclasses provide the texts."""

    def prepare(self, meter: Meter) -> Mapping[str, float]:
        """Make the texts of the meter's step, where they must be sampled; readings of what that cost."""
        return NOTHING_SAMPLED

    @abstractmethod
    def step_examples(self, step: int, count: int) -> Sequence[Example]:
        """The `count` texts of this step of the run; none where there is nothing to learn from."""

    def state(self) -> list[Any]:
        """What a checkpoint must save to go on, as plain data: nothing where the texts can be made again."""
        return []  # what can be made again is no state

    def restore(self, state: Sequence[Any]) -> None:
        """Restore nothing; the state must be empty."""
        assert not state


class Corpus(SftData):
    """The base model's corpus, of which every step reads new documents."""

    def __init__(self, plan: RlPlan) -> None:
        self._plan = plan

    def step_examples(self, step: int, count: int) -> Sequence[Example]:
        return documents(self._plan, python_rng(self._plan.seed, step, "corpus"), count)


class TextPool(SftData):
    """A fixed number of texts, read over and over, each time in a new order."""

    def __init__(self, plan: RlPlan, examples: Sequence[Example], *, first: int) -> None:
        self._plan, self._examples, self._first = plan, examples, first

    def step_examples(self, step: int, count: int) -> Sequence[Example]:
        places = pool_places(len(self._examples), step - self._first, count, self._plan.seed, self._first)
        return [self._examples[place] for place in places]


def pool_places(size: int, step: int, count: int, *names: object) -> list[int]:
    """Indices of the `count` texts that a step reads of a pool of `size`; none where it is empty. The pool is read over
    and over, each time in another order, from a stream named by `names`. `step`: since the pool was made."""
    if size == 0:
        return []
    order = []
    passes = range(step * count // size, ((step + 1) * count - 1) // size + 1)
    for number in passes:
        places = list(range(size))
        python_rng(*names, number, "pool").shuffle(places)
        order += places
    start = step * count - passes[0] * size
    return order[start : start + count]


class Sampled(TextPool):
    """Completions that a decoder samples in a few rollouts as the stage begins: those that are right and in the asked
    form or, unfiltered, all of them; each text once.

    Each prompt is asked once: the right answers of a group are mostly the same, which would leave a smaller pool.
    """

    def __init__(self, plan: RlPlan, sampler: Decoder, *, first: int, filtered: bool = True) -> None:
        super().__init__(plan, [], first=first)
        self._sampler, self._filtered = sampler, filtered

    @attribute_to(NOBODY, EXPERIENCE)
    def prepare(self, meter: Meter) -> Mapping[str, float]:
        """In the stage's first step, fill the pool with sampled completions that are kept; readings of that."""
        if meter.step != self._first:
            return super().prepare(meter)
        rounds = range(self._plan.recipe.options["rollouts"])
        sampled = [rollout(self._plan, self._sampler, meter, round_, copies=1) for round_ in rounds]
        select = verified_examples if self._filtered else sampled_examples
        examples = [example for experience in sampled for example in select(experience)]
        self._examples = list({tuple(example.ids): example for example in examples}.values())
        return {**rollout_readings(self._plan, sampled), "examples_kept": float(len(self._examples))}

    def state(self) -> list[Any]:
        """Ids of each text in the pool, with the number of them that are the prompt's."""
        return [[list(example.ids), example.given] for example in self._examples]

    def restore(self, state: Sequence[Any]) -> None:
        self._examples = [Example(ids=ids, given=given) for ids, given in state]


def solutions(plan: RlPlan, count: int) -> list[Example]:
    """Draw `count` training prompts, each with a right completion in the asked form."""
    generator = python_rng(plan.seed, "solutions")
    items = [draw(plan.task, generator, held_out=False) for _ in range(count)]
    examples = []
    for item in items:
        prompt = plan.vocabulary.encode(item.prompt)
        completion = plan.vocabulary.encode(plan.task.solution(item, generator))
        examples.append(Example(ids=[*prompt, *completion], given=len(prompt)))
    return examples


def verified_examples(experience: Experience) -> list[Example]:
    """The completions that are right and in the asked form, behind their prompts, without padding."""
    return list(itertools.compress(sampled_examples(experience), map(is_verified, experience.scores)))


def is_verified(score: Score) -> bool:
    """True if the answer is right and the completion is in the asked form."""
    return score.accuracy == score.format == 1.0


def sampled_examples(experience: Experience) -> list[Example]:
    """Each sampled completion behind its prompt, both without padding. A completion that ended by itself comes without
    its end token, which training adds; one that was cut at the limit keeps all its tokens."""
    prompts, lengths = experience.prompts, experience.mask_NT.sum(dim=1).long().tolist()
    valid = None if prompts.valid_PS is None else prompts.valid_PS.sum(dim=1).tolist()
    examples = []
    for row, length in enumerate(lengths):
        prompt = prompts.tokens_PS[row].tolist()
        given = prompt if valid is None else prompt[len(prompt) - valid[row] :]
        written_tokens = length - int(not experience.is_truncated_N[row])  # whoever trains on it adds the end
        examples.append(Example(ids=[*given, *experience.tokens_NT[row, :written_tokens].tolist()], given=len(given)))
    return examples
