"""Our loss and its gradient against TRL's GRPO, on given log-probabilities in float64: the same bits, but for the last
one of the gradient in two kinds of loss.

TRL's loss is a method of its trainer; it is called with a small namespace in place of the trainer, whose model is what
we give it. Its settings have other names: loss_type is our aggregation (and cispo a policy loss), delta our dual clip,
epsilon_high of cispo the bound itself, and use_bias_correction_kl our k3_unbiased.
"""

import warnings
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from suite.rl.losses import Divisors, aggregate, kl_estimates
from suite.rl.registry import POLICY_LOSSES
from tests.rl.conformance.checks import objective
from tests.rl.examples import mask_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from trl.trainer.grpo_trainer import GRPOTrainer

LENGTHS, LONGEST = (6, 3, 1, 5), 8
SEQUENCE_MEAN = {"loss_agg_mode": "seq-mean-token-mean"}
TOKEN_MEAN = {"loss_agg_mode": "token-mean"}
GSPO = {"policy_loss": "gspo", "clip_ratio_low": 3e-4, "clip_ratio_high": 4e-4}
SETTINGS = {
    "grpo": ({"loss_type": "grpo"}, SEQUENCE_MEAN),
    "grpo at the policy that sampled": ({"loss_type": "grpo", "on_policy": True}, SEQUENCE_MEAN),
    "grpo with k3": (
        {"loss_type": "grpo", "beta": 0.04, "use_bias_correction_kl": False},
        {**SEQUENCE_MEAN, "kl_type": "k3", "kl_coef": 0.04},
    ),
    "grpo with k3_unbiased, TRL's default": (
        {"loss_type": "grpo", "beta": 0.04, "use_bias_correction_kl": True},
        {**SEQUENCE_MEAN, "kl_type": "k3_unbiased", "kl_coef": 0.04},
    ),
    "bnpo": ({"loss_type": "bnpo"}, TOKEN_MEAN),
    "dapo with its wider clip": (
        {"loss_type": "dapo", "epsilon_high": 0.28},
        {**TOKEN_MEAN, "clip_ratio_high": 0.28},
    ),
    "dapo with k3": (
        {"loss_type": "dapo", "beta": 0.1, "use_bias_correction_kl": False},
        {**TOKEN_MEAN, "kl_type": "k3", "kl_coef": 0.1},
    ),
    "dr_grpo": ({"loss_type": "dr_grpo"}, {"loss_agg_mode": "seq-mean-token-sum-norm"}),
    "luspo": ({"loss_type": "luspo"}, {"loss_agg_mode": "seq-mean-token-sum"}),
    "the dual clip": ({"loss_type": "grpo", "delta": 1.5}, {**SEQUENCE_MEAN, "clip_ratio_c": 1.5}),
    "gspo": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon_low": 3e-4, "epsilon_high": 4e-4},
        {**SEQUENCE_MEAN, **GSPO},
    ),
    "gspo without a clip": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon_low": 0.9, "epsilon_high": 9.0},
        {**SEQUENCE_MEAN, **GSPO, "clip_ratio_low": 0.9, "clip_ratio_high": 9.0},
    ),
    "cispo": (
        {"loss_type": "cispo", "epsilon_high": 1.3},
        {**TOKEN_MEAN, "policy_loss": "cispo", "clip_ratio_low": 1.0, "clip_ratio_high": 0.3},
    ),
}

ANOTHER_ORDER = ("grpo with k3_unbiased, TRL's default", "gspo", "gspo without a clip")
"""Whose gradients are sums in another order: TRL weighs k3 by the very ratio of the surrogate, and multiplies by a
completion's advantage after the sum over its tokens. Their losses have the same bits nevertheless."""
LAST_BIT = 1e-16


class Given:
    """A minibatch: log-probabilities of three policies, advantages and a mask."""

    def __init__(self, seed, on_policy):
        generator = torch.Generator().manual_seed(seed)
        shape = (len(LENGTHS), max(LENGTHS))
        self.log_p, self.reference = (
            -torch.rand(shape, generator=generator, dtype=torch.float64) * 3 for _ in range(2)
        )
        moved = 0 if on_policy else 0.4 * torch.randn(shape, generator=generator, dtype=torch.float64)
        self.old = self.log_p + moved
        self.advantages = torch.randn(len(LENGTHS), generator=generator, dtype=torch.float64)
        self.mask = mask_of(LENGTHS, max(LENGTHS))


def loss_of_trl(given, *, loss_type, on_policy=False, weights=None, **settings):
    """TRL's loss, its gradient and its metrics; `weights`: of tokens that another policy sampled."""
    leaf = given.log_p.clone().requires_grad_()
    chosen = {"beta": 0.0, "epsilon_low": 0.2, "epsilon_high": 0.2, "importance_sampling_level": "token"} | settings
    arguments = SimpleNamespace(
        use_bias_correction_kl=chosen.pop("use_bias_correction_kl", True),
        delta=chosen.pop("delta", None),
        steps_per_generation=1,
    )
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (leaf, torch.zeros_like(leaf), None),
        args=arguments,
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(num_processes=1, reduce=lambda value, **_: value, gather=lambda value: value),
        loss_type=loss_type,
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=weights is not None,
        vllm_importance_sampling_correction=weights is not None,
        current_gradient_accumulation_steps=1,
        max_completion_length=LONGEST,
        _entropy_bonus_enabled=False,
        _metrics={"train": defaultdict(list)},
        **chosen,
    )
    prompt, mask = torch.zeros(len(LENGTHS), 1, dtype=torch.long), given.mask.long()
    inputs = {
        "prompt_ids": prompt,
        "prompt_mask": prompt + 1,
        "completion_ids": torch.zeros_like(mask),
        "completion_mask": mask,
        "advantages": given.advantages,
        "old_per_token_logps": None if on_policy else given.old,
        "ref_per_token_logps": given.reference,
        "importance_sampling_ratio": weights,
        "num_items_in_batch": mask.sum(),
    }
    loss = GRPOTrainer._compute_loss(trainer, None, inputs)
    return loss.detach(), torch.autograd.grad(loss, leaf)[0], trainer._metrics["train"]


def ours(given, **settings):
    chosen = objective(LONGEST, **{"clip_ratio_high": 0.2, "kl_coef": 0.0, **settings})
    leaf = given.log_p.clone().requires_grad_()
    advantages_NT = given.advantages[:, None] * given.mask
    term = POLICY_LOSSES.load(chosen.policy_loss)(leaf, given.old, advantages_NT, given.mask, chosen)
    tokens_NT = term.loss_NT
    if chosen.kl_in_loss:
        tokens_NT = tokens_NT + chosen.kl_coef * kl_estimates(leaf, given.reference, chosen.kl_type, given.old)
    divisors = Divisors.from_mask(given.mask, longest=LONGEST)
    loss = aggregate(tokens_NT, given.mask, chosen.loss_agg_mode, divisors)
    clipped = [
        aggregate(part, given.mask, "token-mean", divisors) for part in (term.clipped_low_NT, term.clipped_high_NT)
    ]
    return loss.detach(), torch.autograd.grad(loss, leaf)[0], clipped


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", SETTINGS)
def test_loss_and_gradient_are_trls_to_the_bit(name, seed):
    of_trl, of_ours = SETTINGS[name]
    given = Given(seed, on_policy=of_trl.get("on_policy", False))
    their_loss, their_gradient, metrics = loss_of_trl(given, **of_trl)
    our_loss, our_gradient, clipped = ours(given, **of_ours)
    assert bool((their_gradient != 0).any()) or name == "gspo"  # which clips nearly everything
    assert float((our_loss - their_loss).abs()) == 0.0
    assert float((our_gradient - their_gradient).abs().max()) <= (LAST_BIT if name in ANOTHER_ORDER else 0.0)
    if of_trl["loss_type"] != "cispo" and of_trl.get("importance_sampling_level") != "sequence":
        # TRL does not count what delta bounds.
        assert metrics["clip_ratio/low_mean"] == [pytest.approx(clipped[0].item(), abs=1e-7)]
        if "delta" not in of_trl:
            assert metrics["clip_ratio/high_mean"] == [pytest.approx(clipped[1].item(), abs=1e-7)]
