"""Preferences, on which DeepSeek-R1 ends beside what is right: DPO (arXiv 2305.18290 eq. 7) on pairs of the policy's
own completions, and beside it the preferred one's negative log-likelihood, a token (Iterative RPO, arXiv 2404.19733 eq.
1), since DPO asks for a difference alone and may lower both.

R1 asks reward models that learnt from people. Here a prompt's preferred completion is the shortest of those that are
right by the key and in the asked form; it stands against the first that is not, and against the longest that is. The
pairs are sampled once, from the policy as the stage begins. That policy is the reference too, and is asked for all
pairs before the first update: its answers are kept, and no copy of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.lm.sampling import Prompts
from suite.lm.scoring import hidden_states, token_log_probs
from suite.measure.memory_tracker import OwnedTensors, attribute_to
from suite.measure.meter import Meter
from suite.records.holdings import ACTIVATIONS, EXPERIENCE, NOBODY, POLICY, REFERENCE
from suite.records.record import STEP
from suite.rl.plan import RlPlan
from suite.rl.rollout import NOTHING_SAMPLED, Experience, joined, mean, rollout, rollout_readings
from suite.rl.sft_data import is_verified, pool_places
from suite.rl.stage import StageBegin, policy_tensors


def preference_loss(log_p_K2: Tensor, reference_K2: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """DPO's loss of each pair, -log sigmoid of its margin, and the margins (arXiv 2305.18290 eq. 7), both [K].

    A margin is beta times how much more the policy prefers the first completion than the reference does. `log_p_K2` and
    `reference_K2`: log-probabilities of whole completions, the preferred one first.
    """
    rewards_K2 = beta * (log_p_K2 - reference_K2)
    margins_K = rewards_K2[:, 0] - rewards_K2[:, 1]
    return -F.logsigmoid(margins_K), margins_K


def preferences(experience: Experience) -> Tensor:
    """Choose pairs of completions, [K, 2] rows with the preferred one first: none, one or two pairs of a prompt. The
    shortest right completion is preferred to the first wrong one, and to the longest right one."""
    lengths, groups = experience.mask_NT.sum(dim=1).tolist(), experience.groups_N.tolist()
    pairs = []
    for group in dict.fromkeys(groups):
        rows = [row for row, row_group in enumerate(groups) if row_group == group]
        right = [row for row in rows if is_verified(experience.scores[row])]
        if not right:
            continue
        shortest, longest = (choose(right, key=lengths.__getitem__) for choose in (min, max))
        pairs += [(shortest, row) for row in rows if row not in right][:1]
        pairs += [(shortest, longest)] if lengths[shortest] < lengths[longest] else []
    return torch.tensor(pairs, dtype=torch.long, device=experience.tokens_NT.device).reshape(-1, 2)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Completions behind their prompts, N = 2K of them: each preferred one is followed by the other of its pair."""

    prompts_NS: Tensor
    valid_NS: Tensor | None
    tokens_NT: Tensor
    mask_NT: Tensor
    reference_N: Tensor  # log-probabilities of the completions by the reference

    def __len__(self) -> int:
        return len(self.tokens_NT) // 2

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name, without a missing mask."""
        return {name: value for name, value in vars(self).items() if value is not None}


class PreferenceStage:
    """A stage that trains on pairs, which are sampled in its first step."""

    def __init__(self, at: StageBegin) -> None:
        self._plan: RlPlan = at.plan
        self._policy, self._first, options = at.policy, at.planned.first, at.plan.recipe.options
        self._rollouts: int = options["rollouts"]
        self._beta, self._alpha = float(options["preference_beta"]), float(options["rpo_alpha"])
        self._optimiser = at.new_optimiser()
        self._pairs: Pairs | None = None

    def step(self, meter: Meter, *, looks: bool) -> None:
        """Train on the step's share of the pairs and note its readings; the stage's first step samples the pairs."""
        readings: Mapping[str, float] = NOTHING_SAMPLED
        if meter.step == self._first:
            self._pairs, readings = self._sample_pairs(meter)
        meter.note(STEP, **readings)
        assert self._pairs is not None, "made in the first step, or restored"
        with meter.span("update"):
            # A pair counts as two: a step trains on as many completions as those of other stages, in as many updates.
            count = self._plan.completions * self._plan.inner_epochs // 2
            step = meter.step - self._first
            places = pool_places(len(self._pairs), step, count, self._plan.seed, self._first)
            readings = self._update(self._pairs, places)
        meter.note(STEP, examples=2.0 * len(places), **readings)

    def owned_tensors(self) -> Iterator[OwnedTensors]:
        yield from policy_tensors(self._policy, self._optimiser)
        if self._pairs is not None:
            pair_tensors = self._pairs.tensors()
            yield [pair_tensors.pop("reference_N")], REFERENCE, EXPERIENCE
            yield list(pair_tensors.values()), NOBODY, EXPERIENCE

    def state(self) -> dict[str, Any]:
        pairs = None if self._pairs is None else vars(self._pairs)
        return {"policy": self._policy.state_dict(), "optimiser": self._optimiser.state(), "pairs": pairs}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._policy.load_state_dict(state["policy"])
        self._optimiser.restore(state["optimiser"])
        self._pairs = None if state["pairs"] is None else Pairs(**state["pairs"])

    @attribute_to(NOBODY, EXPERIENCE)
    def _sample_pairs(self, meter: Meter) -> tuple[Pairs, dict[str, float]]:
        """Sample completions and pair them, the present policy as reference; pairs and readings."""
        plan = self._plan
        rounds = range(self._rollouts)
        sampled = [rollout(plan, self._policy, meter, round_, copies=plan.num_generations) for round_ in rounds]
        with meter.span("score"):
            experience = joined(sampled)
            chosen = experience.rows(preferences(experience).flatten())
            pairs = Pairs(
                prompts_NS=chosen.prompts.tokens_PS,
                valid_NS=chosen.prompts.valid_PS,
                tokens_NT=chosen.tokens_NT,
                mask_NT=chosen.mask_NT,
                reference_N=chosen.mask_NT.new_zeros(len(chosen.tokens_NT)),
            )
            with torch.no_grad(), attribute_to(POLICY, ACTIVATIONS):
                for rows in _pair_rows(range(len(pairs)), plan.micro_batch):
                    pairs.reference_N[rows] = self._log_probs(pairs, rows)
        return pairs, {**rollout_readings(plan, sampled), "pairs_kept": float(len(pairs))}

    def _update(self, pairs: Pairs, places: Sequence[int]) -> dict[str, float]:
        """Train on the pairs at these places, a minibatch an update; readings are means over updates or pairs."""
        losses, norms, margins, likelihoods, size = [], [], [], [], self._plan.minibatch // 2
        for start in range(0, len(places), size):
            with attribute_to(POLICY, ACTIVATIONS):
                loss, margins_K, likelihoods_K = self._gradient(pairs, places[start : start + size])
            losses.append(loss)
            margins += margins_K
            likelihoods += likelihoods_K
            norms.append(self._optimiser.update("the policy"))
        if not losses:
            return {"updates": 0.0}
        return {
            "updates": float(len(losses)),
            "preference_loss": mean(losses),
            "gradient_norm": mean(norms),
            "preference_margin": mean(margins),
            "example_loss": -mean(likelihoods),
            "preference_accuracy": mean([float(margin > 0) for margin in margins]),
        }

    def _gradient(self, pairs: Pairs, places: Sequence[int]) -> tuple[float, list[float], list[float]]:
        """Leave the gradient of the pairs' mean loss in the parameters. Returned are DPO's mean loss, the margins, and
        the preferred completions' log-likelihoods a token."""
        total, margins, likelihoods = 0.0, [], []
        for rows in _pair_rows(places, self._plan.micro_batch):
            log_p_K2, reference_K2 = self._log_probs(pairs, rows).reshape(-1, 2), pairs.reference_N[rows].reshape(-1, 2)
            losses_K, margins_K = preference_loss(log_p_K2, reference_K2, self._beta)
            likelihoods_K = log_p_K2[:, 0] / pairs.mask_NT[rows[::2]].sum(dim=1)
            ((losses_K - self._alpha * likelihoods_K).sum() / len(places)).backward()
            total += float(losses_K.detach().sum()) / len(places)
            margins += margins_K.detach().tolist()
            likelihoods += likelihoods_K.detach().tolist()
        return total, margins, likelihoods

    def _log_probs(self, pairs: Pairs, rows: Tensor) -> Tensor:
        """Log-probability of each whole completion by the policy as it is now, padding aside: [rows]."""
        valid = None if pairs.valid_NS is None else pairs.valid_NS[rows]
        prompts, tokens_NT = Prompts(tokens_PS=pairs.prompts_NS[rows], valid_PS=valid), pairs.tokens_NT[rows]
        plan, h_NTD = self._plan, hidden_states(self._policy, prompts, tokens_NT)
        log_p_NT = token_log_probs(self._policy, h_NTD, tokens_NT, plan.temperature, chunk=plan.logits_chunk)
        return (log_p_NT * pairs.mask_NT[rows]).sum(dim=1)


begin = PreferenceStage


def _pair_rows(places: Sequence[int], size: int) -> Iterator[Tensor]:
    """Yield the rows of the pairs at these places, at most `size` rows at a time; a pair's two rows stay together."""
    rows = torch.tensor([row for place in places for row in (2 * place, 2 * place + 1)], dtype=torch.long)
    return iter(rows.split(size)) if len(rows) else iter(())
