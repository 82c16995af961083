"""The reward's forms against the oracle's, over every score and length that a short completion can have."""

import functools
import itertools

from suite.rl.conformance.cases import Ledger
from suite.rl.reward import ADDED, FORMAT_REWARDS, Reward

LONGEST = 5
ACCURACIES = (0.0, 0.5, 1.0)
FORMED = (0.0, 1.0)
WEIGHT = 0.25


def check_rewards(ledger: Ledger) -> None:
    for format_reward, buffer in itertools.product(FORMAT_REWARDS, (0, 2)):
        reward = Reward(
            format_reward=format_reward,
            format_weight=WEIGHT if format_reward == ADDED else None,
            overlong_buffer=buffer,
            longest_completion=LONGEST,
        )
        of_all = itertools.product(ACCURACIES, FORMED, range(LONGEST + 1))
        worst = max(_difference(reward, *of_completion) for of_completion in of_all)
        span = f"reward {format_reward}{', with a penalty for length' if buffer else ''}"
        ledger.note(span, largest_difference=worst)
        ledger.expect(span, "a reward or a part of it", worst)


def _difference(reward: Reward, accuracy: float, formed: float, length: int) -> float:
    """Return the largest difference of the sum, and of each weighed part from what remains of the sum where the other
    parts are 0."""
    parts = reward.parts(accuracy=accuracy, form=formed, length=length)
    paid = functools.partial(paid_by_formula, reward.format_reward, WEIGHT)
    whole = paid(0, LONGEST, accuracy=accuracy, form=formed, length=length)
    less = paid(reward.overlong_buffer, LONGEST, accuracy=accuracy, form=formed, length=length)
    wanted = [whole]
    if reward.format_reward == ADDED:
        wanted = [
            paid(0, LONGEST, accuracy=accuracy, form=0.0, length=length),
            paid(0, LONGEST, accuracy=0.0, form=formed, length=length),
        ]
    if reward.overlong_buffer:
        wanted.append(less - whole)
    weighed = [weight * part for weight, part in zip(reward.weights, parts, strict=True)]
    differences = [got - want for got, want in zip(weighed, wanted, strict=True)]
    return max(map(abs, [reward.total(parts) - less, *differences]))


def paid_by_formula(
    format_reward: str, format_weight: float, buffer: int, longest: int, *, accuracy: float, form: float, length: int
) -> float:
    paid = accuracy if form == 1 else 0.0
    if format_reward == "added":
        paid = accuracy + format_weight * form
    late = length - (longest - buffer)
    return paid - late / buffer if buffer and late > 0 else paid
