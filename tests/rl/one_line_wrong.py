"""Wrong lines: a line of a scratch copy of the package is changed, and the checks of conformance run it, or where the
line is none of the formulas', a tiny training run.

python tests/rl/one_line_wrong.py

Prints a line a change: what the checks made of it. torch is loaded once, and every change is run by a fork of its own,
which finds the copy first.
"""

import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # behind whatever copy is put first

from tests.wrong_lines import try_all  # noqa: E402

UNTOUCHED = (
    "suite.measure.stateful",
    "suite.measure.memory_tracker",
    "suite.theory.layers.attention_plan",
    "suite.theory.layers.decoder_shape",
    "suite.attention.grouped",
    "suite.attention.latent",
)
CHANGES = {
    "estimators/gae.py": {
        "GAE reads values from padding": (
            "next_value_N = torch.where(here_N, values_NT[:, t], next_value_N)",
            "next_value_N = scored.values_NT[:, t]",
        ),
        "returns of whitened advantages": (
            "returns_NT=of_critic_NT + values_NT",
            "returns_NT=whiten(of_critic_NT, mask_NT) + values_NT",
        ),
        "returns by the policy's lambda": (
            "objective.gamma, objective.critic_lam)",
            "objective.gamma, _policy_lam(mask_NT, objective))",
        ),
        "the policy's advantages by the critic's lambda": (
            "advantages_NT=whiten(raw_NT",
            "advantages_NT=whiten(of_critic_NT",
        ),
        "a lambda by the padded length": (
            "objective.lam_alpha * mask_NT.sum(dim=1)",
            "objective.lam_alpha * torch.full_like(mask_NT[:, 0], mask_NT.shape[1])",
            "gae with a lambda by length",
        ),
        "a lambda below 0 for short completions": (".clamp(min=0)", ""),
    },
    "advantages.py": {
        "whitening keeps the mean": (
            "centred_NT * torch.rsqrt(variance + VARIANCE_EPSILON), 0)",
            "values_NT * torch.rsqrt(variance + VARIANCE_EPSILON), 0)",
        ),
        "whitening by the biased variance": ("(count - 1).clamp(min=1)", "count.clamp(min=1)"),
        "whitening counts padding": ("count = mask_NT.sum()", "count = torch.ones_like(mask_NT).sum()"),
        "the outcome rewarded at the end of the padding": (
            "torch.where((mask_NT > 0) & (left_NT == 1)",
            "torch.where(torch.arange(mask_NT.shape[1], device=mask_NT.device) == mask_NT.shape[1] - 1",
            "grpo with the k2 price",
        ),
        "the KL's price summed over padding": (
            "torch.where(scored.mask_NT > 0, scored.kl_NT, 0).sum(dim=1)",
            "scored.kl_NT.sum(dim=1)",
            "grpo with the k2 price",
        ),
        "equal rewards divided by a deviation of nothing": ("DEVIATION_EPSILON = 1e-6", "DEVIATION_EPSILON = 0.0"),
        "equal rewards told apart by rounding": (
            "torch.where(differ(rewards_N, same_NN), rewards_N - means_N, 0)",
            "rewards_N - means_N",
        ),
        "the deviation of a group of one": ("(same_NN.sum(dim=1) - 1).clamp(min=1)", "(same_NN.sum(dim=1) - 1)"),
    },
    "losses.py": {
        "k1 with the wrong sign": ("return -d_NT", "return d_NT", "grpo with k1"),
        "k3 of the reversed ratio": ("d_NT.exp() - d_NT - 1", "(-d_NT).exp() + d_NT - 1"),
        "k3_unbiased without its ratio": (
            "return k3_NT * torch.exp(log_p_NT - sampled_NT)",
            "return k3_NT",
            "grpo with k3_unbiased",
        ),
        "KL averaged over padding": ("masked_NT = torch.where(mask_NT > 0, loss_NT, 0)", "masked_NT = loss_NT"),
        "clip fraction over padding": ("masked_NT.sum() / max(divisors.tokens, 1)", "masked_NT.mean()"),
        "token-mean divided by the micro-batch's tokens": (
            "masked_NT.sum() / max(divisors.tokens, 1)",
            "masked_NT.sum() / mask_NT.sum().clamp(min=1)",
        ),
        "an empty completion divided by its length": ("mask_NT.sum(dim=1).clamp(min=1)", "mask_NT.sum(dim=1)"),
    },
    "estimators/rloo.py": {
        "one completion is not left out of the mean": (
            "centred(rewards_N, scored.groups_N) * sizes_N / (sizes_N - 1).clamp(min=1)",
            "centred(rewards_N, scored.groups_N)",
        ),
    },
    "estimators/grpo.py": {
        "a step credits the tokens after it": (
            "centred_NT.flip(1).cumsum(dim=1).flip(1)",
            "centred_NT.cumsum(dim=1)",
            "grpo process supervision",
        ),
    },
    "policy_losses/vanilla.py": {
        "the larger gain in place of the smaller": ("torch.min(", "torch.max("),
        "the lower clip used for both ends": (
            "1 - objective.clip_ratio_low, 1 + objective.clip_ratio_high",
            "1 - objective.clip_ratio_low, 1 + objective.clip_ratio_low",
        ),
        "the dual clip for good tokens too": (
            "(ratio_NT > objective.clip_ratio_c) & (advantages_NT < 0)",
            "(ratio_NT > objective.clip_ratio_c) & (advantages_NT != 0)",
            "grpo with the dual clip",
        ),
    },
    "policy_losses/gspo.py": {
        "GSPO's ratio over the padded length": ("mask_NT.sum(dim=1, keepdim=True).clamp(min=1)", "mask_NT.shape[1]"),
    },
    "policy_losses/cispo.py": {
        "CISPO's weight with a gradient": (".exp().detach()", ".exp()"),
    },
    "estimators/gdpo.py": {
        "GDPO normalises all parts at once": (
            "centred_N / (deviations(centred_N, scored.groups_N) + DEVIATION_EPSILON)",
            "centred_N",
        ),
        "GDPO without whitening": (
            "advantages_NT=whiten(total_N[:, None].expand_as(scored.mask_NT), scored.mask_NT)",
            "advantages_NT=total_N[:, None] * scored.mask_NT",
        ),
    },
    "estimators/maxrl.py": {
        "MaxRL divides by a mean of 0": ("solved_N = means_N > 0", "solved_N = means_N >= 0"),
        "MaxRL without its baseline": (
            "centred(scored.rewards_N, scored.groups_N) / means_N",
            "scored.rewards_N / means_N",
        ),
    },
    "policy_losses/sapo.py": {
        "SAPO's temperatures exchanged": ("advantages_NT > 0, objective", "advantages_NT < 0, objective"),
        "SAPO's gate without 4 over its temperature": (" * 4 / tau_NT", " * 4"),
    },
    "reward.py": {
        "the gate pays for the form alone": ("accuracy * form if", "max(accuracy, form) if"),
        "the penalty for length starts at the limit": ("(free - length)", "(self.longest_completion - length)"),
    },
    "critic.py": {
        "the critic's better loss in place of the worse": ("torch.max(losses_NT", "torch.min(losses_NT"),
    },
}
"""What is wrong, the line before and after, and which case is looked at first unless those of the file, by file of
suite/rl."""
TRAINING_CHANGES = {
    "../lm/scoring.py": {
        "scored at another temperature than sampled": (
            "tempered(scope.leaves(model.logits(h_NTD)), temperature)",
            "scope.leaves(model.logits(h_NTD))",
        ),
    },
    "../lm/sampling.py": {
        "sampled at another temperature than asked": (
            "tempered(self._model.logits(h_BD), temperature)",
            "self._model.logits(h_BD)",
        ),
        "a new token turned by the wrong angle": (
            "self._caches, self._filled, mask)",
            "self._caches, self._filled - 1, mask)",
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class Change:
    what: str
    file: str
    before: str = ""
    after: str = ""
    first: str = ""
    trains: bool = False


def changes():
    for table, name in ((CHANGES, "nothing"), (TRAINING_CHANGES, "nothing, in training")):
        trains = table is TRAINING_CHANGES
        yield Change(what=name, file=next(iter(table)), trains=trains)
        for file, lines in table.items():
            for what, (before, after, *first) in lines.items():
                look = first[0] if first else Path(file).stem
                yield Change(what=what, file=file, before=before, after=after, first=look, trains=trains)


def main():
    # What every fork would load for itself: torch._dynamo comes with the first optimiser.
    import filelock  # noqa: F401
    import psutil  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch._dynamo
    import yaml  # noqa: F401

    torch.set_num_threads(1)
    try_all(list(changes()), "rl", outcome, untouched=UNTOUCHED)


def outcome(change, folder):
    sys.path.insert(0, folder)
    try:
        import suite

        assert Path(suite.__file__).is_relative_to(folder)
        return trained(Path(folder)) if change.trains else checked(change.first)
    except Exception:
        return traceback.format_exc()


def checked(name):
    from tests.rl.conformance.checks import check_everything
    from tests.rl.conformance.expectations import enumerate_expectations

    try:
        check_everything(first=name)
        assert not (broken := enumerate_expectations(seed=0).broken), broken[0]
    except AssertionError as error:
        return f"incorrect: {' '.join(str(error).split())}"
    return "ok: None"


def trained(folder):
    from suite.measure.stateful import run_stateful
    from tests.rl import cases

    status, reason = run_stateful(
        lambda **message: None,
        settings=cases.settings(temperature=0.7),
        shared=folder,
        checkpoint=folder / "checkpoint",
        run_key="0" * 64,
        no_energy="off",
    )
    return f"{status}: {reason}"


if __name__ == "__main__":
    main()
