"""Layouts that must not matter, and cases that must not break: padding, micro-batches and order; equal rewards, a lone
completion, an empty one and one that was cut; each for every objective, and all of it against the oracle's formulas."""

import dataclasses
import random
from collections.abc import Sequence

import torch
from torch import Tensor

from suite.measure.meter import Meter
from suite.rl.conformance.cases import Ledger
from suite.rl.conformance.production import batch_of
from suite.rl.conformance.workload import ConformanceWorkload
from suite.rl.objective import Objective
from tests.rl.conformance import oracle
from tests.rl.conformance.differentiated import Differentiated, differentiate, updated
from tests.rl.conformance.formulas import cases, clipped, gae_returns, loss_of, value_loss_slopes
from tests.rl.conformance.oracle import PricedCompletion, formula, formula_settings, slopes_of
from tests.rl.conformance.rewards import check_rewards

LONGEST = 5
LENGTHS = (5, 2, 0, 3, 1, 4, 5, 3, 2)
"""Lengths of completions: one is empty, two are cut at the limit."""
LEFT, RIGHT = 2, 3
CHUNKS = ((0, 1), (2,), (3, 4, 5, 6, 7, 8))


def check_layouts(ledger: Ledger, seed: int, device: torch.device) -> None:
    for name, objective in cases(LONGEST):
        completions = random_completions(seed, objective)
        plain = differentiate(batch_of(completions, objective, device), objective)
        _check_formulas(ledger, name, completions, objective, plain)
        _check_invariances(ledger, name, completions, objective, plain, device)
        _check_degenerates(ledger, name, completions, objective, device)
        ledger.settle()


def _check_formulas(
    ledger: Ledger, name: str, completions: Sequence[PricedCompletion], objective: Objective, plain: Differentiated
) -> None:
    """Check advantages, slopes and the critic's, token by token, for what the oracle knows."""
    span = f"formulas {name}"
    if formula(objective) not in oracle.ESTIMATORS or objective.policy_loss not in oracle.POLICY_LOSSES:
        return
    wanted = formula_settings(objective)
    advantages = oracle.ESTIMATORS[formula(objective)](completions, wanted)
    worst = [_gap(plain.estimated.advantages_NT, advantages)]
    ledger.expect(span, "an advantage", worst[0])
    worst.append(_gap(plain.slopes_NT, slopes_of(completions, objective, advantages)))
    ledger.expect(span, "a slope of the loss", worst[1])
    worst.append(abs(float(plain.loss) - loss_of(completions, objective, advantages)))
    ledger.expect(span, "the loss", worst[2])
    counts = [
        clipped(objective.policy_loss, completion, row, wanted)
        for completion, row in zip(completions, advantages, strict=True)
    ]
    for got, end in ((plain.clipped_low, 0), (plain.clipped_high, 1)):
        worst.append(abs(float(got) - sum(count[end] for count in counts) / sum(LENGTHS)))
        ledger.expect(span, "the share of clipped tokens", worst[-1])
    if plain.estimated.returns_NT is not None:
        returns = gae_returns(completions, wanted)
        new = [[updated(value) for value in completion.values] for completion in completions]
        slopes = value_loss_slopes(completions, returns, new, objective.cliprange_value)
        worst += [_gap(plain.estimated.returns_NT, returns), _gap(plain.value_slopes_NT, slopes)]
        ledger.expect(span, "a return", worst[-2])
        ledger.expect(span, "a slope of the critic's loss", worst[-1])
    ledger.note(span, largest_difference=_worst(worst))


def _check_invariances(
    ledger: Ledger,
    name: str,
    completions: Sequence[PricedCompletion],
    objective: Objective,
    plain: Differentiated,
    device: torch.device,
) -> None:
    batch = batch_of(completions, objective, device)
    wide = differentiate(batch_of(completions, objective, device, left=LEFT, right=RIGHT), objective)
    parts = differentiate(batch, objective, CHUNKS)
    order = list(range(len(completions)))[::-1]
    turned = differentiate(batch_of([completions[i] for i in order], objective, device), objective)
    inside = slice(LEFT, LEFT + batch.scored.mask_NT.shape[1])
    leaked = [_outside(part, inside) for part in (wide.estimated.advantages_NT, wide.slopes_NT)]
    for what, differences in {
        "padding": [*_apart(wide, plain, columns=inside), *leaked],
        "micro-batches": _apart(parts, plain),
        "order": _apart(turned, plain, rows=order),
    }.items():
        worst = _worst([float(part.abs().max()) for part in differences])
        ledger.note(f"{what} {name}", largest_difference=worst)
        ledger.expect(f"{what} {name}", "what must not change", worst)


def _outside(values_NT: Tensor, inside: slice) -> Tensor:
    return torch.cat([values_NT[:, : inside.start], values_NT[:, inside.stop :]], dim=1)


def _check_degenerates(
    ledger: Ledger, name: str, completions: Sequence[PricedCompletion], objective: Objective, device: torch.device
) -> None:
    free = dataclasses.replace(objective, kl_coef=0.0)  # the price of KL tells even equal rewards apart
    equal = [
        dataclasses.replace(
            completion,
            reward=0.1,
            parts=[0.1] * len(completion.parts),
            steps=[(end, 0.1) for end, _ in completion.steps],
        )
        for completion in completions
    ]
    if objective.compares_group or (objective.adv_estimator == "reinforce_plus_plus" and objective.gamma == 1):
        for dtype in (torch.float64, torch.float32):
            got = differentiate(batch_of(equal, free, device, dtype=dtype), free)
            _expect_zero(ledger, f"equal rewards {name}", "an advantage", got, dtype)
    lone = [dataclasses.replace(completions[3], group=0)]
    got = differentiate(batch_of(lone, free, device), free)
    if objective.compares_group and objective.supervision == "outcome":
        _expect_zero(ledger, f"group of one {name}", "an advantage", got, torch.float64)
    _expect_numbers(ledger, f"group of one {name}", got)
    empty = [completion for completion in completions if not completion.length]
    _expect_numbers(ledger, f"empty response {name}", differentiate(batch_of(empty, objective, device), objective))
    cut = [completion for completion in completions if completion.length == LONGEST]
    got = differentiate(batch_of(cut, free, device), free)
    _expect_numbers(ledger, f"truncated response {name}", got)
    if got.estimated.returns_NT is not None:
        last = got.estimated.returns_NT[:, -1].tolist()
        off = max(abs(value - completion.reward) for value, completion in zip(last, cut, strict=True))
        ledger.expect(f"truncated response {name}", "the last token's return", off)


def _expect_zero(ledger: Ledger, span: str, what: str, got: Differentiated, dtype: torch.dtype) -> None:
    largest = _worst([float(part.abs().max()) for part in (got.estimated.advantages_NT, got.slopes_NT)])
    precision = str(dtype).removeprefix("torch.")
    ledger.note(f"{span}, {precision}", largest_difference=largest)
    ledger.expect(f"{span}, {precision}", f"{what}, which must be 0,", largest, allowed=0.0)


def _expect_numbers(ledger: Ledger, span: str, got: Differentiated) -> None:
    """Expect neither NaN nor infinity anywhere."""
    parts = (got.estimated.advantages_NT, got.loss, got.slopes_NT, got.clipped_low, got.clipped_high, got.value_loss)
    ledger.expect(span, "what must be a number", _worst([float((part - part).abs().max()) for part in parts]))


def random_completions(seed: int, objective: Objective) -> list[PricedCompletion]:
    """Draw three groups of three, with lengths, steps, values and three policies of their own."""
    draw, draw_part = random.Random(seed), random.Random(seed + 1)
    price = objective.kl_coef if objective.use_kl_in_reward else 0.0
    completions = []
    for index, length in enumerate(LENGTHS):
        reference, old = ([draw.uniform(-3, -0.5) for _ in range(length)] for _ in range(2))
        reward = draw.gauss(0, 1)
        completions.append(
            PricedCompletion(
                reward=abs(reward) if objective.adv_estimator == "maxrl" else reward,
                parts=[draw_part.gauss(0, 1) for _ in objective.reward_weights],
                group=index % 3,
                log_p=[value + draw.gauss(0, 0.3) for value in old],
                log_old=old,
                log_reference=reference,
                values=[draw.gauss(0, 1) for _ in range(length)],
                kl=[
                    price * oracle.kl_estimate(objective.kl_type, a, b, a) for a, b in zip(old, reference, strict=True)
                ],
                steps=[(t, draw.gauss(0, 1)) for t in range(length) if draw.random() < 0.6],
            )
        )
    return completions


def _apart(
    got: Differentiated, plain: Differentiated, *, rows: Sequence[int] | None = None, columns: slice = slice(None)
) -> list[Tensor]:
    """Return the differences of everything that a batch gives, its rows and columns put back."""
    here = list(rows) if rows else slice(None)
    pairs = [
        (got.loss, plain.loss),
        (got.value_loss, plain.value_loss),
        (got.clipped_low, plain.clipped_low),
        (got.clipped_high, plain.clipped_high),
        (got.slopes_NT[:, columns], plain.slopes_NT[here]),
        (got.value_slopes_NT[:, columns], plain.value_slopes_NT[here]),
        (got.estimated.advantages_NT[:, columns], plain.estimated.advantages_NT[here]),
    ]
    return [moved - put for moved, put in pairs]


def _gap(got_NT: Tensor, wanted: oracle.Rows) -> float:
    """Return the largest difference between a tensor and rows without padding; where there is padding, 0 is wanted."""
    width = got_NT.shape[1]
    padded = [row + [0.0] * (width - len(row)) for row in wanted]
    return float((got_NT - torch.tensor(padded, dtype=got_NT.dtype, device=got_NT.device)).abs().max())


def _worst(differences: Sequence[float]) -> float:
    """Return the largest, and NaN before any."""
    return float(torch.tensor(differences, dtype=torch.float64).max())


class WithLayouts(ConformanceWorkload):
    """The workload that people run, after what checks our own code alone."""

    def step(self, meter: Meter) -> None:
        ledger = Ledger(meter)
        check_rewards(ledger)
        ledger.settle()
        check_layouts(ledger, self.plan.seed, torch.device(self.plan.device))
        ledger.settle()
        super().step(meter)
