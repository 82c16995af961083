"""A rollout as the suite samples it, of completions that all are as long as they may be, without most of its tokens.

Only the tokens at which most may be held are computed: the first, which the prompts give, the one for which the caches
are copied to larger ones for the last time, and the last. The rollout's own code does the rest.
"""

import torch
from torch import Tensor

from suite.lm.decoder import Decoder
from suite.lm.sampling import ROOM, Prompts, Rollout
from suite.measure.memory_tracker import attribute_to
from suite.records.holdings import EXPERIENCE, KV_CACHE, NOBODY
from suite.rl.memory.plan import RlMemoryPlan


class SimulatedRollout(Rollout):
    """A rollout of `rows` completions, of which as many as a group has share each prompt."""

    def __init__(self, plan: RlMemoryPlan, model: Decoder, rows: int) -> None:
        with attribute_to(NOBODY, EXPERIENCE):
            prompts = Prompts(tokens_PS=torch.zeros(rows, plan.prompt_len, dtype=torch.long))
        super().__init__(model, prompts, copies=1, longest=plan.completion_len, end=-1)
        self._plan = plan

    def _prefill(self) -> Tensor:
        """Read as many whole prompts at once as `prefill_tokens` allows, one at least; copy a group's prompt to it. The
        caches of completions whose prompts were read before are held meanwhile."""
        plan, (rows, self._filled) = self._plan, self._prompts.tokens_PS.shape
        groups = -(-rows // plan.num_generations)
        count = min(groups, max(1, plan.prefill_tokens // plan.prompt_len))
        with attribute_to(kind=KV_CACHE):
            before = self._model.new_caches(rows - count * plan.num_generations, self._filled) if count < groups else []
            self._caches = self._model.new_caches(count, self._filled)
        h_PD = self._model.decode(self._prompts.tokens_PS[:count], self._caches, 0, None)[:, -1]
        del before
        if rows > count:
            self._copy_cache_rows(torch.arange(rows) % count)
        return h_PD.index_select(0, torch.arange(rows) % count)

    def _drop_ended(self, chosen_B1: Tensor) -> Tensor | None:
        """Go on with all rows at the next token at which most may be held; None after the last."""
        if self.taken == self._longest:
            return None
        growths = (self._longest - 2) // ROOM
        if self.taken > 1 or not growths:
            self._skip(self._longest - 1)
            return chosen_B1
        self._skip(ROOM * growths + 1)
        with attribute_to(kind=KV_CACHE):
            for cache in self._caches:
                sizes = [(*tensor.shape[:2], self._filled, tensor.shape[3]) for tensor in cache.tensors]
                cache.tensors = [cache.tensors[0].new_empty(size) for size in sizes]
        return chosen_B1

    def _skip(self, taken: int) -> None:
        """Have so many tokens of each completion, as if they had been sampled."""
        self._filled += taken - self.taken
        self.taken = taken
