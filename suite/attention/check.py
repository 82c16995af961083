"""No number without a passed check: a kernel's output against a float64 reference of the same rounded inputs.

A whole float64 attention cannot run at true sizes, so a few query rows are compared over all keys, which are streamed
in blocks. Small problems are compared whole, and so are gradients, which a caller gives at a length that allows it.
The layer around its kernel, its projections and its output, is compared with its definition in float64.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from suite.attention.backends.eager import attend
from suite.attention.layer import AttentionLayer
from suite.attention.problem import Problem, ValueLayout, joined_key, operands
from suite.attention.ragged_cache import from_pages
from suite.measure.workload import IncorrectError
from suite.records.record import Reading

WHOLE_BELOW_SCORES = 1 << 26
ROWS_PER_GROUP = 64
FEWEST_POSITIONS = 4
# Keys in float64 at a time. With 4,096 keys of 16 heads the allocator gives each block back to the system: new pages
# for the next one take three times as long as the sums.
KEY_BLOCK = 512
MOST_TOKENS = 4  # new tokens at which a layer is compared with its definition
SCALE_ERROR = 1e-13  # bound for a number that is computed in float64 whatever the dtype
# Relative Frobenius error above which no result passes, whatever eager's own error is.
LARGEST_ERROR = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 5e-3}
# Added to eager's error, and growing with the square root of the keys beyond so many: a kernel that sums them one by
# one is not wrong. torch's own math path, float32, absorbed MLA: 0.70e-6 at 1,024 keys, 1.1e-6 at 4,096, 2.0e-6 at
# 16,384 and 3.7e-6 at 65,536, where eager stays at 0.4e-6. One key of 16,384 left out shows as 3e-4 at least (180
# tried). Commit 64383889 has the script that printed both: rounding.py.
ROUNDING, ROUNDING_KEYS = 1e-6, 1024
# The suffix of a metric, and the tensor whose error it is.
PARTS = {
    "q": "the layer's queries",
    "k": "the layer's keys",
    "v": "the layer's values",
    "y": "the layer's output",
    "rows": "the new tokens' rows in the quantised cache",
    "iq": "the indexer's queries",
    "iw": "the indexer's head weights",
    "ik": "the indexer's keys",
    "scale": "the layer's factor on the scores",
    "dq": "dQ",
    "dk": "dK",
    "dv": "dV",
}


@dataclass(frozen=True, kw_only=True)
class OutputError:
    """Relative error of a tensor against float64, and the largest that passes."""

    error: float
    allowed: float

    @property
    def passed(self) -> bool:
        # Written so that a NaN does not pass.
        return self.error <= self.allowed


def allowed_error(eagers_error: float, problem: Problem) -> float:
    """Largest relative error that passes: twice `eagers_error` plus what rounding adds, at most LARGEST_ERROR's."""
    rounding = ROUNDING * math.sqrt(max(1.0, problem.seq_len / ROUNDING_KEYS))
    return min(2 * eagers_error + rounding, LARGEST_ERROR[problem.dtype])


def against_eager(output: Tensor, eager: Tensor, reference: Tensor, problem: Problem) -> OutputError:
    """Relative error of `output` against `reference`. Eager's own error against it gives the bound: `allowed_error`."""
    allowed = allowed_error(relative_error(eager, reference), problem)
    return OutputError(error=relative_error(output, reference), allowed=allowed)


def worst(errors: Sequence[OutputError]) -> OutputError:
    """The largest error of several, where NaN is larger than any, and the largest that one of them is allowed: eager's
    own error over the few numbers of a short sequence may by chance be small."""
    largest = max((each.error for each in errors), key=lambda error: (math.isnan(error), error))
    return OutputError(error=largest, allowed=max(each.allowed for each in errors))


def compare(o_BHSv: Tensor, inputs: Sequence[Tensor], problem: Problem, generator: torch.Generator) -> OutputError:
    """Relative error of a kernel's output against float64 attention over `inputs`, bound by eager's own error. Of many
    query rows some are sampled; see `_compared_positions`. Of sequences of different lengths each is compared by
    itself; see `worst`."""
    if problem.lengths is not None:
        q_BHSd, k_BGTd, v_BGTv, *tables = inputs
        if tables:
            k_BGTd, v_BGTv = (from_pages(x, *tables) for x in (k_BGTd, v_BGTv))
        errors = []
        for number, length in enumerate(problem.lengths):
            rows = slice(number, number + 1)
            sequence = q_BHSd[rows], k_BGTd[rows, :, :length], v_BGTv[rows, :, :length]
            errors.append(compare(o_BHSv[rows], sequence, problem.of_sequence(number), generator))
        return worst(errors)
    positions = _compared_positions(problem, generator)
    last_seen_R1 = (positions + problem.seq_len - problem.query_len)[:, None]
    keys_T = (torch.arange(problem.seq_len, device=problem.device) - problem.oldest_row) % problem.seq_len
    visible_RT = keys_T <= last_seen_R1
    if problem.window is not None:
        visible_RT &= keys_T > last_seen_R1 - problem.window
    q_BHSd, k_BGTd, v_BGTv, sink_H = operands(inputs, problem)
    q_BHRd = q_BHSd[:, :, positions]
    reference = reference_rows(q_BHRd, k_BGTd, v_BGTv, visible_RT, problem.scale, sink_H)
    # A quantised cache is restored in float32, and eager would have it in the dtype that it computes in.
    k_BGTd, v_BGTv = k_BGTd.to(problem.dtype), v_BGTv.to(problem.dtype)
    eager = attend(q_BHRd, k_BGTd, v_BGTv, scale=problem.scale, hidden_ST=~visible_RT, sink_H=sink_H)
    return against_eager(o_BHSv[:, :, positions], eager, reference, problem)


Attend = Callable[..., Tensor]


def compare_gradients(
    attended: Attend, q_BHSd: Tensor, k_BGSd: Tensor, v_BGSv: Tensor, do_BHSv: Tensor, problem: Problem
) -> Mapping[str, OutputError]:
    """Relative errors of the gradients dQ, dK and dV of `attended` against float64, under the keys dq, dk and dv.

    Eager's own errors give the bounds. A value that lies in the key has no gradient of its own: dk holds both.
    """
    visible_SS = problem.visible_keys()

    def eager_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v, scale=problem.scale, hidden_ST=~visible_SS)

    def float64_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return reference_rows(q, k, v, visible_SS, problem.scale)

    inputs = leaves(q_BHSd, k_BGSd, v_BGSv, problem)
    ours, eagers = (gradients(way, inputs, do_BHSv, problem) for way in (attended, eager_attention))
    q64, k64, v64 = (x.double() for x in inputs)
    wide = leaves(q64, k64, v64, problem)
    references = gradients(float64_attention, wide, do_BHSv.double(), problem)
    # Two of each where the value lies in the key.
    triples = zip(("dq", "dk", "dv"), ours, eagers, references, strict=False)
    return {name: against_eager(our, plain, reference, problem) for name, our, plain, reference in triples}


def readings_if_passed(comparisons: Mapping[str, OutputError], *, span: str = "kernel") -> list[Reading]:
    """Readings of error and bound for each comparison, by its name in PARTS (empty: the kernel's output). Raises
    IncorrectError, with the readings, if one fails."""
    readings = []
    for suffix, comparison in comparisons.items():
        for name, value in (("relative_error", comparison.error), ("allowed_error", comparison.allowed)):
            readings.append(Reading(step=0, span=span, metric=f"{name}_{suffix}".rstrip("_"), value=value))
    for suffix, comparison in comparisons.items():
        if not comparison.passed:
            of_part = f" of {PARTS[suffix]}" if suffix else ""
            raise IncorrectError(
                f"relative error{of_part} against float64 is {comparison.error:.3g}; "
                f"at most {comparison.allowed:.3g} is allowed",
                readings,
            )
    return readings


def leaves(q: Tensor, k: Tensor, v: Tensor, problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v, uncopied, as leaves that require a gradient; a value that lies in the key is a view of the new k."""
    q, k = q.detach().requires_grad_(), k.detach().requires_grad_()
    if problem.value_layout is ValueLayout.PREFIX_OF_KEY:
        return q, k, k[..., : problem.v_dim]
    return q, k, v.detach().requires_grad_()


def gradients(attended: Attend, inputs: Sequence[Tensor], do_BHSv: Tensor, problem: Problem) -> Sequence[Tensor]:
    """Gradients (dQ, dK, dV) by one forward and one backward pass; (dQ, dK) where the value lies in the key."""
    leaf_tensors = inputs[:2] if problem.value_layout is ValueLayout.PREFIX_OF_KEY else inputs
    return torch.autograd.grad(attended(*inputs), leaf_tensors, do_BHSv)


def one_pass(attended: Attend, problem: Problem, *inputs: Tensor) -> None:
    """Call `attended` once and drop its output; where the problem needs a gradient, run the backward pass too."""
    if not problem.needs_gradient:
        attended(*inputs)
        return
    q_BHSd, k_BGTd, v_BGTv = inputs
    do_BHSv = q_BHSd.new_ones(*q_BHSd.shape[:-1], problem.v_dim)
    with torch.enable_grad():
        gradients(attended, leaves(q_BHSd, k_BGTd, v_BGTv, problem), do_BHSv, problem)


def relative_error(candidate: Tensor, reference: Tensor) -> float:
    """Frobenius norm of the difference over the reference's norm, in float64."""
    return float((candidate.double() - reference).norm() / reference.norm())


def reference_rows(
    q_BHRd: Tensor,
    k_BGTd: Tensor,
    v_BGTv: Tensor,
    visible_RT: Tensor,
    scale: float,
    sink_H: Tensor | None = None,
) -> Tensor:
    """Compute attention of the given query rows in float64, keys streamed in blocks with a running maximum; o_BHRv.

    `sink_H`: a logit of each head that takes its share of the softmax and has no value.
    """
    batch, heads, rows, width = q_BHRd.shape
    groups = k_BGTd.shape[1]
    by_group = (batch, groups, heads // groups * rows)  # query head h uses key-value head h // (H / G)
    q = (q_BHRd.double() * scale).reshape(*by_group, width)
    # A finite start: a row that sees no key of the first block, as behind a window, weighs that block by 0.
    peak = q.new_full((*by_group, 1), torch.finfo(torch.float64).min)
    total = torch.zeros_like(peak)
    if sink_H is not None:  # a key without a value, which every row sees before all others
        peak = sink_H.double().view(groups, -1, 1).expand(batch, -1, -1, rows).reshape(*by_group, 1)
        total = torch.ones_like(peak)
    summed = q.new_zeros(*by_group, v_BGTv.shape[-1])
    for start in range(0, k_BGTd.shape[2], KEY_BLOCK):
        block = slice(start, start + KEY_BLOCK)
        k, v = k_BGTd[:, :, block].double(), v_BGTv[:, :, block].double()
        by_row = (q @ k.mT).unflatten(2, (-1, rows))
        scores = by_row.masked_fill(~visible_RT[:, block], float("-inf")).flatten(2, 3)
        new_peak = torch.maximum(peak, scores.amax(dim=-1, keepdim=True))
        weights, decay = (scores - new_peak).exp(), (peak - new_peak).exp()
        total = total * decay + weights.sum(dim=-1, keepdim=True)
        summed = summed * decay + weights @ v
        peak = new_peak
        del k, v  # before the next ones are allocated, so that they take these ones' place
    return (summed / total).view(batch, heads, rows, -1)


def _compared_positions(problem: Problem, generator: torch.Generator) -> Tensor:
    """Sorted indices of the new tokens to compare: all if few, else the first, last, two middle and random ones."""
    queries, device = problem.query_len, problem.device
    limit = max(FEWEST_POSITIONS, ROWS_PER_GROUP // problem.heads_per_group)
    if problem.batch * problem.heads * queries * problem.seq_len < WHOLE_BELOW_SCORES or queries <= limit:
        return torch.arange(queries, device=device)
    chosen = [0, queries - 1, queries // 2 - 1, queries // 2]
    random_positions = torch.randperm(queries, generator=generator, device=device)[: limit - len(chosen)].tolist()
    return torch.tensor(sorted({*chosen, *random_positions}), device=device)


def layer_readings(
    layer: AttentionLayer,
    problem: Problem,
    x_BSD: Tensor,
    projected: Sequence[Tensor],
    start: int,
    o_BHSv: Tensor,
    positions_S: Tensor | None = None,
) -> list[Reading]:
    """Compare the layer's projections, output and scale with its float64 definition, at up to MOST_TOKENS new tokens.

    `projected`: what `layer.project` gave for x_BSD at `start`; `o_BHSv`: the kernel's output. `positions_S`: those of
    the new tokens, whose rows alone are then `projected`. Readings of errors and bounds; none where the layer's class
    states no definition. Raises IncorrectError.
    """
    definition = layer.stated_definition()
    if definition is None:
        return []
    new = x_BSD.shape[1]
    chosen = torch.linspace(0, new - 1, min(new, MOST_TOKENS), device=x_BSD.device).round().long()
    positions = start + chosen if positions_S is None else positions_S[chosen]
    cached = projected[1].shape[2]
    # A query has the new tokens alone; a cache that keeps fewer tokens than there are goes round.
    rows = positions % cached if positions_S is None else chosen
    outputs = [x[:, :, rows if x.shape[2] == cached else chosen] for x in projected if x.dim() > 1]
    if problem.shared_key_dim:
        outputs[1] = joined_key(outputs[1], outputs.pop())
    o_BHNv = o_BHSv[:, :, chosen]
    ours = (*outputs[: len(definition.parts)], layer.output(o_BHNv))
    exact = (
        *definition.projected(layer, x_BSD[:, chosen].double(), positions),
        definition.output(layer, o_BHNv.double()),
    )
    comparisons = {
        part: OutputError(error=relative_error(our, their), allowed=LARGEST_ERROR[layer.dtype])
        for part, our, their in zip((*definition.parts, "y"), ours, exact, strict=True)
    }
    comparisons["scale"] = OutputError(error=abs(layer.scale / definition.scale(layer) - 1), allowed=SCALE_ERROR)
    return readings_if_passed(comparisons, span="layer")


def require_response(redraw_input: Callable[[], None], layer: Callable[[], object]) -> None:
    """Raise IncorrectError if an output is not finite, or if any new token has the same output for two drawn inputs."""
    outputs: list[Tensor] = []
    for _ in range(2):
        redraw_input()
        output_BSD = layer()
        assert isinstance(output_BSD, Tensor)
        if not output_BSD.isfinite().all():
            raise IncorrectError("the layer's output is not finite")
        outputs.append(output_BSD.detach())
    if (outputs[0] == outputs[1]).all(dim=-1).any():
        raise IncorrectError("the layer's output is the same for two different inputs")


def describe_layer_check(layer: AttentionLayer, new_tokens: int) -> str:
    """A phrase for the record: what `layer_readings` compares at how many tokens, or why it compares nothing."""
    if layer.stated_definition() is None:
        return "none: the variant states no definition"
    tokens = f"{min(new_tokens, MOST_TOKENS)} of {new_tokens} new tokens"
    return f"projections, output and scale against the definition at {tokens}"
