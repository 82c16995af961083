"""Each metric's name, its unit and the better direction. Report axes and gate directions come from here.

Of reinforcement learning, a number that belongs to a step stands at that step's index. Those of the span `evaluate`
stand at the number of steps that came before: `heldout_accuracy` at step 0 is the base model's. But for memory none is
exact in the gate's sense, since a float differs between machines; `seeded` ones are bit-equal in two runs of one seed
on one machine.

`pass_at_k` stands in a span of each k below `evaluate`, such as `evaluate/k=256`.

Of quality, `answer_accuracy` and `answer_loss` stand in the span `evaluate`, and for each kind of question (a tier, an
attribute, a distance) in a span of its own below it; with one head knocked out, in a span below `head_ablation`. Those
of step n are of the decoder after the updates of n steps. A share without its standard error is no measurement: the
questions are as many as `questions_asked` says, and seeds are runs of their own.
"""

from dataclasses import dataclass
from enum import StrEnum

from suite.records.holdings import ALLOCATOR_PEAK, IN_USE, PART, PEAK, RESERVED_PEAK


class Better(StrEnum):
    LOWER = "lower"
    HIGHER = "higher"
    NEITHER = "neither"


@dataclass(frozen=True, kw_only=True)
class Metric:
    name: str
    unit: str
    label: str
    better: Better
    exact: bool
    """An exact quantity is the same at every repeat: any difference is a change. Others are noisy."""
    seeded: bool = False
    """Follows from the seed: bit-equal in two runs of one seed on one machine, and different elsewhere."""


def noisy(name: str, unit: str, label: str, better: Better = Better.NEITHER) -> Metric:
    """A metric that differs from repeat to repeat."""
    return Metric(name=name, unit=unit, label=label, better=better, exact=False)


def exact(name: str, unit: str, label: str, better: Better = Better.NEITHER, *, is_seeded: bool = False) -> Metric:
    """A metric of which any difference is a change."""
    return Metric(name=name, unit=unit, label=label, better=better, exact=True, seeded=is_seeded)


def seeded(name: str, unit: str, label: str, better: Better = Better.NEITHER) -> Metric:
    """A metric that is bit-equal in two runs of one seed on one machine."""
    return Metric(name=name, unit=unit, label=label, better=better, exact=False, seeded=True)


EVALUATE, BASE = "evaluate", "base"
"""Spans of numbers, beside records.record.STEP; `rollout`, `score`, `update` and `evaluate` are timed ones."""
TRIVIAL_ACCURACY, PASS_AT_K = "trivial_accuracy", "pass_at_k"
PHASES = ("rollout", "score", "update")
"""Timed spans of one step, in their order. `evaluate` is timed too and is no part of an algorithm's cost."""


RL_METRICS = (
    # Budgets, of one step each; the sum of the steps before is what a curve is drawn over.
    seeded("completions", "", "Completions that were sampled"),
    seeded("sampled_tokens", "", "Tokens that were sampled, end tokens included"),
    seeded("updates", "", "Optimiser steps of the policy"),
    seeded("examples", "", "Given texts that a step of fine-tuning trained on, each as often as it was"),
    seeded(
        "examples_kept", "", "Different completions that a stage kept to be fine-tuned on, verified where it filters"
    ),
    seeded("pairs_kept", "", "Pairs of a preferred completion and another of its prompt that a stage made"),
    # What was learnt. Shares lie between 0 and 1.
    seeded("reward", "", "Mean reward of the sampled completions", Better.HIGHER),
    seeded("accuracy", "", "Share of sampled completions whose answer is right", Better.HIGHER),
    seeded("format", "", "Share of sampled completions in the asked form", Better.HIGHER),
    seeded("step_reward", "", "Mean reward of the checked steps, where steps are checked", Better.HIGHER),
    seeded("compiles", "", "Share of sampled programs that compile, where programs are asked for", Better.HIGHER),
    seeded("cases_passed", "", "Mean share of its cases that a sampled program passes", Better.HIGHER),
    seeded("unscorable", "", "Share of sampled completions that the task's own scorer cannot judge", Better.LOWER),
    seeded("heldout_accuracy", "", "Share of held-out prompts answered rightly, greedily", Better.HIGHER),
    seeded(PASS_AT_K, "", "Share of held-out prompts that one of k samples solves", Better.HIGHER),
    exact(TRIVIAL_ACCURACY, "", "Share of held-out prompts that copying, or one answer to all, gets right"),
    seeded("heldout_format", "", "Share of held-out prompts answered in the asked form, greedily", Better.HIGHER),
    seeded("heldout_length", "", "Mean length of the greedy answers to held-out prompts, in tokens"),
    # What is thought. A thought is what stands between its tags; a correction is one that holds the marker `!`.
    seeded("thought_length", "", "Mean length of the thoughts of sampled completions, where there is one, in tokens"),
    seeded("corrections", "", "Share of sampled completions whose thought corrects itself"),
    seeded("heldout_thought_length", "", "Mean length of the thoughts of the greedy answers, where there is one"),
    seeded("heldout_corrections", "", "Share of held-out prompts that are answered with a correction"),
    seeded("example_loss", "", "Loss on a token of given texts, in nats, mean over the updates"),
    seeded("preference_loss", "", "Loss on a pair of completions, in nats, mean over the updates"),
    seeded("preference_accuracy", "", "Share of pairs whose preferred completion has the larger implicit reward"),
    seeded("preference_margin", "", "Mean implicit reward of the preferred completions less that of the others"),
    seeded("base_loss", "", "Loss on a token of the base model's corpus, in nats", Better.LOWER),
    # How steadily.
    seeded("kl_reference", "", "Mean k3 estimate against the base model of a sampled token, in nats"),
    seeded("kl_behaviour", "", "Mean k3 estimate of a token against the policy that sampled it, in nats"),
    seeded("sampling_error", "", "Largest difference of a log-probability at sampling and at scoring", Better.LOWER),
    seeded("rollout_kl", "", "Mean k3 estimate of a token, of the sampling policy against the learning one, in nats"),
    seeded("rollout_chi2", "", "Mean square of a token's ratio, learning policy to sampling policy, less 1"),
    seeded("rollout_sequence_chi2", "", "The same of whole completions, by the products of their tokens' ratios"),
    seeded("rollout_masked", "", "Share of tokens that a correction leaves out or caps"),
    seeded("rollout_effective_samples", "", "Effective share of the tokens, by the weights of a correction"),
    seeded("entropy", "", "Mean entropy of the distributions that were sampled from, in nats"),
    seeded("clip_fraction_low", "", "Share of tokens clipped at the lower end"),
    seeded("clip_fraction_high", "", "Share of tokens clipped at the upper end"),
    seeded("gradient_norm", "", "Norm of the policy's gradient before clipping, mean over the updates"),
    seeded("gradient_clipped", "", "Share of the updates whose gradient of the policy was longer than max_grad_norm"),
    seeded("critic_gradient_norm", "", "Norm of the critic's gradient before clipping, mean over the updates"),
    seeded("explained_variance", "", "Share of the returns' variance that the critic's values explain"),
    seeded("policy_loss", "", "Loss of the policy, mean over the updates"),
    seeded("value_loss", "", "Loss of the critic, mean over the updates"),
    seeded("groups_without_signal", "", "Share of groups whose rewards are all equal"),
    seeded("completion_length", "", "Mean length of a sampled completion, in tokens"),
    seeded("truncated", "", "Share of sampled completions cut at the limit"),
    # Memory, by phase; see records/holdings.py for the spans. As exact as the lengths of what was sampled.
    exact(PEAK, "B", "Most that was held in a phase, operators' own workspace aside", Better.LOWER, is_seeded=True),
    exact(PART, "B", "Its part of one owner and kind", is_seeded=True),
    noisy(ALLOCATOR_PEAK, "B", "Most that the device's allocator held in a phase", Better.LOWER),
    noisy(RESERVED_PEAK, "B", "Most that it reserved of the device's memory in a phase", Better.LOWER),
    noisy(IN_USE, "B", "Memory of the whole GPU in use as a phase ended, by NVML", Better.LOWER),
    # Projected memory (workload=rl_memory). A span says how many devices there are, or how large each is.
    exact("peak_bytes_per_device", "B", "Most that one device holds in any phase", Better.LOWER),
    exact("devices_needed", "", "Least number of such GPUs that hold a step", Better.LOWER),
    exact("rollout_batch", "", "Completions that one device samples at once"),
    exact("completion_cache_bytes", "B", "KV cache of one completion as long as it may be, with its prompt"),
    exact("step_fits", "", "1 where the GPUs at hand hold a step, else 0", Better.HIGHER),
    exact("spare_bytes", "B", "Memory of each GPU at hand that a step leaves; below 0 what it lacks", Better.HIGHER),
    exact("reference_parameter_count", "", "Parameters of the reference; 0 where there is none of its own"),
    exact("reward_model_parameter_count", "", "Parameters of the reward model; 0 where there is none"),
    # Of the models.
    seeded("policy_parameter_count", "", "Parameters of the policy"),
    seeded("critic_parameter_count", "", "Parameters of the critic; 0 where there is none"),
)

TRAIN, DECODE = "train", "decode"
"""Timed spans: the updates of a step; one new token of the trained decoder."""
HEAD_ABLATION, CACHED, TEXT, TASK, DISTILL = "head_ablation", "cached", "text", "task", "distill"
"""Spans of numbers: answers without one head; what a linear reader finds in the cache; of workload=compress text, its
tasks, and the distillation."""


def within(*parts: str) -> str:
    """A span below another one: `evaluate/rarely`."""
    return "/".join(parts)


def below(span: str, above: str) -> str | None:
    """The part of a span behind `above/`; None for another span."""
    return span[len(above) + 1 :] if span.startswith(f"{above}/") else None


QUALITY_METRICS = (
    seeded("questions", "", "Questions that a step trained on"),
    seeded("training_loss", "", "Loss on a trained answer, in nats, mean over a step's updates"),
    seeded("answer_accuracy", "", "Share of held-out questions answered rightly", Better.HIGHER),
    seeded("answer_loss", "", "Loss on a held-out answer, in nats", Better.LOWER),
    seeded(
        "linear_probe_accuracy", "", "Share of a token's details that a linear reader finds in its cache", Better.HIGHER
    ),
    exact("questions_asked", "", "Held-out questions of one evaluation"),
    exact("chance", "", "Share that guessing answers"),
    exact("model_parameter_count", "", "Parameters of the whole model"),
    exact("cache_bytes_per_token", "B", "KV cache of a token, all layers", Better.LOWER),
    exact("cache_bytes_per_token_mha", "B", "KV cache of a token under MHA, all layers"),
    # workload=compress: sums over one window of text, so that any mean can be taken on reading.
    seeded("text_loss", "", "Summed loss of a window's tokens, in nats", Better.LOWER),
    seeded("text_tokens", "", "Tokens that the loss is summed over"),
    seeded("text_words", "", "Words that these tokens are of"),
    seeded("task_right", "", "Right answers of a task on a window", Better.HIGHER),
    seeded("task_answers", "", "Answers of a task on a window"),
    seeded("task_guessed", "", "Right answers that guessing is expected to give"),
    seeded("distillation_loss", "", "Divergence from the model as it is, in nats a token", Better.LOWER),
    seeded("latent_rank", "", "Elements of a layer's latent"),
    seeded("logits_change", "", "Relative Frobenius difference of logits from the model's own", Better.LOWER),
    seeded(
        "retained_variance", "", "Share of the squared norm of a layer's keys and values that is kept", Better.HIGHER
    ),
)


ERRORS = {
    "q": "the layer's queries",
    "k": "the layer's keys",
    "v": "the layer's values",
    "rows": "the new tokens' rows in a quantised cache",
    "iq": "the indexer's queries",
    "iw": "its head weights",
    "ik": "its keys",
    "y": "the layer's output",
    "scale": "the layer's factor on the scores",
    "dq": "the queries' gradient",
    "dk": "the keys' gradient",
    "dv": "the values' gradient",
}
"""Parts of a layer that are compared with the reference, beside its kernel's output."""

METRICS = {
    metric.name: metric
    for metric in (
        noisy("latency_s", "s", "Latency", Better.LOWER),
        exact("flops", "FLOP", "Useful FLOPs", Better.LOWER),
        exact("traffic_bytes", "B", "Least memory traffic", Better.LOWER),
        exact("exchanged_bytes", "B", "Sent to other devices around the kernel", Better.LOWER),
        exact("cache_bytes", "B", "KV cache of one layer", Better.LOWER),
        exact("cache_bytes_counted", "B", "KV cache of one layer, counted on the tensors", Better.LOWER),
        exact("cache_bytes_mha", "B", "KV cache of one layer under MHA"),
        exact("parameter_count", "", "Parameters of one layer"),
        exact("peak_bytes", "B", "Allocator peak above what was allocated before", Better.LOWER),
        exact("kept_bytes", "B", "Memory that a backend keeps between calls, beside the peak", Better.LOWER),
        exact("match_residual", "", "Share by which match=params or match=cache misses"),
        exact("flops_with_recomputation", "FLOP", "FLOPs if scores are computed again"),
        noisy("cold_latency_s", "s", "Latency after the caches were flushed", Better.LOWER),
        noisy("flush_probe_ratio", "", "Time to read a small probe after a flush, over warm"),
        noisy("launched_ahead", "", "1 if all was launched before the device began it, else 0"),
        exact("bound_s", "s", "Least time at the specification's ceilings", Better.LOWER),
        exact("weight_bytes", "B", "Weights of the model on one device", Better.LOWER),
        exact("sequence_bytes", "B", "Cache of one sequence on one device", Better.LOWER),
        exact("largest_batch", "", "Most sequences beside the weights, on all devices", Better.HIGHER),
        exact("most_tokens_per_s", "1/s", "Most tokens a second at the largest batch", Better.HIGHER),
        exact("expected_tokens_per_s", "1/s", "Tokens a second expected there", Better.HIGHER),
        exact("expected_s", "s", "Time expected of a good kernel on the device", Better.LOWER),
        exact("expected_low_s", "s", "Lower end of nine in ten such kernels", Better.LOWER),
        exact("expected_high_s", "s", "Upper end of nine in ten such kernels", Better.LOWER),
        noisy("relative_error", "", "Relative Frobenius error against float64", Better.LOWER),
        noisy("allowed_error", "", "Largest error that passes"),
        noisy("cache_error", "", "Relative Frobenius error that a quantised cache makes of the output", Better.LOWER),
        *(
            metric
            for part, description in ERRORS.items()
            for metric in (
                noisy(f"relative_error_{part}", "", f"The same of {description}", Better.LOWER),
                noisy(f"allowed_error_{part}", "", "Largest error of it that passes"),
            )
        ),
        exact("tokens", "", "New tokens of one step"),
        noisy("energy_j", "J", "Energy of one step, by the difference of a counter", Better.LOWER),
        noisy("energy_power_w", "W", "Mean power while the energy was taken"),
        noisy("energy_window_s", "s", "Time over which the energy was taken"),
        noisy("ceiling_flops_per_s", "FLOP/s", "Arithmetic ceiling", Better.HIGHER),
        noisy("ceiling_bytes_per_s", "B/s", "Memory ceiling at this working set", Better.HIGHER),
        *RL_METRICS,
        *QUALITY_METRICS,
    )
}
