"""Every generated part of a README by its name. Readers find the figures in the records; no number stands here."""

from collections.abc import Callable
from functools import partial

from suite.report.rl.run import COMPLETIONS, CPU
from tools.prose import conf_reference, findings, tables

FIGURES: dict[str, Callable[[], str]] = {
    **{f"rows.{name}": partial(findings.table, name) for name in findings.FINDINGS},
    "table.decode": tables.decode,
    "table.cpp_decode": tables.cpp_decode,
    "table.call_form": tables.call_form,
    "table.served": tables.served,
    "table.tiers": tables.tiers,
    "table.latent_controls": tables.latent_controls,
    "table.plays": tables.plays,
    "table.compressed": tables.compressed,
    "table.variants": tables.variants,
    "table.sparse": tables.sparse,
    "table.eight_bits": tables.eight_bits,
    "table.rl_completions": lambda: tables.rl(COMPLETIONS),
    "table.rl_seconds": lambda: tables.rl(CPU),
    "table.rl_defaults": tables.defaults,
    "table.rl_tuned": tables.tuned,
    "table.why": tables.why,
    "table.ppo_settings": tables.ppo_settings,
    "table.recipes": tables.recipes,
    "table.recipe_gains": tables.recipe_gains,
    "table.rl_controls": tables.controls,
    "table.rl_curves": tables.curves,
    "table.rl_late_or_trapped": tables.late_or_trapped,
    "table.rl_coarse": tables.coarse,
    "table.rl_sizes": tables.sizes,
    "table.rl_pretrained": tables.pretrained,
    "table.feedback": tables.feedback,
    "table.rl_stale": tables.stale,
    "table.rl_pass_at_k": tables.sampled_often,
    "table.memory": tables.memory,
    "table.memory_fits": tables.memory_fits,
    "null.mean": lambda: f"{100 * tables.null_counts()[0] / tables.null_counts()[1]:.0f}%",
    "null.most": lambda: f"{tables.null_counts()[2]}%",
    "null.sum": lambda: "{} of {:,}".format(*tables.null_counts()),
    "table.gate": tables.gate,
    "table.gate_shifts": tables.gate_shifts,
    "table.gate_few": tables.gate_few,
    "conf.groups": conf_reference.groups,
    "conf.workload_settings": conf_reference.workload_settings,
}
