"""What a run of reinforcement learning records, step by step.

A number that belongs to a step stands at that step's index. Those of the span `evaluate` stand at the number of steps
that came before: `heldout_accuracy` at step 0 is the base model's. But for memory none is exact in the gate's sense,
since a float differs between machines; `seeded` ones are bit-equal in two runs of one seed on one machine.
"""

from suite.records.holdings import ALLOCATOR_PEAK, PART, PEAK
from suite.records.metric import Better, Metric

EVALUATE, BASE = "evaluate", "base"
"""Spans of numbers, beside records.record.STEP; `rollout`, `score`, `update` and `evaluate` are timed ones."""
PHASES = ("rollout", "score", "update")
"""Timed spans of one step, in their order. `evaluate` is timed too and is no part of an algorithm's cost."""


def _metric(name: str, unit: str, label: str, better: Better = Better.NEITHER) -> Metric:
    return Metric(name=name, unit=unit, label=label, better=better, exact=False, seeded=True)


def _exact(name: str, unit: str, label: str, better: Better = Better.NEITHER) -> Metric:
    return Metric(name=name, unit=unit, label=label, better=better, exact=True)


RL_METRICS = (
    # Budgets, of one step each; the sum of the steps before is what a curve is drawn over.
    _metric("completions", "", "Completions that were sampled"),
    _metric("sampled_tokens", "", "Tokens that were sampled, end tokens included"),
    _metric("updates", "", "Optimiser steps of the policy"),
    _metric("examples", "", "Given texts that a step of fine-tuning trained on, each as often as it was"),
    _metric("examples_kept", "", "Different verified completions that a stage kept to be fine-tuned on"),
    # What was learnt. Shares lie between 0 and 1.
    _metric("reward", "", "Mean reward of the sampled completions", Better.HIGHER),
    _metric("accuracy", "", "Share of sampled completions whose answer is right", Better.HIGHER),
    _metric("format", "", "Share of sampled completions in the asked form", Better.HIGHER),
    _metric("step_reward", "", "Mean reward of the checked steps, where steps are checked", Better.HIGHER),
    _metric("compiles", "", "Share of sampled programs that compile, where programs are asked for", Better.HIGHER),
    _metric("cases_passed", "", "Mean share of its cases that a sampled program passes", Better.HIGHER),
    _metric("unscorable", "", "Share of sampled completions that the task's own scorer cannot judge", Better.LOWER),
    _metric("heldout_accuracy", "", "Share of held-out prompts answered rightly, greedily", Better.HIGHER),
    _metric("heldout_format", "", "Share of held-out prompts answered in the asked form, greedily", Better.HIGHER),
    _metric("heldout_length", "", "Mean length of the greedy answers to held-out prompts, in tokens"),
    # What is thought. A thought is what stands between its tags; a correction is one that holds the marker `!`.
    _metric("thought_length", "", "Mean length of the thoughts of sampled completions, where there is one, in tokens"),
    _metric("corrections", "", "Share of sampled completions whose thought corrects itself"),
    _metric("heldout_thought_length", "", "Mean length of the thoughts of the greedy answers, where there is one"),
    _metric("heldout_corrections", "", "Share of held-out prompts that are answered with a correction"),
    _metric("example_loss", "", "Loss on a token of given texts, in nats, mean over the updates"),
    _metric("base_loss", "", "Loss on a token of the base model's corpus, in nats", Better.LOWER),
    # How steadily.
    _metric("kl_reference", "", "Mean k3 estimate against the base model of a sampled token, in nats"),
    _metric("kl_behaviour", "", "Mean k3 estimate of a token against the policy that sampled it, in nats"),
    _metric("sampling_error", "", "Largest difference of a log-probability at sampling and at scoring", Better.LOWER),
    _metric("entropy", "", "Mean entropy of the distributions that were sampled from, in nats"),
    _metric("clip_fraction_low", "", "Share of tokens clipped at the lower end"),
    _metric("clip_fraction_high", "", "Share of tokens clipped at the upper end"),
    _metric("gradient_norm", "", "Norm of the policy's gradient before clipping, mean over the updates"),
    _metric("critic_gradient_norm", "", "Norm of the critic's gradient before clipping, mean over the updates"),
    _metric("explained_variance", "", "Share of the returns' variance that the critic's values explain"),
    _metric("policy_loss", "", "Loss of the policy, mean over the updates"),
    _metric("value_loss", "", "Loss of the critic, mean over the updates"),
    _metric("groups_without_signal", "", "Share of groups whose rewards are all equal"),
    _metric("completion_length", "", "Mean length of a sampled completion, in tokens"),
    _metric("truncated", "", "Share of sampled completions cut at the limit"),
    # Of the formulas themselves, by enumeration (workload=rl_conformance). A span says which formula where.
    _metric("true_value", "", "Enumerated truth that the estimates are of"),
    _metric("value_bias", "", "Mean of an estimate less the truth"),
    _metric("value_variance", "", "Variance of an estimate", Better.LOWER),
    _metric("gradient_cosine", "", "Cosine between the expected gradient and the true one", Better.HIGHER),
    _metric("gradient_norm_ratio", "", "Norm of the expected gradient over the true one's"),
    _metric("gradient_bias", "", "Norm of the expected gradient less the true one, over the true one's", Better.LOWER),
    _metric("gradient_variance", "", "Variance of the gradient over the true one's squared norm", Better.LOWER),
    _metric("largest_difference", "", "Largest difference from what it must equal", Better.LOWER),
    # Memory, by phase; see records/holdings.py for the spans. As exact as the lengths of what was sampled.
    Metric(
        name=PEAK,
        unit="B",
        label="Most that was held in a phase, operators' own workspace aside",
        better=Better.LOWER,
        exact=True,
        seeded=True,
    ),
    Metric(name=PART, unit="B", label="Its part of one owner and kind", better=Better.NEITHER, exact=True, seeded=True),
    Metric(
        name=ALLOCATOR_PEAK,
        unit="B",
        label="Most that the device's allocator held in a phase",
        better=Better.LOWER,
        exact=False,
    ),
    # Projected memory (workload=rl_memory). A span says how many devices there are, or how large each is.
    _exact("peak_bytes_per_device", "B", "Most that one device holds in any phase", Better.LOWER),
    _exact("devices_needed", "", "Least number of such GPUs that hold a step", Better.LOWER),
    _exact("reference_parameter_count", "", "Parameters of the reference; 0 where there is none of its own"),
    _exact("reward_model_parameter_count", "", "Parameters of the reward model; 0 where there is none"),
    # Of the models.
    _metric("policy_parameter_count", "", "Parameters of the policy"),
    _metric("critic_parameter_count", "", "Parameters of the critic; 0 where there is none"),
)
