"""Decoding by a variant that chooses among the cached tokens, such as DSA's: its choice is timed apart from its kernel.

What it chooses is checked by scores and not by numbers: where two tokens score alike to the last digits, either may be
chosen.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from suite.attention import check
from suite.attention.backends.eager import attend
from suite.attention.indexed import IndexedLatentAttention
from suite.attention.problem import Problem, visible_keys
from suite.attention.steps import ForwardStep
from suite.measure.meter import Meter
from suite.measure.rotated_buffers import RotatedRuns, rotated
from suite.records.record import Reading
from suite.theory.layers.indexed_shapes import INDEXER


class SelectedStep(ForwardStep):
    """Spans: the whole layer, the choice from what was projected for it, and the gathering of the chosen rows with the
    kernel over them."""

    layer: IndexedLatentAttention

    def draw(self) -> None:
        """Draw inputs and context as ForwardStep does, choose tokens, and gather the kernel's inputs."""
        super().draw()
        with torch.inference_mode():
            q_BHSd, k_BGTd, _, *scored = self.projected
            self.chosen_BSK = self.layer.select(*scored)
            self.kernel_inputs = self.layer.gather(q_BHSd, k_BGTd, self.chosen_BSK)

    def check(self) -> Sequence[Reading]:
        layer, (q_BHSd, k_BGTd, v_BGTv, *scored) = self.layer, self.projected
        with torch.inference_mode():
            self.chosen_BSK = chosen = layer.select(*scored)
            output = self._kernel(q_BHSd, k_BGTd, chosen)
            choice = compare_choice(chosen, *scored, dtype=layer.dtype)
            comparison = compare_over_chosen(output, q_BHSd, k_BGTd, v_BGTv, chosen, self.problem)
            self.cache.spoil_spare_slots(self._generator)
            again = layer.select(*scored)
            output_again = self._kernel(q_BHSd, k_BGTd, again)
            readings = check.readings_if_passed({"": choice}, span=INDEXER)
            readings += check.readings_if_passed({"": comparison})
            readings += check.layer_readings(layer, self.problem, self._x_BSD, self.projected, self._start, output)
        is_untouched = torch.equal(chosen, again) and torch.equal(output, output_again)
        self.require_untouched(readings, is_untouched=is_untouched)
        return readings

    def run(self, meter: Meter) -> None:
        with torch.inference_mode():
            with meter.span("layer"):
                self._layer()
            with meter.span(INDEXER):
                self.layer.select(*self.projected[3:])
            with meter.span("kernel"):
                self._kernel(*self.projected[:2], self.chosen_BSK)

    def parts(self) -> dict[str, Callable[[], object]]:
        select, kernel = torch.inference_mode()(self.layer.select), torch.inference_mode()(self._kernel)
        return {
            "layer": torch.inference_mode()(self._layer),
            INDEXER: lambda: select(*self.projected[3:]),
            "kernel": lambda: kernel(*self.projected[:2], self.chosen_BSK),
        }

    def rotated_runs(self, span: str, cache_bytes: int, most_bytes: int) -> RotatedRuns:
        """Runs for a CUDA graph: the indexer's rotate over copies of its inputs, others are one run. The kernel reads
        the chosen rows alone, and copies that exceed a cache would still leave those in it."""
        if span == INDEXER:
            select = torch.inference_mode()(self.layer.select)
            return rotated(select, self.projected[3:], cache_bytes, most_bytes)
        return RotatedRuns(runs=[self.parts()[span]])

    def _layer(self) -> Tensor:
        q, k, _, *scored = self.layer.project(self._x_BSD, self.cache, self._start)
        return self.layer.output(self._kernel(q, k, self.layer.select(*scored)))

    def _kernel(self, *inputs: Tensor) -> Tensor:
        q_BHSd, k_BGTd, chosen_BSK = inputs
        o = self.backend(*self.layer.gather(q_BHSd, k_BGTd, chosen_BSK))
        return self.layer.unfold(o, q_BHSd.shape[2])


def compare_choice(
    chosen_BSK: Tensor, iq_BNSi: Tensor, iw_BNS1: Tensor, ik_B1Ti: Tensor, *, dtype: torch.dtype
) -> check.OutputError:
    """Relative error of the chosen tokens' float64 scores, in descending order, against the best scores.

    A token that is chosen twice, or one that no new token may see, is an error like another: its score counts once, and
    as none.
    """
    new, tokens = iq_BNSi.shape[2], ik_B1Ti.shape[2]
    products_BNST = torch.einsum("bnsi,bti->bnst", iq_BNSi.double(), ik_B1Ti[:, 0].double()).clamp(min=0)
    scores_BST = (iw_BNS1.double() * products_BNST).sum(dim=1)
    lowest = scores_BST.min() - 1
    visible_ST = visible_keys(new, tokens, scores_BST.device)
    scores_BST = torch.where(visible_ST, scores_BST, lowest)
    count = min(tokens, chosen_BSK.shape[2])
    best = scores_BST.sort(dim=-1, descending=True).values[..., :count]
    is_chosen_BST = torch.zeros_like(scores_BST, dtype=torch.bool).scatter_(2, chosen_BSK, value=True)
    chosen_scores = torch.where(is_chosen_BST, scores_BST, lowest).sort(dim=-1, descending=True).values[..., :count]
    return check.OutputError(error=check.relative_error(chosen_scores, best), allowed=check.LARGEST_ERROR[dtype])


def compare_over_chosen(
    o_BHSv: Tensor, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor, chosen_BSK: Tensor, problem: Problem
) -> check.OutputError:
    """Relative error of the output at a few new tokens against float64 attention with all keys but the chosen
    masked, so that neither a wrong gathering nor a token that is chosen twice hides."""
    batch, new = chosen_BSK.shape[:2]
    ours, references, eagers = [], [], []
    for sequence in range(batch):
        for token in sorted({*range(min(new, check.FEWEST_POSITIONS - 1)), new - 1}):
            one_query = slice(sequence, sequence + 1), slice(None), slice(token, token + 1)
            visible_1T = torch.zeros(1, k_BGTd.shape[2], dtype=torch.bool, device=o_BHSv.device)
            visible_1T[0, chosen_BSK[sequence, token]] = True
            inputs = q_BHSd[one_query], k_BGTd[one_query[:1]], v_BGTv[one_query[:1]]
            ours.append(o_BHSv[one_query])
            references.append(check.reference_rows(*inputs, visible_1T, problem.scale))
            eagers.append(attend(*inputs, scale=problem.scale, hidden_ST=~visible_1T))
    return check.against_eager(torch.cat(ours), torch.cat(eagers), torch.cat(references), problem)
