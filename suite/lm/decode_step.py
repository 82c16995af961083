"""One decode step of a whole model as a workload: how much of it is attention, and what a variant changes.

The step is timed as a whole, and its parts by themselves, each over all layers with their own weights and caches:
attention (norm, projections, kernel, output), the MLPs with their norms, and the head with the last norm. The kernel
alone, over all layers' caches, is a part of attention. Contexts are drawn: what they hold does not change the time.

Legend: B sequences, S new tokens, D hidden width, V vocabulary.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention import check
from suite.attention.backends.eager import Eager
from suite.attention.cache import Cache
from suite.attention.layer import AttentionLayer
from suite.attention.problem import Backend
from suite.attention.workload import DTYPES, MATH_PATH
from suite.configuration.files import locate
from suite.lm.checkpoint.load import load_decoder
from suite.lm.decoder import Block, Decoder, FactoryKwargs, rms_norm
from suite.measure.meter import Meter
from suite.measure.workload import IncorrectError, UnsupportedError
from suite.records.record import Reading, constant_readings
from suite.theory.layers.decode_plan import ATTENTION, HEAD, KERNEL, MLP, STEP, DecodePlan


class DecodeWorkload:
    """See suite.measure.workload.Workload. Constructing it allocates nothing."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = DecodePlan(settings)
        self._attention = settings["attention"]
        self._backend_for = locate(settings["backend"]["_target_"])

    def prepare(self) -> None:
        """Make the model, its caches and the backend, draw inputs, have the backend compile or choose. Raises
        UnsupportedError."""
        plan, device = self.plan, torch.device(self.plan.device)
        self._generator = torch.Generator(device).manual_seed(plan.seed)
        self.model = self._new_model(device)
        layer = self.model.attention_layer(0)
        if layer.shape.before_kernel(plan.forward) or layer.shape.window is not None:
            raise UnsupportedError(f"workload=decode runs layers that see whole contexts; got {type(layer).__name__}")
        self._caches = [layer.new_cache(plan.forward) for _ in self._blocks]
        self._start = plan.forward.seq_len - plan.forward.query_len
        backend: Backend = self._backend_for(layer.problem(plan.forward))
        self._draw(backend)
        with torch.no_grad():
            self.backend = backend.autotuned(*self._kernel_inputs[0])

    def _new_model(self, device: torch.device) -> Decoder:
        """The model with drawn weights, or a checkpoint's. Raises UnsupportedError where its sizes are others."""
        plan, dtype = self.plan, DTYPES[self.plan.dtype]
        with torch.no_grad():
            if plan.checkpoint is None:
                factory = FactoryKwargs(dtype=dtype, device=device, generator=self._generator)
                model = Decoder(plan.decoder, self._attention, positions=plan.forward.seq_len, factory=factory)
            else:
                model = load_decoder(plan.checkpoint, positions=plan.forward.seq_len, dtype=dtype, device=device)
                sizes, planned = (
                    replace(shape, layer=replace(shape.layer, rule="")) for shape in (model.shape, plan.decoder)
                )
                if sizes != replace(planned, match_residual=None, match_described=None):
                    raise UnsupportedError(
                        f"checkpoint={plan.checkpoint} has other sizes than geometry and attention say; it has "
                        f"{sizes.num_layers} layers of {sizes.layer.describe()}"
                    )
        return model.requires_grad_(False)

    @property
    def _blocks(self) -> Sequence[Block]:
        return self.model._blocks

    def constants(self) -> Iterable[Reading]:
        """Readings of the plan's closed forms, and of one layer's counted bytes of cache."""
        counted = Reading(step=0, span="case", metric="cache_bytes_counted", value=self._caches[0].counted_bytes())
        return [*constant_readings(self.plan.constants()), counted]

    def facts(self) -> Mapping[str, Any]:
        """Facts for the record: the backend, its form and compiler flags, and the plan's."""
        backend = self.backend
        facts = {"backend": backend.name, "backend_form": backend.form, "backend_built": backend.built}
        return {**{name: text for name, text in facts.items() if text is not None}, **self.plan.facts()}

    def warnings(self, operators: Mapping[str, Sequence[str]]) -> Iterable[str]:
        """A warning if torch's unfused math path is among the kernel span's operators."""
        if MATH_PATH in operators[KERNEL]:
            yield f"kernel: {self.backend.name} fell to torch's math path, which is no fused kernel"

    def check(self) -> Iterable[Reading]:
        """Draw inputs; compare the step's logits, and the kernels of the first and the last layer, with float64:
        readings of errors. Raises IncorrectError."""
        self._draw(self.backend)
        problem = self.model.attention_layer(0).problem(self.plan.forward)
        with torch.inference_mode():
            logits_BSV = self._logits(self.backend)
            exact_BSV = self._exact_logits()
            eager_BSV = self._logits(Eager(problem))
            kernels = [
                check.compare(self.backend(*inputs), inputs, problem, self._generator)
                for inputs in (self._kernel_inputs[0], self._kernel_inputs[-1])
            ]
            for cache in self._caches:
                cache.spoil_spare_slots(self._generator)
            again_BSV = self._logits(self.backend)
        readings = check.readings_if_passed({"": check.worst(kernels)})
        # What is rounded in a layer, the next ones pass on.
        most = check.LARGEST_ERROR[problem.dtype] * len(self._blocks)
        eagers_error = check.relative_error(eager_BSV, exact_BSV)
        error = check.OutputError(
            error=check.relative_error(logits_BSV, exact_BSV),
            allowed=min(2 * eagers_error + check.ROUNDING, most),
        )
        readings += check.readings_if_passed({"y": error}, span=STEP)
        if not torch.equal(logits_BSV, again_BSV):
            raise IncorrectError("the logits depend on cache slots past the length, which nothing may read", readings)
        return readings

    def step(self, meter: Meter) -> None:
        """Run each span's work once in the meter."""
        for span, work in self.parts().items():
            with meter.span(span):
                work()

    def parts(self) -> Mapping[str, Callable[[], object]]:
        """Functions that run each span's work once, by the span's name."""
        works = {
            STEP: lambda: self._logits(self.backend).argmax(dim=-1),
            ATTENTION: self._all_attention,
            MLP: lambda: [block.mlp(self._x_BSD) for block in self._blocks],
            HEAD: lambda: self._read_out(self._x_BSD).argmax(dim=-1),
            KERNEL: lambda: [self.backend(*inputs) for inputs in self._kernel_inputs],
        }
        return {span: torch.inference_mode()(work) for span, work in works.items()}

    def _draw(self, backend: Backend) -> None:
        """Draw contexts and new tokens, and run the step once: what it projects are the kernels' inputs."""
        forward, device = self.plan.forward, self.model.factory.device
        with torch.inference_mode():
            for cache in self._caches:
                cache.fill(self._generator)
            size = (forward.batch, forward.query_len)
            vocabulary = self.plan.decoder.vocab_size
            self._tokens_BS = torch.randint(vocabulary, size, generator=self._generator, device=device)
            self._x_BSD = F.embedding(self._tokens_BS, self.model.embedding)
            pairs = zip(self._blocks, self._caches, strict=True)
            self._kernel_inputs = [self._project(block, cache, self._x_BSD) for block, cache in pairs]

    def _project(self, block: Block, cache: Cache, x_BSD: Tensor) -> tuple[Tensor, ...]:
        return block.attention.project(block.attention_input(x_BSD), cache, self._start)

    def _all_attention(self) -> Tensor:
        """The attention of every layer, each added to the residual stream, without the MLPs between them."""
        x_BSD = self._x_BSD
        for block, cache in zip(self._blocks, self._caches, strict=True):
            x_BSD = x_BSD + block.attention.output(self.backend(*self._project(block, cache, x_BSD)))
        return x_BSD

    def _logits(self, backend: Backend) -> Tensor:
        """The step from token ids to logits_BSV."""
        x_BSD = F.embedding(self._tokens_BS, self.model.embedding)
        for block, cache in zip(self._blocks, self._caches, strict=True):
            x_BSD = x_BSD + block.attention.output(backend(*self._project(block, cache, x_BSD)))
            x_BSD = x_BSD + block.mlp(x_BSD)
        return self._read_out(x_BSD)

    def _read_out(self, x_BSD: Tensor) -> Tensor:
        return self.model.logits(rms_norm(x_BSD, self.model.norm, self.model.shape.norm_eps))

    def _exact_logits(self) -> Tensor:
        """The step in float64, a layer at a time: the same rounded weights and contexts."""
        plan, model = self.plan, self.model
        factory = FactoryKwargs(dtype=torch.float64, device=model.factory.device, generator=self._generator)
        single_layer = replace(model.shape, num_layers=1, vocab_size=1)
        exact = Decoder(single_layer, self._attention, positions=plan.forward.seq_len, factory=factory)
        (block,) = exact._blocks
        layer: AttentionLayer = block.attention
        cache, backend = layer.new_cache(plan.forward), Eager(layer.problem(plan.forward))
        x_BSD = F.embedding(self._tokens_BS, model.embedding).double()
        for rounded_block, rounded_cache in zip(self._blocks, self._caches, strict=True):
            block.load_state_dict({name: weight.double() for name, weight in rounded_block.state_dict().items()})
            for tensor, rounded in zip(cache.tensors, rounded_cache.tensors, strict=True):
                tensor.copy_(rounded)
            x_BSD = x_BSD + layer.output(backend(*self._project(block, cache, x_BSD)))
            x_BSD = x_BSD + block.mlp(x_BSD)
        h_BSD = rms_norm(x_BSD, model.norm.double(), model.shape.norm_eps)
        head = model.embedding if model.head is None else model.head
        return F.linear(h_BSD, head.double())
