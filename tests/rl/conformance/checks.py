"""What must hold of every objective: it is the oracle's formula token by token; padding, micro-batches and order do not
matter; equal rewards, a lone completion, an empty one and one that was cut break nothing."""

import functools
import itertools
import random
from dataclasses import dataclass, replace

import torch

from suite.configuration.files import choices, read_choice, read_settings
from suite.rl.advantages import Scored
from suite.rl.critic import value_loss
from suite.rl.losses import Divisors, aggregate, kl_estimates
from suite.rl.objective import objective_from
from suite.rl.registry import ESTIMATORS, POLICY_LOSSES
from suite.rl.reward import FORMAT_REWARDS, Reward, reward_from
from tests.rl.conformance import oracle
from tests.rl.conformance.oracle import Completion

LONGEST = 5
_read_settings = functools.cache(read_settings)
LENGTHS = (5, 2, 0, 3, 1, 4, 5, 3, 2)
"""Lengths of completions: one is empty, two are cut at the limit."""
LEFT, RIGHT = 2, 3
CHUNKS = ((0, 1), (2,), (3, 4, 5, 6, 7, 8))
IN_PADDING = 77.0
LOG_IN_PADDING = {"log_p": -3.0, "log_old": -9.0, "log_reference": -1.0}
"""Numbers that nobody would choose: a leak shows."""
UNNAMED = {
    "grpo process supervision": {"supervision": "process"},
    "grpo process supervision, scaled by the batch": {"supervision": "process", "scale_rewards": "batch"},
    "grpo process supervision, not scaled": {"supervision": "process", "scale_rewards": "none"},
    "gdpo with a penalty for length": {"adv_estimator": "gdpo", "overlong_buffer": 2},
    "gdpo with the format as a gate": {"adv_estimator": "gdpo", "format_reward": "gate"},
    "sapo with other temperatures": {"policy_loss": "sapo", "sapo_tau_pos": 0.5, "sapo_tau_neg": 3.0},
    "grpo scaled by the batch": {"scale_rewards": "batch"},
    "grpo with the dual clip": {"clip_ratio_c": 1.1},
    "grpo with k1": {"kl_coef": 0.1, "kl_type": "k1"},
    "grpo with k3_unbiased": {"kl_coef": 0.1, "kl_type": "k3_unbiased"},
    "grpo with a sequence sum": {"loss_agg_mode": "seq-mean-token-sum", "kl_coef": 0.1},
    "grpo with the k2 price": {"kl_coef": 0.1, "kl_type": "k2", "use_kl_in_reward": True},
    "rloo with cispo": {"adv_estimator": "rloo", "policy_loss": "cispo"},
    "gae with gspo": {"adv_estimator": "gae", "policy_loss": "gspo", "gamma": 0.9, "lam": 0.8},
    "gae with two lambdas": {"adv_estimator": "gae", "gamma": 0.9, "lam": 0.8, "critic_lam": 0.95},
    "gae with a lambda by length": {"adv_estimator": "gae", "gamma": 0.9, "lam_alpha": 0.4},
    "gae with a critic's lambda": {"adv_estimator": "gae", "gamma": 0.9, "lam_alpha": 0.4, "critic_lam": 1.0},
    "reinforce_plus_plus discounted": {"adv_estimator": "reinforce_plus_plus", "gamma": 0.9},
}
CASES = {name: read_choice("algorithm", name) for name in choices("algorithm")} | UNNAMED


def check_everything(first=None):
    """`first`: a case, or an estimator or policy loss all of whose cases are looked at first."""
    check_rewards()
    for _, changes in sorted(CASES.items(), key=lambda case: first not in (case[0], *case[1].values())):
        check(changes)


def check(changes, seed=0):
    wanted = objective(LONGEST, **changes)
    completions = random_completions(seed, wanted)
    got = differentiate(batch_of(completions, wanted), wanted)
    check_formulas(completions, wanted, got)
    check_layouts(completions, wanted, got)
    check_edges(completions, wanted)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Completions as padded tensors, with the log-probabilities of three policies."""

    scored: Scored
    log_p_NT: torch.Tensor
    log_old_NT: torch.Tensor
    log_reference_NT: torch.Tensor


def objective(longest, **changes):
    """The default objective of workload=rl with these settings changed."""
    settings = {**_read_settings("rl"), **changes}
    weights = reward_from(settings, longest_completion=longest).weights
    return objective_from(settings, longest_completion=longest, reward_weights=weights)


def batch_of(completions, objective, *, left=0, right=0, garbage=None, dtype=torch.float64):
    """Pad completions to tensors; `left` and `right` are columns of padding beyond the longest one, which hold
    `garbage` if it is given."""
    width = max(1, *(completion.length for completion in completions))

    def rows(parts, usual_padding, is_mask=False):
        padding = usual_padding if garbage is None or is_mask else garbage
        padded = [[padding] * left + list(part) + [padding] * (width - len(part) + right) for part in parts]
        return torch.tensor(padded, dtype=dtype)

    logs = {name: rows([getattr(c, name) for c in completions], padding) for name, padding in LOG_IN_PADDING.items()}
    price_NT = kl_estimates(logs["log_old"], logs["log_reference"], objective.kl_type) * objective.kl_coef
    has_steps = objective.supervision == "process"
    ends = [[float(t in dict(c.steps)) for t in range(c.length)] for c in completions]
    steps = [[dict(c.steps).get(t, IN_PADDING) for t in range(c.length)] for c in completions]
    scored = Scored(
        mask_NT=rows([[1.0] * c.length for c in completions], 0.0, is_mask=True),
        rewards_N=torch.tensor([c.reward for c in completions], dtype=dtype),
        parts_NK=torch.tensor([c.parts for c in completions], dtype=dtype) if objective.normalises_parts else None,
        groups_N=torch.tensor([c.group for c in completions]),
        kl_NT=price_NT if objective.has_reference and objective.use_kl_in_reward else None,
        values_NT=rows([c.values for c in completions], IN_PADDING) if objective.has_critic else None,
        step_rewards_NT=rows(steps, IN_PADDING) if has_steps else None,
        step_ends_NT=rows(ends, 1.0) if has_steps else None,
    )
    return Batch(scored=scored, **{f"{name}_NT": tensor for name, tensor in logs.items()})


def updated(value):
    """The critic's value after some update: some values move farther than the clip allows, some do not."""
    return 2 * value + 0.1


def differentiate(batch, objective, chunks=None, estimate=None):
    """The loss of a minibatch as training puts it together, in micro-batches of these completions, and its slopes by
    each token's log π and by each of the critic's values. What has two dimensions is [N, T]."""
    scored, mask_NT = batch.scored, batch.scored.mask_NT
    estimated = (estimate or ESTIMATORS.load(objective.adv_estimator))(scored, objective)
    policy_loss = POLICY_LOSSES.load(objective.policy_loss)
    divisors = Divisors.from_mask(mask_NT, longest=objective.longest_completion)
    log_p_NT = batch.log_p_NT.clone().requires_grad_()
    old_values_NT = torch.zeros_like(mask_NT) if scored.values_NT is None else scored.values_NT
    values_NT = updated(old_values_NT).requires_grad_()
    sums = dict.fromkeys(("loss", "value_loss", "clipped_low", "clipped_high"), mask_NT.new_zeros(()))
    for rows in [list(chunk) for chunk in chunks] if chunks else [slice(None)]:
        log_old_NT, here = batch.log_old_NT[rows], mask_NT[rows]
        term = policy_loss(log_p_NT[rows], log_old_NT, estimated.advantages_NT[rows], here, objective)
        losses_NT = term.loss_NT
        if objective.kl_in_loss:
            kl_NT = kl_estimates(log_p_NT[rows], batch.log_reference_NT[rows], objective.kl_type, log_old_NT)
            losses_NT = losses_NT + objective.kl_coef * kl_NT
        sums["loss"] = sums["loss"] + aggregate(losses_NT, here, objective.loss_agg_mode, divisors)
        for end, clipped_NT in (("low", term.clipped_low_NT), ("high", term.clipped_high_NT)):
            share = aggregate(clipped_NT, here, "token-mean", divisors)
            sums[f"clipped_{end}"] = sums[f"clipped_{end}"] + share
        if estimated.returns_NT is not None:
            parts = values_NT[rows], old_values_NT[rows], estimated.returns_NT[rows], here
            of_values = value_loss(*parts, objective.cliprange_value, tokens=divisors.tokens)
            sums["value_loss"] = sums["value_loss"] + of_values
    slopes_NT, value_slopes_NT = torch.autograd.grad(
        sums["loss"] + sums["value_loss"], (log_p_NT, values_NT), allow_unused=True, materialize_grads=True
    )
    by_token = {"advantages": estimated.advantages_NT, "slopes": slopes_NT, "value_slopes": value_slopes_NT}
    if estimated.returns_NT is not None:
        by_token["returns"] = estimated.returns_NT
    return {name: total.detach() for name, total in sums.items()} | by_token


def check_formulas(completions, objective, got):
    advantages = oracle.advantages(completions, objective)
    loss, slopes = oracle.loss_and_slopes(completions, objective, advantages)
    expected = {"advantages": advantages, "slopes": slopes, "loss": loss}
    terms = [
        term
        for completion, row in zip(completions, advantages, strict=True)
        for term in oracle.policy_terms(completion, row, objective)
    ]
    for end in ("low", "high"):
        expected[f"clipped_{end}"] = sum(getattr(term, f"is_clipped_{end}") for term in terms) / len(terms)
    if objective.has_critic:
        returns = oracle.gae_returns(completions, objective)
        new_values = [[updated(value) for value in completion.values] for completion in completions]
        of_values = oracle.value_loss_and_slopes(completions, returns, new_values, objective.cliprange_value)
        expected |= {"returns": returns, "value_loss": of_values[0], "value_slopes": of_values[1]}
    for name, value in expected.items():
        wanted = value
        if isinstance(value, list):
            wanted = [row + [0.0] * (max(LENGTHS) - len(row)) for row in value]  # 0 is wanted on padding too
        assert_close(got[name], torch.tensor(wanted, dtype=torch.float64), name)


def check_layouts(completions, objective, plain):
    inside = slice(LEFT, LEFT + max(LENGTHS))
    wide = differentiate(batch_of(completions, objective, left=LEFT, right=RIGHT), objective)
    reversed_rows = differentiate(batch_of(completions[::-1], objective), objective)
    in_parts = differentiate(batch_of(completions, objective), objective, CHUNKS)
    no_numbers = batch_of(completions, objective, left=LEFT, right=RIGHT, garbage=torch.nan)
    beside_nan, own_NT = differentiate(no_numbers, objective), no_numbers.scored.mask_NT[:, inside] > 0
    for name, value in plain.items():
        is_by_token = value.dim() == 2
        assert_close(wide[name][:, inside] if is_by_token else wide[name], value, f"{name} with padding")
        beside = beside_nan[name][:, inside] if is_by_token else beside_nan[name]
        if name.endswith("slopes"):  # those by NaN itself, which no model computes
            beside = torch.where(own_NT, beside, value)
        assert_close(beside, value, f"{name} beside NaN")
        assert_close(in_parts[name], value, f"{name} in micro-batches")
        assert_close(reversed_rows[name].flip(0) if is_by_token else reversed_rows[name], value, f"{name} in order")
    for name in ("advantages", "slopes"):
        outside = torch.cat([wide[name][:, : inside.start], wide[name][:, inside.stop :]], dim=1)
        assert_close(outside, torch.zeros_like(outside), f"{name} on padding")


def check_edges(completions, objective):
    free = replace(objective, kl_coef=0.0)  # the price of KL tells even equal rewards apart
    if objective.compares_group or (objective.adv_estimator == "reinforce_plus_plus" and objective.gamma == 1):
        equal = [
            replace(c, reward=0.1, parts=[0.1] * len(c.parts), steps=[(end, 0.1) for end, _ in c.steps])
            for c in completions
        ]
        for dtype in (torch.float64, torch.float32):
            assert_zero(differentiate(batch_of(equal, free, dtype=dtype), free), "equal rewards")
    if objective.supervision == "process":
        for steps in ([(0, 0.1)], []):  # that have nothing to be compared with
            single = [replace(completions[0], steps=steps), *(replace(c, steps=[]) for c in completions[1:])]
            assert_zero(differentiate(batch_of(single, free), free), "one step or none")
    alone = differentiate(batch_of([replace(completions[3], group=0)], free), free)
    if objective.compares_group and objective.supervision == "outcome":
        assert_zero(alone, "a group of one")
    empty = differentiate(batch_of([c for c in completions if not c.length], objective), objective)
    cut = [c for c in completions if c.length == LONGEST]
    got = differentiate(batch_of(cut, free), free)
    for name, outcome in (("alone", alone), ("empty", empty), ("cut", got)):
        assert all(bool(value.isfinite().all()) for value in outcome.values()), f"{name}: what must be a number"
    if "returns" in got:
        rewards = torch.tensor([c.reward for c in cut], dtype=torch.float64)
        assert_close(got["returns"][:, -1], rewards, "the last token's return")


def check_rewards():
    """Every score and length that a short completion can have: the sum, and each weighed part against what is left of
    the sum where the other parts are 0."""
    for form_of_reward, buffer in itertools.product(FORMAT_REWARDS, (0, 2)):
        weight = 0.25 if form_of_reward == "added" else None
        kind = Reward(
            format_reward=form_of_reward, format_weight=weight, overlong_buffer=buffer, longest_completion=LONGEST
        )
        for accuracy, form, length in itertools.product((0.0, 0.5, 1.0), (0.0, 1.0), range(LONGEST + 1)):

            def paid(accuracy, form, late, length=length, kind=kind):
                settings = kind.format_reward, kind.format_weight, late, LONGEST
                return oracle.reward(*settings, accuracy=accuracy, form=form, length=length)

            expected = [paid(accuracy, 0.0, 0), paid(0.0, form, 0)] if weight else [paid(accuracy, form, 0)]
            expected += [paid(0.0, 0.0, buffer)] if buffer else []
            parts = kind.parts(accuracy=accuracy, form=form, length=length)
            weighed = [share * part for share, part in zip(kind.weights, parts, strict=True)]
            got = torch.tensor([kind.total(parts), *weighed])
            assert_close(got, torch.tensor([paid(accuracy, form, buffer), *expected]), "a reward or a part of it")


def assert_close(got, wanted, name):
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12, msg=lambda text: f"{name} is off: {text}")


def assert_zero(got, name):
    for part in ("advantages", "slopes"):
        assert bool((got[part] == 0).all()), f"{part} must be exactly 0 for {name}"


def random_completions(seed, objective):
    """Three groups of three, with lengths, steps, values and three policies of their own."""
    generator = random.Random(seed)
    price = objective.kl_coef if objective.use_kl_in_reward else 0.0
    completions = []
    for index, length in enumerate(LENGTHS):
        reference, old = ([generator.uniform(-3, -0.5) for _ in range(length)] for _ in range(2))
        reward = generator.gauss(0, 1)
        completions.append(
            Completion(
                reward=abs(reward) if objective.adv_estimator == "maxrl" else reward,
                parts=[generator.gauss(0, 1) for _ in objective.reward_weights],
                group=index % 3,
                log_p=[value + generator.gauss(0, 0.3) for value in old],
                log_old=old,
                log_reference=reference,
                values=[generator.gauss(0, 1) for _ in range(length)],
                price=[
                    price * oracle.kl_estimate(objective.kl_type, *pair, 0.0)
                    for pair in zip(old, reference, strict=True)
                ]
                if price
                else [0.0] * length,
                steps=[(t, generator.gauss(0, 1)) for t in range(length) if generator.random() < 0.6],
            )
        )
    return completions
