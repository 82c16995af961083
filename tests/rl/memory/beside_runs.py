"""The projection of a step beside a run of the same settings on a CPU, whose tensors track_memory counts.

    OMP_NUM_THREADS=1 python -m tests.rl.memory.beside_runs

prints the peak of every phase for three models, by GRPO and PPO, with blocks kept and recomputed. It ends with 1 where
a projection is more than MOST_APART from its run. A run's completions never end before their limit, as a projection's.
"""

import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

from torch._subclasses.fake_tensor import FakeTensorMode

from suite.configuration.files import read_choice
from suite.lm.tokenizer import Tokenizer
from suite.measure.meter import Meter
from suite.records.holdings import PEAK
from suite.records.metrics import PHASES
from suite.rl.memory.plan import RlMemoryPlan
from suite.rl.memory.step import SCORE, SimulatedStep, rollout_phase, update_phase
from suite.rl.policy import TaskVocabulary
from suite.rl.tasks.task import CHARACTERS, TAGS
from suite.rl.workload import RlWorkload
from tests.rl import cases as of_runs
from tests.rl.memory import cases as of_projections

MOST_APART = 0.05
GROUPED = {
    "name": "grouped",
    "attention": "gqa",
    "hidden_size": 256,
    "num_layers": 4,
    "num_heads": 8,
    "num_kv_heads": 2,
    "head_dim": 32,
    "intermediate_size": 688,
    "rope_theta": 10000,
    "tie_embeddings": True,
}
LATENT = {
    "name": "latent",
    "attention": "mla",
    "hidden_size": 192,
    "num_layers": 3,
    "num_heads": 6,
    "num_kv_heads": None,
    "q_lora_rank": None,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "intermediate_size": 512,
    "rope_theta": 10000,
    "tie_embeddings": True,
}
WORDY = GROUPED | {"name": "wordy", "num_layers": 2, "tie_embeddings": False, "qkv_bias": True}
MODELS = {"GQA": (GROUPED, 0), "MLA": (LATENT, 0), "8,064 words": (WORDY, 8000)}
"""Sizes, and words that the vocabulary has beside the tasks' own."""
STEP = {"prompts_per_step": 4, "num_generations": 8, "minibatch": 16, "micro_batch": 4}


class LargerVocabulary(TaskVocabulary):
    """The tasks' vocabulary with words that no task has."""

    def __init__(self, words):
        self._tokenizer = Tokenizer((*TAGS, *CHARACTERS, *(f"word {number}" for number in range(words))))
        self.vocab_size = self._tokenizer.vocab_size


def held(algorithm, sizes, words, longest, shared, **step):
    """Return what a run holds at each phase's peak, in bytes, and the length of its prompts."""
    attention = read_choice("attention", sizes["attention"])
    asked = {"policy": sizes, "attention": attention, "max_completion_length": longest, "track_memory": True, **step}
    asked |= {"base": {"updates": 1, "batch": 1, "lr": 1e-3}, "eval_prompts": 1, "steps": 3, "eval_every": 3}
    workload, meter = RlWorkload(of_runs.settings(algorithm, **asked)), Meter()
    plan = workload.plan
    plan.vocabulary = LargerVocabulary(words)
    plan.shape = replace(plan.shape, vocab_size=plan.vocabulary.vocab_size)
    workload.prepare(Path(shared) / sizes["name"])
    plan.vocabulary.end = -1
    for meter.step in range(2):  # AdamW has its moments from the first update on
        workload.step(meter)
    found = {
        phase: max(one.value for one in meter.readings if (one.span, one.metric) == (phase, PEAK)) for phase in PHASES
    }
    return found, workload._held_out_prompts.tokens_PS.shape[1]


def projected(algorithm, sizes, words, longest, prompt_len, tensors, **step):
    """Return what a projection holds at each phase's peak, in bytes."""
    geometry = sizes | {"vocab_size": LargerVocabulary(words).vocab_size}
    asked = {"seq_len": prompt_len + longest, "prompt_len": prompt_len, "precision": "float32", **step}
    settings = of_projections.settings(algorithm, sizes["attention"], geometry, rollout_batch="all", **asked)
    plan = RlMemoryPlan(settings)
    simulated = SimulatedStep(plan, settings["attention"], tensors)
    simulated.roll_out(plan.completions)
    names = rollout_phase(plan.completions), SCORE, update_phase(plan.micro_batches(1))
    found = simulated.peaks()
    return {phase: found[name].bytes for phase, name in zip(PHASES, names, strict=True)}


def beside(algorithm, sizes, words, longest, shared, tensors=FakeTensorMode, **step):
    """Return (projected, held) bytes of each phase."""
    by_run, prompt_len = held(algorithm, sizes, words, longest, shared, **step)
    ours = projected(algorithm, sizes, words, longest, prompt_len, tensors, **step)
    return {phase: (ours[phase], by_run[phase]) for phase in PHASES}


def main():
    print("model        algorithm  recomputed  " + "".join(f"{phase:>28}" for phase in PHASES))
    worst = 0.0
    with tempfile.TemporaryDirectory() as shared:
        for (name, model), algorithm, again in product(MODELS.items(), ("grpo", "ppo"), (False, True)):
            found = beside(algorithm, *model, longest=40, shared=shared, checkpointing=again, **STEP)
            worst = max(worst, *(abs(ours / theirs - 1) for ours, theirs in found.values()))
            columns = [
                f"{ours / 2**20:7.2f}/{held / 2**20:7.2f} MiB {ours / held:6.4f}" for ours, held in found.values()
            ]
            print(f"{name:<13}{algorithm:<11}{'yes' if again else 'no':<12}" + "".join(f"{c:>28}" for c in columns))
    print(f"projected / held by the run; at most {100 * worst:.2f}% apart, of {100 * MOST_APART:g}% allowed")
    return int(worst > MOST_APART)


if __name__ == "__main__":
    sys.exit(main())
