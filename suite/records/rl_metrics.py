"""What a run of reinforcement learning records, step by step.

A number that belongs to a step stands at that step's index. Those of the span `evaluate` stand at the number of steps
that came before: `heldout_accuracy` at step 0 is the base model's. But for memory none is exact in the gate's sense,
since a float differs between machines; `seeded` ones are bit-equal in two runs of one seed on one machine.
"""

from suite.records.holdings import ALLOCATOR_PEAK, PART, PEAK
from suite.records.metric import Better, Metric, exact, seeded

EVALUATE, BASE = "evaluate", "base"
"""Spans of numbers, beside records.record.STEP; `rollout`, `score`, `update` and `evaluate` are timed ones."""
PHASES = ("rollout", "score", "update")
"""Timed spans of one step, in their order. `evaluate` is timed too and is no part of an algorithm's cost."""


RL_METRICS = (
    # Budgets, of one step each; the sum of the steps before is what a curve is drawn over.
    seeded("completions", "", "Completions that were sampled"),
    seeded("sampled_tokens", "", "Tokens that were sampled, end tokens included"),
    seeded("updates", "", "Optimiser steps of the policy"),
    seeded("examples", "", "Given texts that a step of fine-tuning trained on, each as often as it was"),
    seeded("examples_kept", "", "Different verified completions that a stage kept to be fine-tuned on"),
    # What was learnt. Shares lie between 0 and 1.
    seeded("reward", "", "Mean reward of the sampled completions", Better.HIGHER),
    seeded("accuracy", "", "Share of sampled completions whose answer is right", Better.HIGHER),
    seeded("format", "", "Share of sampled completions in the asked form", Better.HIGHER),
    seeded("step_reward", "", "Mean reward of the checked steps, where steps are checked", Better.HIGHER),
    seeded("compiles", "", "Share of sampled programs that compile, where programs are asked for", Better.HIGHER),
    seeded("cases_passed", "", "Mean share of its cases that a sampled program passes", Better.HIGHER),
    seeded("unscorable", "", "Share of sampled completions that the task's own scorer cannot judge", Better.LOWER),
    seeded("heldout_accuracy", "", "Share of held-out prompts answered rightly, greedily", Better.HIGHER, points=True),
    seeded("heldout_format", "", "Share of held-out prompts answered in the asked form, greedily", Better.HIGHER),
    seeded("heldout_length", "", "Mean length of the greedy answers to held-out prompts, in tokens"),
    # What is thought. A thought is what stands between its tags; a correction is one that holds the marker `!`.
    seeded("thought_length", "", "Mean length of the thoughts of sampled completions, where there is one, in tokens"),
    seeded("corrections", "", "Share of sampled completions whose thought corrects itself"),
    seeded("heldout_thought_length", "", "Mean length of the thoughts of the greedy answers, where there is one"),
    seeded("heldout_corrections", "", "Share of held-out prompts that are answered with a correction"),
    seeded("example_loss", "", "Loss on a token of given texts, in nats, mean over the updates"),
    seeded("base_loss", "", "Loss on a token of the base model's corpus, in nats", Better.LOWER),
    # How steadily.
    seeded("kl_reference", "", "Mean k3 estimate against the base model of a sampled token, in nats"),
    seeded("kl_behaviour", "", "Mean k3 estimate of a token against the policy that sampled it, in nats"),
    seeded("sampling_error", "", "Largest difference of a log-probability at sampling and at scoring", Better.LOWER),
    seeded("entropy", "", "Mean entropy of the distributions that were sampled from, in nats"),
    seeded("clip_fraction_low", "", "Share of tokens clipped at the lower end"),
    seeded("clip_fraction_high", "", "Share of tokens clipped at the upper end"),
    seeded("gradient_norm", "", "Norm of the policy's gradient before clipping, mean over the updates"),
    seeded("critic_gradient_norm", "", "Norm of the critic's gradient before clipping, mean over the updates"),
    seeded("explained_variance", "", "Share of the returns' variance that the critic's values explain"),
    seeded("policy_loss", "", "Loss of the policy, mean over the updates"),
    seeded("value_loss", "", "Loss of the critic, mean over the updates"),
    seeded("groups_without_signal", "", "Share of groups whose rewards are all equal"),
    seeded("completion_length", "", "Mean length of a sampled completion, in tokens"),
    seeded("truncated", "", "Share of sampled completions cut at the limit"),
    # Of the formulas themselves, by enumeration (workload=rl_conformance). A span says which formula where.
    seeded("true_value", "", "Enumerated truth that the estimates are of"),
    seeded("value_bias", "", "Mean of an estimate less the truth"),
    seeded("value_variance", "", "Variance of an estimate", Better.LOWER),
    seeded("gradient_cosine", "", "Cosine between the expected gradient and the true one", Better.HIGHER),
    seeded("gradient_norm_ratio", "", "Norm of the expected gradient over the true one's"),
    seeded("gradient_bias", "", "Norm of the expected gradient less the true one, over the true one's", Better.LOWER),
    seeded("gradient_variance", "", "Variance of the gradient over the true one's squared norm", Better.LOWER),
    seeded("largest_difference", "", "Largest difference from what it must equal", Better.LOWER),
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
    exact("peak_bytes_per_device", "B", "Most that one device holds in any phase", Better.LOWER),
    exact("devices_needed", "", "Least number of such GPUs that hold a step", Better.LOWER),
    exact("reference_parameter_count", "", "Parameters of the reference; 0 where there is none of its own"),
    exact("reward_model_parameter_count", "", "Parameters of the reward model; 0 where there is none"),
    # Of the models.
    seeded("policy_parameter_count", "", "Parameters of the policy"),
    seeded("critic_parameter_count", "", "Parameters of the critic; 0 where there is none"),
)
