"""A step of an algorithm on one device, run by the suite's own models, learner and optimiser.

With fake tensors it allocates nothing, whatever the geometry; with real ones it holds the same bytes. Each phase is run
once, a rollout at the tokens where most may be held. Scores and updates are those of one and two micro-batches, since
the further ones hold no more. What stays from one to the next is there from the beginning: AdamW's moments, and the
experience of all completions. Rollouts come last, as many and as large as they are asked for.

Simplifications: an operator's inner workspace is not seen; norms in bfloat16 are those of
torch on a CPU, which keep more for the way back than fused ones; groups of heads are shared by the kernel itself, while
a GPU in float32 keeps their output twice (suite.lm.attend.knows_groups); no allocator rounds or fragments.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from suite.lm.decoder import AutocastDecoder, Decoder, FactoryKwargs
from suite.lm.lora import adapt, unadapted
from suite.lm.sampling import ROOM, Prompts, Rollout
from suite.measure.memory_tracker import MemoryTracker, Peak, attribute_to
from suite.records.holdings import (
    ACTIVATIONS,
    CRITIC,
    ENGINE,
    EXPERIENCE,
    GATHERED,
    KV_CACHE,
    NOBODY,
    OPTIMISER,
    OTHER,
    PARAMETERS,
    POLICY,
    REFERENCE,
    REWARD_MODEL,
)
from suite.records.metrics import PHASES
from suite.rl.critic import Critic
from suite.rl.learner import Learner, TrainingBatch
from suite.rl.memory.plan import ALL, COPY, NONE, SHARED, RlMemoryPlan
from suite.rl.rollout import Experience
from suite.rl.tasks.task import Score
from suite.theory.answers.step_memory import BF16, FLOAT32, MIXED
from suite.theory.devices.gpus import SHARDS
from suite.theory.layers.decoder_shape import DecoderShape

Model = TypeVar("Model", bound=torch.nn.Module)
ROLLOUT, SCORE, UPDATE = PHASES
DTYPES = {BF16: (torch.bfloat16, torch.bfloat16), MIXED: (torch.float32, torch.bfloat16), FLOAT32: (torch.float32,) * 2}
"""The dtypes of trained and of frozen parameters."""


def rollout_phase(rows: int) -> str:
    """Name of the phase that samples so many completions at once."""
    return f"{ROLLOUT} {rows}"


def update_phase(micro_batches: int) -> str:
    """Name of the phase that updates with so many micro-batches."""
    return f"{UPDATE} {micro_batches}"


class Simulation(TorchDispatchMode):
    """Mode for a step whose tensors hold no values, used within a tracker. A tensor that is asked for its value gives
    1, so that norms and losses can be read. Copies of parameters that autocast makes are labelled as gathered, which a
    tracker cannot see by itself."""

    def __init__(self, holdings: MemoryTracker) -> None:
        super().__init__()
        self._holdings = holdings
        self._owners: dict[int, str] = {}  # owners of parameters, by torch's address of their storage

    def set_owner(self, parameters: Iterable[Tensor], owner: str) -> None:
        """Remember the parameters' owner: what autocast makes of them is counted as copies that it gathered."""
        self._owners |= {parameter.untyped_storage()._cdata: owner for parameter in parameters}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0 if args[0].is_floating_point() else 1
        if func is torch.ops.aten.exponential_.default:  # with a generator, which fake tensors do not know
            return args[0]
        outputs = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default:
            owner = self._owners.get(args[0].untyped_storage()._cdata)
            if owner is not None:
                self._holdings.label([outputs], owner, GATHERED)
        return outputs


class SimulatedRollout(Rollout):
    """A rollout of `rows` completions as long as they may be, of which as many as a group has share each prompt. Only
    the tokens at which most may be held are computed: the first, which the prompts give, the one for which the caches
    are copied to larger ones for the last time, and the last."""

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
        self._filled += taken - self.taken
        self.taken = taken


class SimulatedStep:
    """A step whose scores and updates have run. Phases are named by `rollout_phase`, SCORE and `update_phase`.
    `tensors`: the mode that makes them fake, or one that does nothing."""

    def __init__(
        self,
        plan: RlMemoryPlan,
        attention: Mapping[str, Any],
        tensors: Callable[[], AbstractContextManager[Any]] = FakeTensorMode,
    ) -> None:
        self._plan, self._attention, self._holdings = plan, attention, MemoryTracker()
        simulation = Simulation(self._holdings)
        self._modes = (tensors(), self._holdings, simulation)
        self._rolled_out: set[int] = set()
        with self._running():
            self._make_models(simulation)
            self._score_and_update()

    def roll_out(self, rows: int) -> None:
        """Simulate the sampling of so many completions at once, unless that was done before. The experience of all
        completions is held meanwhile, unless the plan samples all of them at once."""
        plan, experience = self._plan, None
        if rows in self._rolled_out:
            return
        self._rolled_out.add(rows)
        with self._running(), self._holdings.phase(rollout_phase(rows)):
            if plan.rollout_batch != ALL:
                with attribute_to(NOBODY, EXPERIENCE):
                    experience = self._experience_tensors(plan.completions)
            self._sample(rows)
            del experience

    def peaks(self, share: Callable[[tuple[str, str]], float] = lambda label: 1.0) -> dict[str, Peak]:
        """The peak of each phase that has run. `share` weighs each label's bytes, as in MemoryTracker.peaks."""
        return self._holdings.peaks(share)

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Context in which operators run as simulated, and are tracked."""
        with ExitStack() as stack:
            for mode in self._modes:
                stack.enter_context(mode)
            yield

    def _make_models(self, simulation: Simulation) -> None:
        """Make policy, critic, learner and AdamW's moments, and the scorers and engine that stay on the device."""
        plan, self._generator = self._plan, torch.Generator()
        policy = self._labelled(self._trained(POLICY, plan.shape), POLICY)
        trained, critic = {POLICY: list(policy.parameters())}, None
        if plan.shares_trunk:
            critic = Critic(policy, shares_trunk=True)
            self._holdings.label([critic.value_D], CRITIC, PARAMETERS)
            trained[CRITIC] = [critic.value_D]
        elif plan.objective.has_critic:
            critic = self._labelled(Critic(self._trained(CRITIC, _headless(plan.critic_shape))), CRITIC)
            trained[CRITIC] = list(critic.parameters())
        self._learner = Learner(plan, policy, policy, critic)
        for owner, parameters in trained.items():
            self._holdings.label_gradients(parameters, owner)
            simulation.set_owner([p for p in parameters if plan.casts_frozen or p.requires_grad], owner)
        # AdamW's moments, as in its first update, but from gradients of zero, which move nothing.
        for owner, (model, optimiser) in self._learner.optimisers().items():
            for parameter in model.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
            optimiser.update(owner)
            self._holdings.label(optimiser.state_tensors(), owner, OPTIMISER)
        self._unadapted = None  # costs nothing, so that it need not be offloaded
        if plan.objective.has_reference and not plan.has_own_reference:
            self._unadapted = unadapted(policy, self._adaptable(REFERENCE, Decoder, plan.shape))
        self._scorers = None if plan.scorers_offloaded else self._new_scorers()
        self._engine = self._frozen(ENGINE) if plan.engine == COPY and not plan.engine_sleeps else None

    def _new_scorers(self) -> tuple[Decoder | None, Critic | None]:
        """The reference and the reward model, which score and do not learn; None for one the plan lacks."""
        plan, reward_model = self._plan, None
        reference = self._frozen(REFERENCE) if plan.has_own_reference else self._unadapted
        if plan.has_reward_model:
            scorer = Critic(self._frozen_decoder(REWARD_MODEL, _headless(plan.shape)))
            reward_model = self._labelled(scorer.requires_grad_(False), REWARD_MODEL)
        return reference, reward_model

    def _frozen(self, owner: str) -> Decoder:
        return self._labelled(self._frozen_decoder(owner, self._plan.shape), owner)

    def _frozen_decoder(self, owner: str, shape: DecoderShape) -> Decoder:
        return self._decoder(owner, Decoder, DTYPES[self._plan.precision][1], shape).requires_grad_(False)

    def _trained(self, owner: str, shape: DecoderShape) -> Decoder:
        """A decoder to train in the plan's precision, or a frozen one with trainable adapters under LoRA."""
        plan, (dtype, computed) = self._plan, DTYPES[self._plan.precision]
        kind = AutocastDecoder if dtype != computed else Decoder
        if plan.lora_rank is None:
            return self._decoder(owner, kind, dtype, shape)
        decoder = self._adaptable(owner, kind, shape)
        with attribute_to(owner, OTHER):
            adapt(decoder, plan.lora_rank, dtype=dtype)
        return decoder

    def _adaptable(self, owner: str, kind: type[Decoder], shape: DecoderShape) -> Decoder:
        """A decoder of frozen weights for adapters: in float32 under autocast if `casts_frozen`, else of `kind` in the
        computed dtype."""
        computed = DTYPES[self._plan.precision][1]
        if self._plan.casts_frozen and computed != torch.float32:
            return self._decoder(owner, AutocastDecoder, torch.float32, shape)
        return self._decoder(owner, kind, computed, shape)

    def _decoder(self, owner: str, kind: type[Decoder], dtype: torch.dtype, shape: DecoderShape) -> Decoder:
        """A decoder of this shape and dtype, whose tables of angles, not yet its parameters, are labelled."""
        plan, factory = self._plan, FactoryKwargs(dtype=dtype, device=torch.device("cpu"), generator=self._generator)
        with attribute_to(owner, OTHER):  # its tables of angles; its parameters are labelled later
            decoder = kind(shape, self._attention, positions=plan.seq_len, factory=factory)
        decoder.checkpointing = plan.checkpointing
        return decoder

    def _labelled(self, model: Model, owner: str) -> Model:
        self._holdings.label(model.parameters(), owner, PARAMETERS)
        return model

    def _score_and_update(self) -> None:
        """Simulate the scores of one micro-batch, and updates of one and two micro-batches where the plan has them."""
        plan, objective = self._plan, self._plan.objective
        with attribute_to(NOBODY, EXPERIENCE):
            batch = TrainingBatch(
                **self._experience_tensors(plan.completions),
                advantages_NT=self._floats(plan.completions),
                reference_NT=self._floats(plan.completions) if objective.kl_in_loss else None,
                values_NT=self._floats(plan.completions) if objective.has_critic else None,
                returns_NT=self._floats(plan.completions) if objective.has_critic else None,
            )
        with self._holdings.phase(SCORE):
            self._score()
        for count in dict.fromkeys(plan.micro_batches(count) for count in SHARDS if plan.divides(count)):
            with self._holdings.phase(update_phase(count)), attribute_to(NOBODY, EXPERIENCE):
                self._learner.update(batch.rows(torch.arange(count * plan.micro_batch)))

    def _score(self) -> None:
        """Score one micro-batch with every model that scores. Another engine's log-probabilities are not the policy's:
        they are computed anew."""
        plan, learner = self._plan, self._learner
        reference, reward_model = self._scorers or self._new_scorers()
        with attribute_to(NOBODY, EXPERIENCE):
            experience = Experience(
                **self._experience_tensors(plan.micro_batch),
                entropy_NT=self._floats(plan.micro_batch),
                is_truncated_N=torch.zeros(plan.micro_batch, dtype=torch.bool),
                groups_N=torch.zeros(plan.micro_batch, dtype=torch.long),
                rewards_N=torch.zeros(plan.micro_batch),
                scores=[Score(accuracy=0.0, format=0.0)] * plan.micro_batch,
            )
        if plan.engine != SHARED:
            learner.policy_log_probs(experience)
        if reference is not None:
            learner.reference = reference
            learner.reference_log_probs(experience)
            learner.reference = learner.policy
        if learner.critic is not None:
            learner.values(learner.critic, experience)
        if reward_model is not None:
            with torch.no_grad(), attribute_to(REWARD_MODEL, ACTIVATIONS):
                reward_model(experience.prompts, experience.tokens_NT)

    def _sample(self, rows: int) -> None:
        """Sample so many completions at once, as the policy or as its engine."""
        plan, owner, model = self._plan, POLICY, self._learner.policy
        if plan.engine == NONE:
            return
        if plan.engine == COPY:
            owner, model = ENGINE, self._engine or self._frozen(ENGINE)
        with attribute_to(owner, ACTIVATIONS):
            SimulatedRollout(plan, model, rows).run(plan.temperature, self._generator, with_entropy=True)

    def _experience_tensors(self, rows: int) -> dict[str, Any]:
        """Tensors of so many completions, of the kinds that Experience and TrainingBatch share."""
        return {
            "prompts": Prompts(tokens_PS=torch.zeros(rows, self._plan.prompt_len, dtype=torch.long)),
            "tokens_NT": torch.zeros(rows, self._plan.completion_len, dtype=torch.long),
            "mask_NT": self._floats(rows),
            "log_probs_NT": self._floats(rows),
        }

    def _floats(self, rows: int) -> Tensor:
        """One float32 number for each token of so many completions, [rows, T]."""
        return torch.ones(rows, self._plan.completion_len)


def _headless(shape: DecoderShape) -> DecoderShape:
    return replace(shape, ties_embeddings=True)
