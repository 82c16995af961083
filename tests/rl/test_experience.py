import pytest
import torch

from suite.lm.sampling import Samples
from suite.measure.meter import Meter
from suite.rl.base import new_decoder
from suite.rl.experience import gather, groups_with_signal, rewards_of, scores_of, step_rewards
from suite.rl.tasks.task import Item, Score, StepReward
from tests.rl.cases import plan, settings


class Lottery:
    """A task whose reward is chance, so that some groups are equal and some are not."""

    has_steps = True
    longest_completion = 6

    def item(self, generator):
        number = str(generator.randrange(100))
        return Item(prompt=f"s{number:>02}=", content=number, answer=number)

    def score(self, item, completion):
        return Score(accuracy=float(len(completion) % 2), format=0.0, steps=[StepReward(end=0, reward=1.0)])


def gathered(step=0, **changes):
    wanted = plan(**changes)
    wanted.task = Lottery()
    policy = new_decoder(wanted, settings()["attention"])
    with torch.no_grad():
        policy.embedding[1] += 0.7 * policy.embedding[5]  # it ends now and then
    meter = Meter()
    meter.step = step
    return gather(wanted, policy, meter)


def samples(lengths, longest=8, truncated=()):
    columns = torch.arange(longest)
    mask = (columns < torch.tensor(lengths)[:, None]).double()
    return Samples(
        tokens_NT=torch.zeros(len(lengths), longest, dtype=torch.long),
        mask_NT=mask,
        log_probs_NT=mask,
        entropy_NT=None,
        is_truncated_N=torch.tensor([row in truncated for row in range(len(lengths))]),
    )


def test_a_step_meets_the_same_prompts_and_noise_whatever_came_before():
    assert torch.equal(gathered(4).kept.tokens_NT, gathered(4).kept.tokens_NT)
    assert not torch.equal(gathered(4).kept.prompts.tokens_PS, gathered(5).kept.prompts.tokens_PS)


def test_algorithms_meet_the_same_prompts():
    grpo, ppo = (gathered(algorithm=name).kept.prompts.tokens_PS for name in ("grpo", "ppo"))
    assert torch.equal(grpo, ppo)


def test_groups_are_completions_of_one_prompt_next_to_each_other():
    one = gathered().kept
    assert one.groups_N.tolist() == [group for group in range(4) for _ in range(4)]
    for group in range(4):
        assert len(one.prompts.tokens_PS[one.groups_N == group].unique(dim=0)) == 1


def test_only_groups_whose_rewards_differ_have_a_signal():
    rewards, groups = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0]), torch.tensor([7, 7, 3, 3, 5, 5])
    assert groups_with_signal(rewards, groups).tolist() == [3]


def test_filtered_groups_are_drawn_again_until_there_are_enough():
    found = gathered(filter_groups=True, filter_groups_max_rounds=40)
    assert len(found.sampled) > 1
    kept = found.kept
    assert len(kept.groups_N.unique()) == 4
    assert len(kept.scores) == len(kept.rewards_N) == 16
    for group in kept.groups_N.unique():
        assert len(kept.rewards_N[kept.groups_N == group].unique()) > 1


def test_filtering_stops_after_its_rounds_and_may_leave_nothing():
    found = gathered(filter_groups=True, filter_groups_max_rounds=1, num_generations=2, prompts_per_step=8)
    assert len(found.sampled) == 1
    assert found.kept is None or len(found.kept.groups_N.unique()) < 8


def test_the_reward_is_accuracy_and_weighted_format():
    wanted = plan(format_weight=0.25)
    scores = [Score(accuracy=1.0, format=1.0), Score(accuracy=0.0, format=1.0), Score(accuracy=1.0, format=0.0)]
    assert rewards_of(wanted, scores, samples([2, 3, 4])).tolist() == [1.25, 0.25, 1.0]


def test_a_majority_says_what_is_right_in_place_of_the_key_and_recorded_accuracy_stays_the_keys():
    wanted = plan(reward_source="majority", num_generations=4, prompts_per_step=4)
    ids = [wanted.vocabulary.encode(f"<answer>{answer}</answer>") for answer in ("21", "21", "12", "21")]
    given = Samples(
        tokens_NT=torch.tensor(ids),
        mask_NT=torch.ones(4, 4),
        log_probs_NT=torch.zeros(4, 4),
        entropy_NT=None,
        is_truncated_N=torch.ones(4, dtype=torch.bool),
    )
    scores = scores_of(wanted, [Item(prompt="s21=", content="12", answer="12")] * 4, given)
    assert [score.accuracy for score in scores] == [0, 0, 1, 0]
    assert rewards_of(wanted, scores, given).tolist() == [1, 1, 0, 1]
    by_key = plan(num_generations=4, prompts_per_step=4)
    assert rewards_of(by_key, scores, given).tolist() == [0, 0, 1, 0]


def test_the_outcome_may_be_one_more_step_at_the_completions_end():
    one = gathered().kept
    rewards, ends = step_rewards(one, outcome_as_step=False)
    both, all_ends = step_rewards(one, outcome_as_step=True)
    assert ends[:, 0].tolist() == [1] * 16
    assert ends.sum() == 16
    assert torch.equal((both - rewards).sum(dim=1), one.rewards_N)
    last = one.mask_NT.sum(dim=1).long() - 1
    assert all_ends.gather(1, last[:, None]).all()
    assert all_ends.sum() == 16 + (last > 0).sum()


def test_the_soft_penalty_grows_over_the_buffer_and_ends_at_one():
    wanted = plan(overlong_buffer=4)  # of 11 tokens
    nothing = [Score(accuracy=0.0, format=0.0)] * 5
    assert rewards_of(wanted, nothing, samples([3, 7, 8, 9, 11], longest=11)).tolist() == [0, 0, -0.25, -0.5, -1]


@pytest.mark.parametrize("is_truncated", [False, True])
def test_a_scorer_sees_the_completion_without_its_end(is_truncated):
    wanted = plan()
    text = "<think>12</think><answer>12</answer>"
    ids = wanted.vocabulary.encode(text) + ([] if is_truncated else [1])
    given = Samples(
        tokens_NT=torch.tensor([ids]),
        mask_NT=torch.ones(1, len(ids)),
        log_probs_NT=torch.zeros(1, len(ids)),
        entropy_NT=None,
        is_truncated_N=torch.tensor([is_truncated]),
    )
    (score,) = scores_of(wanted, [Item(prompt="s21=", content="12", answer="12")], given)
    assert (score.accuracy, score.format) == (1.0, 1.0)
