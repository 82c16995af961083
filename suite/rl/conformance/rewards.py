"""The reward's forms against the oracle's, over every score and length that a short completion can have."""

import itertools

from suite.rl.conformance import oracle
from suite.rl.conformance.cases import Ledger
from suite.rl.reward import ADDED, FORMAT_REWARDS, Reward

LONGEST = 5
SCORES = (0.0, 0.5, 1.0)
WEIGHT = 0.25


def check_rewards(ledger: Ledger) -> None:
    """Compare sums, and that each part is what remains of the sum where the others are 0."""
    for form, buffer in itertools.product(FORMAT_REWARDS, (0, 2)):
        reward = Reward(
            format_reward=form,
            format_weight=WEIGHT if form == ADDED else None,
            overlong_buffer=buffer,
            longest_completion=LONGEST,
        )
        worst = 0.0
        for accuracy, is_formed, length in itertools.product(SCORES, (0.0, 1.0), range(LONGEST + 1)):
            parts = reward.parts(accuracy=accuracy, form=is_formed, length=length)

            def paid(buffer: int, **changed: float) -> float:
                given = {"accuracy": accuracy, "form": is_formed, "length": length} | changed
                return oracle.reward(form, WEIGHT, buffer, LONGEST, **given)

            wanted = [paid(0)] if form != ADDED else [paid(0, form=0.0), paid(0, accuracy=0.0)]
            if buffer:
                wanted.append(paid(buffer) - paid(0))
            weighed = [part * weight for part, weight in zip(parts, reward.weights, strict=True)]
            differences = [reward.total(parts) - paid(buffer), *(a - b for a, b in zip(weighed, wanted, strict=True))]
            worst = max(worst, *map(abs, differences))
        span = f"reward {form}{', with a penalty for length' if buffer else ''}"
        ledger.note(span, largest_difference=worst)
        ledger.expect(span, "a reward or a part of it", worst)
