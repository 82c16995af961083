"""How each number in prose is read: by suite's own Python API, from the committed records and the closed forms.

A reader names one case or one comparison; where the records hold none, or hold another verdict than the prose gives, it
raises. No reader holds a number.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from statistics import fmean, median

from suite.api.runs import Runs
from suite.console.compare import by_setting
from suite.console.summary import SummaryEntry, summarise_record
from suite.report.blocks import Headline, joined, say
from suite.report.model.labels import ALGORITHM, option_sort_key
from suite.report.model.results import read_results
from suite.report.model.run import extras
from suite.report.page.texts import load_texts
from suite.report.rl import design
from suite.report.rl.contrasts import at_equal_budgets
from suite.report.rl.run import COMPLETIONS, CPU, final_accuracy
from suite.report.rl.stability import mean_over_steps
from suite.report.rl.stages import read_stages
from suite.report.rl.why import algorithm_name, arm_duels, build_factorial, factor_effects, level_name
from suite.statistics.learning import is_collapsed
from suite.statistics.paired import TOLD_APART, ArmOutcome, compare
from suite.statistics.seeds import seed_mean
from suite.theory.answers.sign_map import CONTEXT_TOKENS, KV_HEADS, duel, expected_duel
from suite.theory.devices.calibration import DTYPE, relative_errors
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.devices.hardware import load_hardware

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = ROOT / "results" / "reference"
SAMPLE = {
    "reference CPU": "cpu",
    "variants": "cpu_variants",
    "feedback": "cpu_rl_feedback",
    "crossed settings": "cpu_rl_why",
    "published model": "cpu_rl_pretrained",
    "fresh seeds": "cpu_fresh",
}
"""What the sample report is made of."""
LEFT_OUT = {
    "study": (
        *("cpu_rl_coarse", "cpu_rl_defaults", "cpu_rl_pass_at_k"),
        *("cpu_rl_ppo", "cpu_rl_sizes", "cpu_rl_stale"),
    ),
    "tuning": ("cpu_quality_rates", "cpu_rl_tuned"),
    "repeated": ("cpu_one_launch",),
    "watched": ("cpu_rl_owners",),
}
"""The folders that the sample report does not read, by the reason, which is a text of the page (trust.left_out)."""
CASE = ("geometry", "phase", "seq_len", "dtype")
TIER = ("task", "attention", "settings")
NARROWING = {"cpu/attention": CASE, "cpu/call_form": CASE, "cpu/transformers": CASE, "cpu/quality": TIER}
"""Axes by which a folder's cases are chosen before their readings are read, which takes the most time."""
ACCURACY, IN_CACHE = "answer_accuracy", "linear_probe_accuracy"
LAYER = {"span": "layer", "geometry": "deepseek-v2-lite", "dtype": "float32"}
STEP = {**LAYER, "phase": "decode", "seq_len": 16_384}
RATE = re.compile(r"^    ([\w+%]+): .*?(\d+ of \d+), [\d.]+% \[([\d.]+)%, ([\d.]+)%\]")
GRPO_GROUPED, PPO_GROUPED, PPO_95 = "GRPO · 32 × 8", "PPO · 32 × 8", "PPO λ 0.95 · 32 × 8"
TIERS = {"task": "tiers", "match": "heads", "updates": 1200}
CPP = re.compile(r"^(\w+), (.+): cpp ([\d.]+), sdpa_folded ([\d.]+), eager ([\d.]+);.* roofline ([\d.]+), torch")
SIGNS = re.compile(r"GQA over MLA ([\d.]+) by torch's best forms, ([\d.]+) by cpp")
GATE = "the gate (its verdicts of these runs)"
RANK_16, RANK_24, MQA = "attention.kv_lora_rank=16", "attention.kv_lora_rank=24", None


# --- readers


@functools.cache
def sample_results():
    """The results that the sample report is made of, with all readings, and a note on the folders it leaves out.

    Raises ValueError for a folder of reference records that is neither read nor left out for a reason.
    """
    folders = {path.name for path in REFERENCE.iterdir() if path.is_dir()}
    decided = {*SAMPLE.values(), *chain.from_iterable(LEFT_OUT.values())}
    if folders != decided:
        raise ValueError(f"SAMPLE or LEFT_OUT must name each reference folder; not so for {sorted(folders ^ decided)}")
    note = Headline(
        text=say("trust.folders_left_out", left=len(folders) - len(SAMPLE), count=len(folders)),
        detail=joined(
            "sentence", [say(f"trust.left_out.{why}", folders=joined("list", names)) for why, names in LEFT_OUT.items()]
        ),
    )
    results = read_results([REFERENCE / name for name in SAMPLE.values()], list(SAMPLE))
    return replace(results, notes=[note])


@functools.cache
def folder_results(folder):
    """A folder's records with all their readings; to read them takes ten milliseconds a record."""
    labels = {name: label for label, name in SAMPLE.items()}
    if folder in labels:
        return sample_results().narrowed(lambda label, _: label == labels[folder])
    return read_results([REFERENCE / folder])


class ReadRuns(Runs):
    """Runs whose readings were read before, so that no frame of them reads those anew."""

    def _read(self, workload, read=None):
        return iter(self._named(workload))


@functools.cache
def table(folder, **axes):
    """The table of a folder's cases with these axes and settings; no other readings are read."""
    results = read_results([REFERENCE / folder], with_readings=False)
    records = [run for run in results.records if axes.items() <= (run.record.case.axes | settings(run.record)).items()]
    named = {run.record.case.id: settings(run.record)["settings"] for run in records}
    frame = Runs(replace(results, records=records)).table()
    return frame.assign(settings=frame["case_id"].map(named))


def settings(record):
    """What a record's case sets beside its axes, as one text under `settings`; None where there is nothing."""
    return {"settings": ", ".join(extras(record)) or None}


def rows(folder, **wanted):
    """The rows of a folder's table that hold all this; None stands for a setting that is absent."""
    frame = table(folder, **{name: wanted[name] for name in NARROWING.get(folder, ()) if name in wanted})
    for name, value in wanted.items():
        frame = frame[frame[name].isna() if value is None else frame[name] == value]
    return frame


def single_value(folder, metric, **wanted):
    """A metric of the one case that fits. Raises ValueError for none or several."""
    (value,) = rows(folder, **wanted)[metric].dropna()
    return value


def by_seed(folder, metric, **wanted):
    """A metric by seed. Raises AssertionError where a seed has several runs."""
    frame = rows(folder, **wanted)
    assert frame["seed"].is_unique, f"{wanted} names several runs of one seed"
    return dict(zip(frame["seed"].astype(str), frame[metric], strict=True))


def latency_ms(folder, **wanted):
    """The median latency of the one case that fits, with its interval, in milliseconds."""
    median_s, low_s, high_s = (single_value(folder, f"latency_s{end}", **wanted) for end in ("", "_low", "_high"))
    return f"{number(median_s * 1e3)} ms ({number(low_s * 1e3)}–{number(high_s * 1e3)})"


def median_s(attention, **wanted):
    """The median latency of a variant's case, in seconds."""
    return single_value("cpu/attention", "latency_s", attention=attention, **wanted)


def prefill_time(attention):
    """The one reading of a variant's prefill of 4,096 tokens, as `1.23 s`."""
    where = {**LAYER, "phase": "prefill", "seq_len": 4096, "attention": attention}
    assert single_value("cpu/attention", "latency_s_count", **where) == 1
    return f"{number(single_value('cpu/attention', 'latency_s', **where))} s"


def cache_bytes(attention):
    """Bytes that a layer keeps at 16,384 tokens, counted on the real tensors and equal to the closed form."""
    where = {**STEP, "span": "case", "attention": attention}
    counted = single_value("cpu/attention", "cache_bytes_counted", **where)
    assert counted == single_value("cpu/attention", "cache_bytes", **where)
    return counted


def speedup(query_len=1, tp=1, device="h100-sxm5-80gb"):
    """Speed of absorbed MLA's decode kernel over GQA-8's at 128 heads, by the specification's roofline."""
    return duel(load_hardware(device).ceilings(DTYPE), heads=128, query_len=query_len, tp=tp).speedup


def expected_speedup(query_len=1, tp=1, device="h100-sxm5-80gb", tokens=CONTEXT_TOKENS):
    """The same speed-up as expected of the best public kernels, for one sequence of so many tokens."""
    calibration = load_calibration(device)
    return expected_duel(calibration, heads=128, query_len=query_len, tp=tp, seq_len=tokens).speedup


def measured_speedup(tokens, device="h100-sxm5-80gb"):
    """The same speed-up as others measured it: the median of cells with so many cached tokens in all."""
    (measurement,) = [
        entry
        for entry in load_calibration(device).speedups
        if (entry.heads, entry.kv_heads) == (128, KV_HEADS) and entry.tokens[0] <= tokens < entry.tokens[1]
    ]
    return measurement.speedup


@functools.cache
def count_sparse_cells(outcome):
    """In how many cells MLA over chosen tokens is clearly faster or slower than over all, as `3 of 12`."""
    stored = folder_results("cpu_variants/variants_sparse").records
    entries = [SummaryEntry(record=run.record, summary=summarise_record(run.record)) for run in stored]
    verdicts = by_setting(entries, "attention", "mla")
    return f"{sum(verdict.outcome == outcome for verdict in verdicts)} of {len(verdicts)}"


def calibration_error(device):
    """The median error of expected times against the cells that others measured, as a percentage."""
    calibration = load_calibration(device)
    errors = relative_errors([(calibration, cell) for cell in calibration.measured])
    assert len(errors) == len(calibration.measured) > 50
    return f"{median(errors) * 100:.1f}%"


def tier(attention, settings, name="rarely", **wanted):
    """The share of a tier that is answered, by seed."""
    where = {**TIERS, "attention": attention, "settings": settings, "span": f"evaluate/{name}", **wanted}
    return by_seed("cpu/quality", ACCURACY, **where)


def difference(ours: Mapping[str, float], theirs: Mapping[str, float], verdict: ArmOutcome):
    """The paired difference in points. Raises AssertionError unless it earns the verdict that prose gives it."""
    comparison = compare(ours, theirs, margin=0.02)
    assert comparison.outcome is verdict, comparison.outcome
    return points(comparison.mean, comparison.interval.low, comparison.interval.high)


def pretrained_gain():
    """What RL adds to a published model from its first evaluation to its last, in points."""
    curves = {run.seed: run.curve for run in design.layout(folder_results("cpu_rl_pretrained")).runs}
    ends, starts = ({seed: curve.accuracy[place] for seed, curve in curves.items()} for place in (-1, 0))
    return difference(ends, starts, ArmOutcome.HIGHER)


@functools.cache
def compare_recipes(against="r1_zero"):
    """A frame that compares each recipe with `against`; its `arm` is the recipe, or `dpo`."""
    frame = ReadRuns(folder_results("cpu/recipes")).compare(by="recipe", against=against)
    names = {"r1_preference (rpo_alpha=1.0)": "r1_preference", "r1_preference (rpo_alpha=0)": "dpo"}
    return frame.assign(arm=frame["arm"].astype(str).replace(names))


def recipe(name, policy, verdict, task="sort", against="r1_zero"):
    """The gain of a recipe over another, in points. Raises AssertionError unless this is the verdict after Holm."""
    frame = compare_recipes(against)
    (row,) = frame[(frame["arm"] == name) & (frame["task"] == task) & (frame["policy"] == policy)].itertuples()
    assert row.outcome == verdict, row.outcome
    return points(row.difference, row.low, row.high)


def preferred_loss():
    """The loss per token of the preferred completion, in DPO's first step and in its last, mean over seeds."""
    first_and_last = []
    for run in design.layout(folder_results("cpu/recipes")).runs:
        if run.value("recipe.rpo_alpha") == "0":
            (*_, (_, begins, ends)) = read_stages(run)
            first_and_last.append((run.by_step("example_loss")[begins], run.by_step("example_loss")[ends - 1]))
    assert all(last > first for first, last in first_and_last)
    return " to ".join(f"{fmean(losses):.3f}" for losses in zip(*first_and_last, strict=True))


@functools.cache
def arms_by_task(folder):
    """By task, the experiment of a folder's algorithms, and its arms compared with PPO at equal budgets."""
    algorithms = design.layout(folder_results(folder)).algorithms
    experiments = [experiment for experiment in algorithms if len(experiment.arms) > 1]
    by_task = {dict(experiment.key)["task"]: (experiment, at_equal_budgets(experiment)) for experiment in experiments}
    assert len(by_task) == len(experiments), "a task has several experiments"
    return by_task


@functools.cache
def regimes(folder):
    """The experiments of a folder's algorithms by task and its digits."""
    return {_regime(experiment): experiment for experiment in design.layout(folder_results(folder)).algorithms}


def whole_regime(folder, regime):
    """A regime's experiment with all of its arms, those with another format too."""
    experiments = design.layout(folder_results(folder)).whole_experiments
    return next(experiment for experiment in experiments if _regime(experiment) == regime)


def _regime(experiment):
    """The task of an experiment, and how many digits it has; empty where it has none."""
    settings = experiment.arms[0].first.record.settings["task"]
    return dict(experiment.key)["task"], str(settings.get("digits", ""))


def clear_differences(*tasks):
    """How many comparisons with PPO are clear on these tasks, at equal completions and seconds: `3 of 40`."""
    budgets = {COMPLETIONS, CPU}
    rows = [row for task in tasks for row in arms_by_task("cpu/rl")[task][1] if row.quantity.name in budgets]
    return f"{sum(row.outcome in TOLD_APART for row in rows)} of {len(rows)}"


def arm_name(arm):
    """An arm's name in English."""
    return load_texts("en").render(arm.name)


def sort_arms():
    """The arms of sorting with equal completions, by name, and the arm with groups of 11, which has more."""
    experiments = design.layout(folder_results("cpu/rl")).algorithms
    sort_experiments = [experiment for experiment in experiments if dict(experiment.key)["task"] == "sort"]
    (arms, (eleven_arm,)) = [experiment.arms for experiment in sort_experiments]
    return {arm_name(arm): arm for arm in arms}, eleven_arm


def ends_from_weak_base(name=None):
    """Where an arm ends from the base model from which GRPO ends lowest, which is most of what it lacks of PPO;
    without a name, the range over the arms that lack less."""
    finals = {name: arm.by_seed(final_accuracy) for name, arm in sort_arms()[0].items()}
    of_ppo, seed = finals.pop(PPO_GROUPED), min(finals[GRPO_GROUPED], key=finals[GRPO_GROUPED].__getitem__)
    if name:
        lacks = {seed: of_ppo[seed] - final for seed, final in finals[name].items()}
        assert lacks[seed] > sum(lacks.values()) / 2 > 0, lacks
        return share(finals[name][seed])
    ends = [of_ppo[seed], *(of_seed[seed] for arm, of_seed in finals.items() if arm not in (GRPO_GROUPED, PPO_95))]
    return f"{min(ends) * 100:.0f} to {share(max(ends))}"


def ahead_without_critic():
    """How many sorting arms without a critic are clearly above PPO at equal CPU seconds, as `2 of 6`."""
    rows = [row for row in arms_by_task("cpu/rl")["sort"][1] if row.quantity.name == CPU]
    outcomes = {arm_name(row.arm): row.outcome for row in rows if not row.arm.value("critic_lr").strip("-")}
    assert outcomes[GRPO_GROUPED] is ArmOutcome.OPEN
    return f"{sum(outcome is ArmOutcome.HIGHER for outcome in outcomes.values())} of {len(outcomes)}"


def groups_of_11(verdict):
    """The final accuracy of GRPO with groups of 11 minus PPO's: as many steps, more completions."""
    arms, eleven_arm = sort_arms()
    return difference(eleven_arm.by_seed(final_accuracy), arms[PPO_GROUPED].by_seed(final_accuracy), verdict)


def completion_cost():
    """GRPO's CPU time per completion over PPO's: the least and the most over tasks."""
    ratios = []
    for experiment, _ in arms_by_task("cpu/rl").values():
        cpu_s = {arm_name(arm): arm.mean(lambda run: run.curve.spent[CPU][-1]) for arm in experiment.arms}
        ratios.append(cpu_s[GRPO_GROUPED] / cpu_s[PPO_GROUPED])
    return f"{min(ratios):.2f} to {max(ratios):.2f}"


def count_collapsed(folder):
    """How many runs of a folder collapsed, as `1 of 90`."""
    runs = [run for run in design.layout(folder_results(folder)).runs if run.curve]
    return f"{sum(is_collapsed(run.curve.accuracy) for run in runs)} of {len(runs)}"


@functools.cache
def finals_by(folder, setting):
    """The final accuracy of a folder's runs by algorithm, in the order of this setting's values, by seed."""
    finals = {}
    for run in sorted(design.layout(folder_results(folder)).runs, key=lambda run: int(run.setting(setting))):
        by_value = finals.setdefault(run.value(ALGORITHM), {})
        by_value.setdefault(run.setting(setting), {})[run.seed] = final_accuracy(run)
    ordered = sorted(finals.items(), key=lambda item: option_sort_key(ALGORITHM, item[0]))
    return {name: list(by_value.values()) for name, by_value in ordered}


def tuning_trials():
    """By algorithm, the mean final accuracy over seeds of each tuning trial."""
    by_algorithm = finals_by("cpu_rl_tuned/trials", "trial")
    return {name: [fmean(ends.values()) for ends in trials] for name, trials in by_algorithm.items()}


def trial_range():
    """The lowest trial of each algorithm, which all share, and the range of the highest ones."""
    ends = tuning_trials().values()
    lowest, highest = {share(min(means)) for means in ends}, [max(means) for means in ends]
    (low,) = lowest
    return f"{low} and {min(highest) * 100:.0f} to {share(max(highest))}"


def defaults_end(divides):
    """The range in which default settings end that divide by the group's deviation, or do not."""
    ((experiment, _),) = arms_by_task("cpu_rl_defaults").values()
    ends = [
        arm.mean(final_accuracy)
        for arm in experiment.arms
        if (arm.first.setting("scale_rewards") == "group") == divides
    ]
    return f"{min(ends) * 100:.0f} to {share(max(ends))}"


def tuned_grpo():
    """The settings tuned for GRPO, in words. Raises AssertionError unless it has neither deviation nor KL."""
    runs = design.layout(folder_results("cpu_rl_tuned/fresh")).runs
    grpo_runs = [run for run in runs if run.value(ALGORITHM) == "grpo" and run.setting("rank") == "1"]
    ((deviation, strength),) = {(run.setting("scale_rewards"), run.setting("kl_coef")) for run in grpo_runs}
    assert deviation == "none"
    assert float(strength) == 0
    return "no deviation, and pays for no KL"


@functools.cache
def crossed_study():
    """The study of crossed settings: its cells, the effects of its factors, and the duels of its arms."""
    (experiment,) = design.layout(folder_results("cpu_rl_why")).factorials
    cells = build_factorial(experiment)
    return cells, factor_effects(cells), arm_duels(cells)


def effect(factor, level, verdict, algorithm="grpo"):
    """The effect of a setting's level within an algorithm or, for `arm`, of an arm against PPO, in points."""
    _, effects, _ = crossed_study()
    (comparison,) = [
        row.comparison for row in effects
        if row.levels[:2] == (factor, level) and row.algorithm == (algorithm and algorithm_name(algorithm))
    ]  # fmt: skip
    assert comparison.outcome is verdict, comparison.outcome
    return points(comparison.mean, comparison.interval.low, comparison.interval.high)


def changed_where_unpaid(verdict):
    """By how many points the batch's gain over the group changes within GRPO where the format is not rewarded."""
    names = level_name("deviation", "batch"), level_name("deviation", "group")
    formats = level_name("format", "0"), level_name("format", "0.1")
    (comparison,) = [row.comparison for row in interactions() if (row.names, row.under) == (names, formats)]
    assert comparison.outcome is verdict, comparison.outcome
    return points(comparison.mean, comparison.interval.low, comparison.interval.high)


@functools.cache
def interactions():
    """The interactions of every two factors."""
    return factor_effects(crossed_study()[0], are_crossed=True)


def count_interactions():
    """How many interactions differ clearly from zero, as `2 of 30`."""
    return f"{sum(row.comparison.outcome in TOLD_APART for row in interactions())} of {len(interactions())}"


def critic_explains():
    """The range of the variance that PPO's critic explains, over arms that end above one half."""
    cells = crossed_study()[0].cells.items()
    learnt = [arm for cell, arm in cells if cell[0].startswith("ppo") and arm.mean(final_accuracy) > 0.5]
    shares = [mean_over_steps("explained_variance", arm) for arm in learnt]
    return f"{min(shares):.2f} to {max(shares):.2f}"


def peak_bytes(algorithm, **wanted):
    """The projected peak of a step of RL over its phases, by default at Llama-3.1-8B."""
    usual = {"geometry": "llama-3.1-8b", "seq_len": 4096, "num_generations": 8, "micro_batch": 1, "checkpointing": True}
    return rows("cpu/rl_memory", algorithm=algorithm, **{**usual, **wanted})["held_peak_bytes"].max()


def measured_peak(algorithm, num_generations=8):
    """The measured peak of a step of the small policy's RL over its phases, in MiB."""
    peak_rows = rows("cpu_rl_owners", algorithm=algorithm, num_generations=num_generations)
    peaks = peak_rows.groupby("case_id")["held_peak_bytes"].max()
    return f"{peaks.max() / 2**20:.1f} MiB"  # of PPO's two critics the whole one holds more


@functools.cache
def error_rates():
    """How often each rule was wrong in runs of the gate, by rule and slowdown, with Wilson's interval in %."""
    rates, rule = {}, ""
    for line in (REFERENCE / "cpu/gate/rival_rules.txt").read_text(encoding="utf-8").splitlines():
        if match := RATE.search(line):
            slowdown, counts, low, high = match.groups()
            rates[rule][slowdown] = f"{counts} ({_percent(low)}–{_percent(high)}%)"
        elif line.startswith("  "):
            rule = line.strip()
            rates.setdefault(rule, {})
    return rates


def simulation_rows(name):
    """The rows of a simulation's table, each as a dict by column head."""
    lines = (REFERENCE / f"cpu/gate/{name}.txt").read_text(encoding="utf-8").splitlines()
    heads, *rows = [re.split(r"\s{2,}", line) for line in lines if "  " in line]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def simulation_share(cell):
    """A simulated count or share with Wilson's interval in %, from a cell of such a table."""
    share, low, high = map(_percent, re.findall(r"([\d.]+)%", cell))
    counted = re.match(r"\d+ of \d+", cell)
    return f"{counted[0] if counted else f'{share}%'} ({low}–{high}%)"


@functools.cache
def cpp_decode():
    """By variant and dtype: ms of a decode step by our C++ kernel, by torch's best form, and ours over the roofline."""
    times_by_variant = {}
    for line in (REFERENCE / "cpu/cpp_decode.txt").read_text(encoding="utf-8").splitlines():
        if match := CPP.search(line):
            dtype, variant, *times_ms, share_of_bound = match.groups()
            ours_ms, *torchs_ms = map(float, times_ms)
            times_by_variant.setdefault(variant, {})[dtype] = ours_ms, min(torchs_ms), float(share_of_bound)
    return times_by_variant


def gqa_ahead():
    """In how many cells of the CPU's row GQA takes less time than absorbed MLA, by torch and by `cpp`."""
    cells = SIGNS.findall((REFERENCE / "cpu/cpp_decode.txt").read_text(encoding="utf-8"))
    by_torch, by_cpp = (sum(float(ratio) < 1 for ratio in ratios) for ratios in zip(*cells, strict=True))
    return f"{by_torch} of {len(cells)} cells by torch's best forms and in {by_cpp} by `cpp`"


def _percent(text):
    """A percentage, with one decimal below 10 unless that is 0."""
    return f"{float(text):.1f}".removesuffix(".0") if float(text) < 10 else f"{float(text):.0f}"


# --- how they are written


def number(value):
    """Three significant digits."""
    return f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"


def share(value):
    """A share in whole percent: `14%`."""
    return f"{value:.0%}"


def mean_share(values: Mapping[str, float], has_ends=True):
    """The mean over seeds with Student's 95% interval, which cannot pass 100%."""
    mean = seed_mean(tuple(values.values()))
    low, high = f"{max(mean.low, 0) * 100:.0f}", f"{min(mean.high, 1) * 100:.0f}"
    return share(mean.estimate) + (f" ({low}–{high})" if has_ends and low != high else "")


def points(mean, low, high):
    """A difference and its interval in percentage points."""
    return f"{mean * 100:+z.1f} points ({low * 100:+z.1f} to {high * 100:+z.1f})".replace("-", "−")


def mebibytes(size):
    """A size in MiB, without zeros at its end."""
    return f"{size / 2**20:g} MiB"
