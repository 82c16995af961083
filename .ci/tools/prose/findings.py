"""Tables of single findings for the READMEs: what a row says, and the reader that finds its figure in the records.

A reader that names an outcome raises if the records hold another one.
"""

from collections.abc import Callable, Sequence

from suite.statistics.paired import ArmOutcome
from tools.prose import readers

Findings = Sequence[tuple[str, Callable[[], str]]]

FINDINGS: dict[str, Findings] = {
    "rl_why": (
        ("GRPO minus PPO, scaled by the group", lambda: readers.effect("arm", "grpo |group", ArmOutcome.LOWER, "")),
        (
            "GRPO minus PPO, scaled by the batch (no clear difference)",
            lambda: readers.effect("arm", "grpo |batch", ArmOutcome.OPEN, ""),
        ),
        ("GRPO minus PPO, not scaled", lambda: readers.effect("arm", "grpo |none", ArmOutcome.LOWER, "")),
        (
            "REINFORCE++ minus PPO (no clear difference)",
            lambda: readers.effect("arm", "reinforce_plus_plus |", ArmOutcome.OPEN, ""),
        ),
        ("Within GRPO: batch minus group", lambda: readers.effect("deviation", "batch", ArmOutcome.HIGHER)),
        (
            "The same, where the format is not rewarded, minus where it is",
            lambda: readers.changed_where_unpaid(ArmOutcome.LOWER),
        ),
        ("Interactions that are clearly different from zero", readers.count_interactions),
        ("Explained variance of PPO's critic where it ends above one half", readers.critic_explains),
    ),
    "rl_tasks": (
        ("GRPO's time per completion as a share of PPO's (32 × 8)", readers.completion_cost),
        (
            "Clear differences from PPO on addition and postfix",
            lambda: readers.clear_differences("addition", "postfix"),
        ),
        ("Algorithms without a critic clearly ahead of PPO on sorting at equal seconds", readers.ahead_without_critic),
        ("GRPO on the one weak base model", lambda: readers.ends_from_weak_base(readers.GRPO_GROUPED)),
        ("PPO λ 0.95 on it", lambda: readers.ends_from_weak_base(readers.PPO_95)),
        ("All others on it", readers.ends_from_weak_base),
        ("Runs that collapsed", lambda: readers.count_collapsed("cpu/rl")),
    ),
    "rl_defaults": (
        (
            "Ends at, where the whole reward is divided by the group's deviation",
            lambda: readers.defaults_end(divides=True),
        ),
        ("Ends at, elsewhere", lambda: readers.defaults_end(divides=False)),
    ),
    "rl_tuned": (
        ("Trials of each algorithm end between", readers.trial_range),
        ("Tuning chooses for GRPO", readers.tuned_grpo),
    ),
    "recipes": (
        ("R1 with DPO alone minus R1, sorting", lambda: readers.recipe("dpo", "small", ArmOutcome.LOWER, against="r1")),
        ("Loss per token of the preferred completion under DPO alone", readers.preferred_loss),
    ),
    "rl_pretrained": (("Held-out accuracy at step 24 minus step 0", readers.pretrained_gain),),
    "rl_owners": (
        ("Peak of a PPO step", lambda: readers.measured_peak("ppo")),
        ("GRPO, groups of 8", lambda: readers.measured_peak("grpo")),
        ("GRPO, groups of 11", lambda: readers.measured_peak("grpo", 11)),
        ("GRPO, groups of 12", lambda: readers.measured_peak("grpo", 12)),
        (
            "Sorting: GRPO with groups of 11 minus PPO (no clear difference)",
            lambda: readers.groups_of_11(ArmOutcome.OPEN),
        ),
    ),
    "prefill": (
        ("absorbed MLA", lambda: readers.prefill_time("mla_absorbed")),
        ("MHA", lambda: readers.prefill_time("mha")),
        ("MLA with full keys and values", lambda: readers.prefill_time("mla_expanded")),
    ),
    "cpp": (
        (
            "GQA is faster than absorbed MLA on the CPU (bfloat16, 128 heads in 1 to 8 parts, 1 to 4 new tokens)",
            readers.gqa_ahead,
        ),
    ),
    "sparse": (
        (
            "Layer clearly faster than MLA's over all tokens (65,536 tokens, float32, 8 index heads)",
            lambda: readers.count_sparse_cells("faster"),
        ),
        ("Layer clearly slower (all at 4,096 tokens)", lambda: readers.count_sparse_cells("slower")),
    ),
    "tiers": (
        (
            "Rarest tier at 128 B: MLA minus MQA (no clear difference)",
            lambda: readers.difference(
                readers.tier("mla", readers.RANK_24), readers.tier("mqa", readers.MQA), ArmOutcome.OPEN
            ),
        ),
    ),
    "h100": (
        ("MLA's decode speed over GQA-8's with 128 heads on an H100, at best", lambda: f"{readers.speedup():.1f}×"),
        ("expected for one sequence of 131,072 tokens", lambda: f"{readers.expected_speedup():.1f}×"),
        ("the same with 8 new tokens per step", lambda: f"{readers.expected_speedup(query_len=8):.2f}×"),
        ("the same on 8 devices", lambda: f"{readers.expected_speedup(tp=8):.2f}×"),
        ("expected at 8,192 tokens", lambda: f"{readers.expected_speedup(tokens=8192):.2f}×"),
        (
            "measured by others with 4,096 to 32,768 cached tokens over all sequences",
            lambda: f"{readers.measured_speedup(8192):.2f}×",
        ),
        ("measured with up to 131,072", lambda: f"{readers.measured_speedup(65_536):.1f}×"),
        ("measured with up to 524,288", lambda: f"{readers.measured_speedup(262_144):.1f}×"),
        ("median error of expected times on an H100", lambda: readers.calibration_error("h100-sxm5-80gb")),
        ("on an H200", lambda: readers.calibration_error("h200-sxm-141gb")),
    ),
}


def table(name: str) -> str:
    """Markdown of a table of findings, with a line break before and after it."""
    rows = [f"| {text} | {figure()} |" for text, figure in FINDINGS[name]]
    lines = ["", "| finding | figure |", "| --- | --- |", *rows]
    return "\n".join([*lines, "", ""])
