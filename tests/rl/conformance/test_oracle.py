"""The oracle against differences: a derivative is what the value does when its argument moves a little."""

import dataclasses

import numpy as np
import pytest

from suite.rl.objective import AGGREGATIONS, KL_TYPES
from tests.rl.conformance import oracle, problems
from tests.rl.conformance.checks import random_completions
from tests.rl.conformance.expectations import Draws, likelihood_factor, objective
from tests.rl.conformance.problems import another_policy, log_softmax, one_choice, short_sequences

LITTLE = 1e-6
ON_THE_WAY = ("vanilla", "gspo", "sapo")


def slope(value, at):
    return (value(at + LITTLE) - value(at - LITTLE)) / (2 * LITTLE)


def differences(value, table_SK):
    """Gradient over logits, one by one."""
    gradient = np.zeros_like(table_SK)
    for where in np.ndindex(table_SK.shape):

        def moved(logit, where=where):
            logits = table_SK.copy()
            logits[where] = logit
            return value(log_softmax(logits))

        gradient[where] = slope(moved, table_SK[where])
    return gradient


def test_the_gradient_of_the_expected_reward_is_its_slope():
    problem = short_sequences(0)

    def worth(policy_SK):
        return sum(
            problems.probability(path, policy_SK)
            * (reward - 0.1 * sum(policy_SK[s][k] - problem.reference_SK[s][k] for s, k in path))
            for path, reward in zip(problem.paths, problem.rewards, strict=True)
        )

    wanted = differences(worth, problem.policy_SK)
    np.testing.assert_allclose(problems.reward_gradient(problem, 0.1), wanted, atol=1e-9)


def test_the_gradients_of_both_divergences_are_their_slopes():
    problem = one_choice(0)
    p, q = problem.policy_SK[0], problem.reference_SK[0]
    assert problems.divergence(p, q) == pytest.approx(0.329885, abs=5e-7)
    forward = differences(lambda policy_SK: problems.divergence(policy_SK[0], q), problem.policy_SK)[0]
    reverse = differences(lambda policy_SK: problems.divergence(q, policy_SK[0]), problem.policy_SK)[0]
    np.testing.assert_allclose(problems.divergence_gradient(p, q), forward, atol=1e-9)
    np.testing.assert_allclose(problems.reverse_divergence_gradient(p, q), reverse, atol=1e-9)


@pytest.mark.parametrize("kl_type", KL_TYPES)
def test_the_slope_of_an_estimate_is_its_slope(kl_type):
    wanted = slope(lambda log_p: oracle.kl_estimate(kl_type, log_p, -1.2, -0.4), -0.7)
    assert oracle.kl_slope(kl_type, -0.7, -1.2, -0.4) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("policy_loss", ON_THE_WAY)
def test_the_slopes_of_a_loss_are_its_slopes(policy_loss, mode):
    """But for cispo, whose weight is held while its slope is taken."""
    kind = objective(5, policy_loss=policy_loss, loss_agg_mode=mode, clip_ratio_c=1.5, kl_coef=0.1)
    completions = random_completions(1, kind)
    advantages = oracle.rloo(completions, kind)
    _, slopes = oracle.loss_and_slopes(completions, kind, advantages)
    for index, t in ((0, 1), (3, 0), (5, 3), (8, 1)):

        def moved(log_p, index=index, t=t):
            changed = [*completions]
            logs = [*completions[index].log_p]
            logs[t] = log_p
            changed[index] = dataclasses.replace(completions[index], log_p=logs)
            return oracle.loss_and_slopes(changed, kind, advantages)[0]

        assert slopes[index][t] == pytest.approx(slope(moved, completions[index].log_p[t]), abs=1e-8)


def test_maxrl_follows_the_truncated_logarithm():
    """−Σ (1 − p)^k / k, up to one less than the draws, is what its factor times the slope of p is the slope of."""

    def of_success(p):
        return -sum((1 - p) ** k / k for k in range(1, 4))

    assert likelihood_factor(0.3, 4) == pytest.approx(slope(of_success, 0.3), abs=1e-8)
    assert likelihood_factor(0.3, 1000) == pytest.approx(1 / 0.3)


def test_every_draw_is_there_once():
    problem = short_sequences(0)
    assert sum(problems.probability(path, problem.policy_SK) for path in problem.paths) == pytest.approx(1, abs=1e-14)
    draws = Draws(dataclasses.replace(problem, sampled_SK=another_policy(problem, 0)), 4)
    assert len(set(draws.groups)) == 35
    assert sum(draws.weights_D) == pytest.approx(1, abs=1e-14)


def test_a_perfect_critic_says_what_is_still_to_be_expected():
    problem = short_sequences(0)
    from_the_start, _, before_the_last = problems.exact_values(problem, 0.0)
    priced = problems.exact_values(problem, 0.1)[0]
    chances = [problems.probability(path, problem.policy_SK) for path in problem.paths]
    assert from_the_start == pytest.approx(np.dot(chances, problem.rewards))
    divergence = sum(
        chance * sum(problem.policy_SK[s][k] - problem.reference_SK[s][k] for s, k in path)
        for chance, path in zip(chances, problem.paths, strict=True)
    )
    assert priced == pytest.approx(from_the_start - 0.1 * divergence)
    last = np.exp(problem.policy_SK[2])  # going on is the fourth path, ending the third
    assert before_the_last == pytest.approx(last[0] * problem.rewards[3] + last[1] * problem.rewards[2])
