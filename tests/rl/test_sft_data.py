"""The texts of fine-tuning: a pool over and over, or what a decoder answered rightly."""

from collections import Counter

import pytest
import torch

from suite.lm.sampling import Prompts
from suite.lm.tokenizer import END, PAD
from suite.lm.training import Example
from suite.measure.meter import Meter
from suite.rl.base import new_decoder
from suite.rl.sft_data import Corpus, Sampled, TextPool, solutions, verified_examples
from suite.rl.tasks.task import Score, is_held_out
from tests.rl.cases import plan, recipe, settings
from tests.rl.examples import experience, mask_of

RIGHT, FORMLESS, WRONG = Score(accuracy=1, format=1), Score(accuracy=1, format=0), Score(accuracy=0, format=1)


def pool(count, first=0):
    return TextPool(plan(), [Example(ids=[number]) for number in range(count)], first=first)


def test_a_pool_is_read_evenly_in_changing_orders():
    lessons = pool(5, first=3)
    read = [lesson.ids[0] for step in range(3, 8) for lesson in lessons.step_examples(step, 4)]
    assert set(Counter(read).values()) == {4}
    passes = [read[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(order) == list(range(5)) for order in passes)
    assert len(set(map(tuple, passes))) > 1


def test_a_step_reads_a_pool_as_it_does_whatever_came_before():
    assert pool(5).step_examples(7, 3) == pool(5).step_examples(7, 3) != pool(5).step_examples(8, 3)


def test_an_empty_pool_has_nothing_to_learn_from():
    assert pool(0).step_examples(0, 4) == []


def test_solutions_are_right_and_of_no_held_out_content():
    wanted = plan()
    for lesson in solutions(wanted, 20):
        prompt, completion = (wanted.vocabulary.decode(ids) for ids in (lesson.ids[:4], lesson.ids[4:]))
        assert lesson.given == 4
        answer = "".join(sorted(prompt[1:3]))
        assert "".join(completion) == f"<think>{answer}</think><answer>{answer}</answer>"
        assert not is_held_out(answer)


def test_more_of_the_corpus_is_new_at_every_step():
    corpus = Corpus(plan())
    assert corpus.step_examples(1, 8) == corpus.step_examples(1, 8) != corpus.step_examples(2, 8)


@pytest.mark.parametrize("valid", [None, torch.tensor([[False, True]] + [[True, True]] * 3)])
def test_verified_completions_keep_prompt_and_lose_the_end(valid):
    sampled = experience(
        mask_of([2, 3, 2, 2], 3),
        [RIGHT, RIGHT, FORMLESS, WRONG],
        prompts=Prompts(tokens_PS=torch.tensor([[7, 8]] * 4), valid_PS=valid),
        tokens_NT=torch.tensor([[5, END, PAD], [5, 6, 6], [5, END, PAD], [5, END, PAD]]),
        is_truncated_N=torch.tensor([False, True, False, False]),
    )
    first = Example(ids=[7, 8, 5], given=2) if valid is None else Example(ids=[8, 5], given=1)
    assert verified_examples(sampled) == [first, Example(ids=[7, 8, 5, 6, 6], given=2)]


def test_unfiltered_are_the_same_completions_wrong_ones_too():
    wanted = plan(steps=10, recipe=recipe("r1"))
    decoder, kept, seen = new_decoder(wanted, settings()["attention"]), [], []
    for filtered in (True, False):
        lessons, meter = Sampled(wanted, decoder, first=0, filtered=filtered), Meter()
        noted = lessons.prepare(meter)
        kept.append(noted.pop("examples_kept"))
        seen.append(noted)
    assert seen[0] == seen[1]
    assert (kept[0], noted["accuracy"]) == (0, 0)  # it has learnt nothing
    assert 0 < kept[1] == len({tuple(ids) for ids, _ in lessons.state()}) <= noted["completions"]


def test_a_decoder_is_sampled_once_at_the_first_step():
    wanted = plan(steps=10, recipe={**recipe("r1"), "rollouts": 2})
    lessons = Sampled(wanted, new_decoder(wanted, settings()["attention"]), first=3)
    meter = Meter()
    meter.step = 3
    noted = lessons.prepare(meter)
    assert noted["completions"] == 32
    assert noted["examples_kept"] == len(lessons.state())
    meter.step = 4
    assert lessons.prepare(meter)["completions"] == 0
