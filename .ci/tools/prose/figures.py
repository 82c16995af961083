"""Every generated part of a README by its name. Readers find the figures in the records; no number stands here."""

from collections.abc import Callable

from suite.report.rl import design
from tools.prose import conf_reference, findings, tables

FIGURES: dict[str, Callable[[], str]] = {
    "rows.rl_why": lambda: findings.table(findings.RL_WHY),
    "rows.rl_tasks": lambda: findings.table(findings.RL_TASKS),
    "rows.rl_defaults": lambda: findings.table(findings.RL_DEFAULTS),
    "rows.rl_tuned": lambda: findings.table(findings.RL_TUNED),
    "rows.recipes": lambda: findings.table(findings.RECIPES),
    "rows.rl_owners": lambda: findings.table(findings.RL_OWNERS),
    "rows.prefill": lambda: findings.table(findings.PREFILL),
    "rows.cpp": lambda: findings.table(findings.CPP),
    "rows.sparse": lambda: findings.table(findings.SPARSE),
    "rows.tiers": lambda: findings.table(findings.TIERS),
    "rows.h100": lambda: findings.table(findings.H100),
    "table.decode": tables.decode,
    "table.cpp_decode": tables.cpp_decode,
    "table.call_form": tables.call_form,
    "table.tiers": tables.tiers,
    "table.variants": tables.variants,
    "table.sparse": tables.sparse,
    "table.eight_bits": tables.eight_bits,
    "table.rl_completions": lambda: tables.rl(design.COMPLETIONS),
    "table.rl_seconds": lambda: tables.rl(design.CPU),
    "table.rl_defaults": tables.defaults,
    "table.rl_tuned": tables.tuned,
    "table.why": tables.why,
    "table.ppo_settings": tables.ppo_settings,
    "table.recipes": tables.recipes,
    "table.rl_controls": tables.controls,
    "table.rl_curves": tables.curves,
    "table.rl_late_or_trapped": tables.late_or_trapped,
    "table.rl_coarse": tables.coarse,
    "table.rl_stale": tables.stale,
    "table.rl_pass_at_k": tables.sampled_often,
    "table.memory": tables.memory,
    "table.memory_fits": tables.memory_fits,
    "table.gate": tables.gate,
    "table.gate_shifts": tables.gate_shifts,
    "table.gate_stored": tables.gate_stored,
    "table.gate_few": tables.gate_few,
    "conf.groups": conf_reference.groups,
    "conf.workload_settings": conf_reference.workload_settings,
}
