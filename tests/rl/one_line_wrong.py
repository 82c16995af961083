"""Wrong lines: a line of a scratch copy of the package is changed, and a case runs it, of conformance, or where the
line is none of the formulas', of a tiny training run.

python tests/rl/one_line_wrong.py

Prints a line a change: the status that the case's record would have, and the reason. torch is loaded once, and every
change is run by a fork of its own, which finds the copy first.
"""

import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # behind whatever copy is put first

from tests.wrong_lines import try_all  # noqa: E402

CONFORMANCE = "tests.rl.conformance.layouts.WithLayouts"
SETTINGS = {"device": "cpu", "dtype": "float64", "threads": 1, "seed": 0}
UNTOUCHED = (
    "suite.measure.stateful",
    "suite.measure.memory_tracker",
    "suite.theory.layers.attention_plan",
    "suite.theory.layers.decoder_shape",
    "suite.attention.grouped",
    "suite.attention.latent",
)


@dataclass(frozen=True, kw_only=True)
class Change:
    what: str
    file: str
    before: str
    after: str
    trains: bool = False


GAE, GRPO, RLOO = "estimators/gae.py", "estimators/grpo.py", "estimators/rloo.py"
GDPO, MAXRL, REWARD = "estimators/gdpo.py", "estimators/maxrl.py", "reward.py"
VANILLA, GSPO, CISPO = "policy_losses/vanilla.py", "policy_losses/gspo.py", "policy_losses/cispo.py"
SAPO = "policy_losses/sapo.py"
SCORING, SAMPLING = "../lm/scoring.py", "../lm/sampling.py"
LOSSES, ADVANTAGES = "losses.py", "advantages.py"
CHANGES = (
    Change(what="nothing", file=GAE, before="", after=""),
    Change(
        what="whitening keeps the mean",
        file=ADVANTAGES,
        before="centred_NT * torch.rsqrt(variance + VARIANCE_EPSILON), 0)",
        after="values_NT * torch.rsqrt(variance + VARIANCE_EPSILON), 0)",
    ),
    Change(
        what="whitening by the biased variance",
        file=ADVANTAGES,
        before="(count - 1).clamp(min=1)",
        after="count.clamp(min=1)",
    ),
    Change(
        what="whitening counts padding",
        file=ADVANTAGES,
        before="count = mask_NT.sum()",
        after="count = torch.ones_like(mask_NT).sum()",
    ),
    Change(what="k1 with the wrong sign", file=LOSSES, before="return -d_NT", after="return d_NT"),
    Change(
        what="k3 of the reversed ratio",
        file=LOSSES,
        before="d_NT.exp() - d_NT - 1",
        after="(-d_NT).exp() + d_NT - 1",
    ),
    Change(
        what="k3_unbiased without its ratio",
        file=LOSSES,
        before="return k3_NT * torch.exp(log_p_NT - sampled_NT)",
        after="return k3_NT",
    ),
    Change(
        what="k3_unbiased without the ratio's gradient",
        file=LOSSES,
        before="torch.exp(log_p_NT - sampled_NT)",
        after="torch.exp(log_p_NT - sampled_NT).detach()",
    ),
    Change(
        what="GAE reads values from padding",
        file=GAE,
        before="next_value_N = torch.where(here_N, values_NT[:, t], next_value_N)",
        after="next_value_N = scored.values_NT[:, t]",
    ),
    Change(
        what="returns of whitened advantages",
        file=GAE,
        before="returns_NT=of_critic_NT + values_NT",
        after="returns_NT=whiten(of_critic_NT, mask_NT) + values_NT",
    ),
    Change(
        what="returns by the policy's lambda",
        file=GAE,
        before="objective.gamma, objective.critic_lam)",
        after="objective.gamma, _policy_lam(mask_NT, objective))",
    ),
    Change(
        what="the policy's advantages by the critic's lambda",
        file=GAE,
        before="advantages_NT=whiten(raw_NT",
        after="advantages_NT=whiten(of_critic_NT",
    ),
    Change(
        what="a lambda by the padded length",
        file=GAE,
        before="objective.lam_alpha * mask_NT.sum(dim=1)",
        after="objective.lam_alpha * torch.full_like(mask_NT[:, 0], mask_NT.shape[1])",
    ),
    Change(what="a lambda below 0 for short completions", file=GAE, before=".clamp(min=0)", after=""),
    Change(
        what="the outcome rewarded at the end of the padding",
        file=ADVANTAGES,
        before="torch.where((mask_NT > 0) & (left_NT == 1)",
        after="torch.where(torch.arange(mask_NT.shape[1], device=mask_NT.device) == mask_NT.shape[1] - 1",
    ),
    Change(
        what="the KL's price summed over padding",
        file=ADVANTAGES,
        before="torch.where(scored.mask_NT > 0, scored.kl_NT, 0).sum(dim=1)",
        after="scored.kl_NT.sum(dim=1)",
    ),
    Change(
        what="KL averaged over padding",
        file=LOSSES,
        before="masked_NT = torch.where(mask_NT > 0, loss_NT, 0)",
        after="masked_NT = loss_NT",
    ),
    Change(
        what="clip fraction over padding",
        file=LOSSES,
        before="masked_NT.sum() / max(divisors.tokens, 1)",
        after="masked_NT.mean()",
    ),
    Change(
        what="token-mean divided by the micro-batch's tokens",
        file=LOSSES,
        before="masked_NT.sum() / max(divisors.tokens, 1)",
        after="masked_NT.sum() / mask_NT.sum().clamp(min=1)",
    ),
    Change(
        what="an empty completion divided by its length",
        file=LOSSES,
        before="mask_NT.sum(dim=1).clamp(min=1)",
        after="mask_NT.sum(dim=1)",
    ),
    Change(
        what="equal rewards divided by a deviation of nothing",
        file=ADVANTAGES,
        before="DEVIATION_EPSILON = 1e-6",
        after="DEVIATION_EPSILON = 0.0",
    ),
    Change(
        what="equal rewards told apart by rounding",
        file=ADVANTAGES,
        before="torch.where(differ(rewards_N, same_NN), rewards_N - means_N, 0)",
        after="rewards_N - means_N",
    ),
    Change(
        what="the deviation of a group of one",
        file=ADVANTAGES,
        before="(same_NN.sum(dim=1) - 1).clamp(min=1)",
        after="(same_NN.sum(dim=1) - 1)",
    ),
    Change(
        what="advantages not masked",
        file=RLOO,
        before="torch.where(scored.mask_NT > 0, left_out_N[:, None], 0)",
        after="left_out_N[:, None].expand_as(scored.mask_NT)",
    ),
    Change(
        what="one completion is not left out of the mean",
        file=RLOO,
        before="centred(rewards_N, scored.groups_N) * sizes_N / (sizes_N - 1).clamp(min=1)",
        after="centred(rewards_N, scored.groups_N)",
    ),
    Change(
        what="a step credits the tokens after it",
        file=GRPO,
        before="centred_NT.flip(1).cumsum(dim=1).flip(1)",
        after="centred_NT.cumsum(dim=1)",
    ),
    Change(what="the larger gain in place of the smaller", file=VANILLA, before="torch.min(", after="torch.max("),
    Change(
        what="the lower clip used for both ends",
        file=VANILLA,
        before="1 - objective.clip_ratio_low, 1 + objective.clip_ratio_high",
        after="1 - objective.clip_ratio_low, 1 + objective.clip_ratio_low",
    ),
    Change(
        what="the dual clip for good tokens too",
        file=VANILLA,
        before="(ratio_NT > objective.clip_ratio_c) & (advantages_NT < 0)",
        after="(ratio_NT > objective.clip_ratio_c) & (advantages_NT != 0)",
    ),
    Change(
        what="GSPO's ratio over the padded length",
        file=GSPO,
        before="mask_NT.sum(dim=1, keepdim=True).clamp(min=1)",
        after="mask_NT.shape[1]",
    ),
    Change(what="CISPO's weight with a gradient", file=CISPO, before=".exp().detach()", after=".exp()"),
    Change(
        what="GDPO normalises all parts at once",
        file=GDPO,
        before="centred_N / (deviations(centred_N, scored.groups_N) + DEVIATION_EPSILON)",
        after="centred_N",
    ),
    Change(
        what="GDPO without the parts' weights",
        file=GDPO,
        before="total_N + weight * centred_N",
        after="total_N + centred_N",
    ),
    Change(
        what="GDPO without whitening",
        file=GDPO,
        before="advantages_NT=whiten(total_N[:, None].expand_as(scored.mask_NT), scored.mask_NT)",
        after="advantages_NT=total_N[:, None] * scored.mask_NT",
    ),
    Change(
        what="MaxRL divides by a mean of 0",
        file=MAXRL,
        before="solved_N = means_N > 0",
        after="solved_N = means_N >= 0",
    ),
    Change(
        what="MaxRL without its baseline",
        file=MAXRL,
        before="centred(scored.rewards_N, scored.groups_N) / means_N",
        after="scored.rewards_N / means_N",
    ),
    Change(
        what="MaxRL's mean over the batch",
        file=MAXRL,
        before="same_NN = members(scored.groups_N)",
        after="same_NN = members(scored.groups_N * 0)",
    ),
    Change(
        what="SAPO's temperatures exchanged",
        file=SAPO,
        before="advantages_NT > 0, objective",
        after="advantages_NT < 0, objective",
    ),
    Change(what="SAPO's gate without 4 over its temperature", file=SAPO, before=" * 4 / tau_NT", after=" * 4"),
    Change(what="SAPO's gate around a ratio of 0", file=SAPO, before="(ratio_NT - 1)", after="ratio_NT"),
    Change(
        what="the gate pays for the form alone",
        file=REWARD,
        before="accuracy * form if",
        after="max(accuracy, form) if",
    ),
    Change(what="the gate is never shut", file=REWARD, before="accuracy * form if", after="accuracy if"),
    Change(
        what="the penalty for length starts at the limit",
        file=REWARD,
        before="(free - length)",
        after="(self.longest_completion - length)",
    ),
    Change(
        what="the critic's better loss in place of the worse",
        file="critic.py",
        before="torch.max(losses_NT",
        after="torch.min(losses_NT",
    ),
    Change(what="nothing, in training", file=SCORING, before="", after="", trains=True),
    Change(
        what="scored at another temperature than sampled",
        file=SCORING,
        before="tempered(scope.leaves(model.logits(h_NTD)), temperature)",
        after="scope.leaves(model.logits(h_NTD))",
        trains=True,
    ),
    Change(
        what="sampled at another temperature than asked",
        file=SAMPLING,
        before="tempered(self._model.logits(h_BD), temperature)",
        after="self._model.logits(h_BD)",
        trains=True,
    ),
    Change(
        what="a new token turned by the wrong angle",
        file=SAMPLING,
        before="self._caches, self._filled, mask)",
        after="self._caches, self._filled - 1, mask)",
        trains=True,
    ),
)


def main():
    # What every fork would load for itself: torch._dynamo comes with the first optimiser.
    import filelock  # noqa: F401
    import psutil  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch._dynamo
    import yaml  # noqa: F401

    torch.set_num_threads(1)
    try_all(CHANGES, "rl", outcome, untouched=UNTOUCHED)


def _settle_at_once():
    """End the case at the first broken expectation, without those of the same objective."""
    from suite.rl.conformance.cases import Ledger

    expect = Ledger.expect

    def expected(ledger, *difference, **allowed):
        expect(ledger, *difference, **allowed)
        ledger.settle()

    Ledger.expect = expected


def outcome(change, folder):
    sys.path.insert(0, folder)
    try:
        import suite
        from suite.measure.stateful import run_stateful

        assert Path(suite.__file__).is_relative_to(folder)
        settings = {**SETTINGS, "workload": {"_target_": CONFORMANCE}}
        if change.trains:
            from tests.rl import cases

            settings = cases.settings(temperature=0.7)
        else:
            _settle_at_once()
        status, reason = run_stateful(
            lambda **message: None,
            settings=settings,
            shared=Path(folder),
            checkpoint=Path(folder) / "checkpoint",
            run_key="0" * 64,
            no_energy="off",
        )
        return f"{status}: {reason}"
    except Exception:
        return traceback.format_exc()


if __name__ == "__main__":
    main()
