from types import SimpleNamespace

import pytest
import torch

from suite.lm.sampling import Samples
from suite.measure.meter import Meter
from suite.rl.base import new_decoder
from suite.rl.rollout import (
    collect_rollouts,
    groups_with_signal,
    majority_vote,
    parsed_answer,
    reward_parts,
    rollout_readings,
    score_samples,
    step_rewards,
    trace_readings,
)
from suite.rl.tasks.task import Item, Score, StepReward, tokens
from tests.rl.cases import plan, settings
from tests.rl.examples import experience, mask_of, tensor


class Lottery:
    """A task whose reward is chance, so that some groups are equal and some are not."""

    has_steps = True
    longest_completion = 6

    def item(self, generator):
        number = str(generator.randrange(100))
        return Item(prompt=f"s{number:>02}=", content=number, answer=number)

    def score(self, item, completion):
        return Score(accuracy=float(len(completion) % 2), format=0.0, steps=[StepReward(end=0, reward=1.0)])


def gathered(step=0, task=None, **changes):
    wanted = plan(**changes)
    wanted.task = task or Lottery()
    policy = new_decoder(wanted, settings()["attention"])
    with torch.no_grad():
        policy.embedding[1] += 0.7 * policy.embedding[5]  # it ends now and then
    meter = Meter()
    meter.step = step
    return collect_rollouts(wanted, policy, meter)


def rewards(wanted, scores, given):
    return [wanted.reward.total(parts) for parts in reward_parts(wanted, scores, given)]


def samples(lengths, longest=8, ids=None, is_truncated=False):
    mask = mask_of(lengths, longest)
    return Samples(
        tokens_NT=torch.zeros_like(mask).long() if ids is None else torch.tensor(ids),
        mask_NT=mask,
        log_probs_NT=mask,
        entropy_NT=None,
        is_truncated_N=torch.full((len(lengths),), is_truncated),
    )


def test_a_step_meets_the_same_prompts_and_noise():
    assert torch.equal(gathered(4).trainable.tokens_NT, gathered(4).trainable.tokens_NT)
    assert not torch.equal(gathered(4).trainable.prompts.tokens_PS, gathered(5).trainable.prompts.tokens_PS)


def test_algorithms_meet_the_same_prompts():
    grpo, ppo = (gathered(algorithm=name).trainable.prompts.tokens_PS for name in ("grpo", "ppo"))
    assert torch.equal(grpo, ppo)


def test_groups_are_completions_of_one_prompt_next_to_each_other():
    one = gathered().trainable
    assert one.groups_N.tolist() == [group for group in range(4) for _ in range(4)]
    for group in range(4):
        assert len(one.prompts.tokens_PS[one.groups_N == group].unique(dim=0)) == 1


def test_only_groups_whose_rewards_differ_have_a_signal():
    sums, groups = tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0]).T, torch.tensor([7, 7, 3, 3, 5, 5])
    assert groups_with_signal(sums, groups).tolist() == [3]
    parts = torch.cat((sums, tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0]).T), dim=1)
    assert groups_with_signal(parts, groups).tolist() == [3, 7]


def test_filtered_groups_are_drawn_again_until_there_are_enough():
    found = gathered(filter_groups=True, filter_groups_max_rounds=40)
    assert len(found.sampled) > 1
    kept = found.trainable
    assert len(kept.groups_N.unique()) == 4
    assert len(kept.scores) == len(kept.rewards_N) == 16
    for group in kept.groups_N.unique():
        assert len(kept.rewards_N[kept.groups_N == group].unique()) > 1


def test_filtering_stops_after_its_rounds_and_may_leave_nothing():
    found = gathered(filter_groups=True, filter_groups_max_rounds=1, num_generations=2, prompts_per_step=8)
    assert len(found.sampled) == 1
    assert found.trainable is None or len(found.trainable.groups_N.unique()) < 8


def test_the_parts_of_rewards_are_kept_for_gdpo_alone():
    assert gathered().trainable.parts_NK is None
    kept = gathered(algorithm="gdpo", filter_groups=True, filter_groups_max_rounds=2, overlong_buffer=2).trainable
    weights = tensor([1.0, 0.1, 1.0]).T.to(kept.rewards_N.dtype)
    torch.testing.assert_close((kept.parts_NK @ weights)[:, 0], kept.rewards_N)
    assert gathered(algorithm="gdpo", format_weight=0).trainable.parts_NK.shape == (16, 1)


class Unsolved(Lottery):
    """Nobody is right."""

    def score(self, item, completion):
        return Score(accuracy=0.0, format=0.0)


def test_a_penalty_on_length_alone_is_no_signal():
    filtered = {"filter_groups": True, "filter_groups_max_rounds": 2, "overlong_buffer": 4, "task": Unsolved()}
    found = gathered(**filtered)
    assert len(found.sampled[0].rewards_N.unique()) > 1  # some completions are long
    assert found.trainable is None
    assert gathered(algorithm="gdpo", **filtered).trainable is None


class Balanced(Lottery):
    """What a completion loses in accuracy it wins in form, so that all have one reward and differ in its parts."""

    def score(self, item, completion):
        accuracy = float(len(completion) % 2)
        return Score(accuracy=accuracy, format=1 - accuracy)


def test_gdpo_keeps_groups_whose_parts_differ_and_no_sum():
    filtered = {"filter_groups": True, "filter_groups_max_rounds": 2, "format_weight": 1.0, "task": Balanced()}
    assert gathered(algorithm="grpo", **filtered).trainable is None
    kept = gathered(algorithm="gdpo", **filtered).trainable
    assert kept.rewards_N.unique().tolist() == [1.0]
    for group in kept.groups_N.unique():
        assert len(kept.parts_NK[kept.groups_N == group].unique(dim=0)) == 2


def test_a_majority_rewards_and_the_key_keeps_the_accuracy():
    wanted = plan(reward_source="majority", num_generations=4, prompts_per_step=4)
    ids = [wanted.vocabulary.encode(f"<answer>{answer}</answer>") for answer in ("21", "21", "12", "21")]
    given = samples([4] * 4, 4, ids, is_truncated=True)
    scores = score_samples(wanted, [Item(prompt="s21=", content="12", answer="12")] * 4, given)
    assert [score.accuracy for score in scores] == [0, 0, 1, 0]
    assert rewards(wanted, scores, given) == [1, 1, 0, 1]
    by_key = plan(num_generations=4, prompts_per_step=4)
    assert rewards(by_key, scores, given) == [0, 0, 1, 0]


def test_the_outcome_may_be_one_more_step_at_the_completions_end():
    one = gathered().trainable
    rewards, ends = step_rewards(one, outcome_as_step=False)
    both, all_ends = step_rewards(one, outcome_as_step=True)
    assert ends[:, 0].tolist() == [1] * 16
    assert ends.sum() == 16
    assert torch.equal((both - rewards).sum(dim=1), one.rewards_N)
    last = one.mask_NT.sum(dim=1).long() - 1
    assert all_ends.gather(1, last[:, None]).all()
    assert all_ends.sum() == 16 + (last > 0).sum()


@pytest.mark.parametrize("is_truncated", [False, True])
def test_a_scorer_sees_the_completion_without_its_end(is_truncated):
    wanted = plan()
    text = "<think>12</think><answer>12</answer>"
    ids = wanted.vocabulary.encode(text) + ([] if is_truncated else [1])
    given = samples([len(ids)], len(ids), [ids], is_truncated=is_truncated)
    (score,) = score_samples(wanted, [Item(prompt="s21=", content="12", answer="12")], given)
    assert (score.accuracy, score.format) == (1.0, 1.0)


PLAN = SimpleNamespace(vocabulary=SimpleNamespace(decode=lambda ids: ["<think>", "1", "!", "</think>"][: len(ids)]))
HALF_RIGHT = [StepReward(end=0, reward=1.0), StepReward(end=1, reward=0.0)]


def rollout(lengths, rewards, groups, truncated, scores):
    mask = mask_of(lengths, 4)
    given = {"is_truncated_N": torch.tensor(truncated), "groups_N": torch.tensor(groups), "rewards_N": tensor(*rewards)}
    return experience(mask, scores, entropy_NT=0.5 * mask, **given)


def test_every_reading_is_a_mean_over_all_rounds():
    right, wrong = Score(accuracy=1.0, format=1.0, steps=HALF_RIGHT), Score(accuracy=0.0, format=1.0)
    one = rollout([4, 3, 2, 1], [1, 0, 1, 1], [0, 0, 1, 1], [True, False, False, False], [right, wrong, right, right])
    two = rollout([4, 4], [0, 0], [2, 2], [True, True], [wrong, Score(accuracy=0.0, format=0.0)])
    assert rollout_readings(PLAN, [one, two]) == {
        "completions": 6,
        "sampled_tokens": 18,
        "reward": 0.5,
        "accuracy": 0.5,
        "format": pytest.approx(5 / 6),
        "step_reward": 0.5,
        "thought_length": 2,
        "corrections": 0.5,
        "entropy": 0.5,
        "groups_without_signal": pytest.approx(0.75),
        "completion_length": 3,
        "truncated": 0.5,
    }


def test_the_first_of_the_commonest_answers_wins():
    assert majority_vote(["3", "1", "1", "3"], 4) == [1, 0, 0, 1]
    assert majority_vote(["1", "1", "2", "2", "2", "1"], 3) == [1, 1, 0, 1, 1, 0]
    assert majority_vote(["", "", "", "2"], 4) == [0, 0, 0, 1]  # what is missing has no vote
    assert majority_vote(["", ""], 2) == [0, 0]


def test_of_several_answers_or_thoughts_none_counts():
    texts = ("<think>21!12</think><answer>12</answer>", "<think>12", "<answer>1</answer><answer>2</answer>", "!")
    completions = [tokens(text) for text in texts]
    assert [parsed_answer(completion) for completion in completions] == ["12", "", "", ""]
    assert trace_readings(completions, "heldout_") == {"heldout_thought_length": 5, "heldout_corrections": 0.25}
    assert trace_readings(completions[1:]) == {"corrections": 0}
