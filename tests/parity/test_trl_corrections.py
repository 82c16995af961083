"""The weights of tokens that another policy sampled, and the loss with them, against TRL's for vLLM, in float64.

TRL computes its weights in the middle of a method that samples, too. These lines are taken from the method as it is
installed and run on given log-probabilities. Its names are token_truncate for our token_tis, and token_mask for
token_mis. The upper bound alone truncates there, as here.
"""

import ast
import inspect
import math
import textwrap
import warnings
from types import SimpleNamespace

import pytest
import torch

from suite.rl.losses import Divisors, aggregate
from suite.rl.registry import POLICY_LOSSES
from suite.rl.rollout_correction import Correction, token_weights
from tests.parity.test_trl import LONGEST, Given, loss_of_trl
from tests.rl.conformance.checks import objective

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from trl.trainer.grpo_trainer import GRPOTrainer

MODES = {
    "token_tis": "token_truncate",
    "token_mis": "token_mask",
    "sequence_tis": "sequence_truncate",
    "sequence_mis": "sequence_mask",
}
RATIO = "vllm_importance_sampling_ratio"
CAP, LOWEST, HIGHEST = 1.2, 0.7, 1.3  # within the ratios of the given policies, so that each bound holds for some token


def weights_of_trl(kind, given, sampled):
    """TRL's own lines that set RATIO, on these log-probabilities."""
    (method,) = ast.parse(textwrap.dedent(inspect.getsource(GRPOTrainer._generate_and_score_completions))).body
    blocks = [node for node in ast.walk(method) if isinstance(node, ast.If)]
    (block,) = [node for node in blocks if any(RATIO in ast.unparse(line).split(" = ")[0] for line in node.body[:-1])]
    bounds = (None, CAP) if kind.endswith("_tis") else (LOWEST, HIGHEST)
    names = {
        "self": SimpleNamespace(
            use_vllm=True,
            vllm_importance_sampling_correction=True,
            vllm_importance_sampling_mode=MODES[kind],
            vllm_importance_sampling_clip_min=bounds[0],
            vllm_importance_sampling_clip_max=bounds[1],
        ),
        "torch": torch,
        "math": math,
        "old_per_token_logps": given.old,
        "sampling_per_token_logps": sampled,
        "completion_mask": given.mask,
        "tool_mask": None,
    }
    exec(compile(ast.Module([block], []), "TRL", "exec"), names)
    return names[RATIO]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", MODES)
def test_weights_and_loss_are_trls(kind, seed):
    given = Given(seed, on_policy=False)
    noise = torch.randn(given.old.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sampled = given.old + 0.3 * noise
    is_mask = kind.endswith("_mis")
    correction = Correction(
        kind=kind,
        cap=None if is_mask else CAP,
        lowest=LOWEST if is_mask else None,
        highest=HIGHEST if is_mask else None,
    )
    theirs = weights_of_trl(kind, given, sampled)
    weights_NT = token_weights(given.old - sampled, given.mask, correction)
    torch.testing.assert_close(weights_NT, theirs * given.mask, rtol=1e-15, atol=0)
    assert len({*weights_NT[given.mask > 0].tolist()} & {0.0, CAP}) == 1

    their_loss, their_gradient, _ = loss_of_trl(given, loss_type="bnpo", weights=theirs)
    chosen = objective(LONGEST, loss_agg_mode="token-mean", clip_ratio_high=0.2)
    leaf = given.log_p.clone().requires_grad_()
    advantages_NT = given.advantages[:, None] * given.mask
    term = POLICY_LOSSES.load(chosen.policy_loss)(leaf, given.old, advantages_NT, given.mask, chosen)
    divisors = Divisors.from_mask(given.mask, longest=LONGEST)
    loss = aggregate(term.loss_NT * weights_NT, given.mask, chosen.loss_agg_mode, divisors)
    torch.testing.assert_close(loss.detach(), their_loss, rtol=1e-14, atol=0)
    torch.testing.assert_close(torch.autograd.grad(loss, leaf)[0], their_gradient, rtol=1e-14, atol=1e-16)
