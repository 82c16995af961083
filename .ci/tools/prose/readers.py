"""How each number in prose is read: by suite's own Python API, from the committed records and the closed forms.

A reader names one case or one comparison; where the records hold none, or hold another verdict than the prose gives, it
raises. No reader holds a number.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

from suite.console.compare import by_setting
from suite.console.summary import SummaryEntry, summary_of
from suite.notebook.runs import Runs
from suite.report.model.labels import ALGORITHM, option_sort_key
from suite.report.model.results import read_results
from suite.report.model.run import extras
from suite.report.page.texts import load_texts
from suite.report.rl import design, efficiency
from suite.report.rl.contrasts import at_equal_budgets
from suite.report.rl.stability import mean_over_steps
from suite.report.rl.stages import read_stages
from suite.report.rl.why import algorithm_name, arm_duels, build_factorial, factor_effects, level_name
from suite.statistics.learning import is_collapsed
from suite.statistics.paired import TOLD_APART, ArmOutcome, compare
from suite.statistics.seeds import mean_of_seeds
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
}
"""What the sample report is made of."""
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
def unread(folder):
    return read_results([REFERENCE / folder], with_readings=False)


@functools.cache
def sample_results():
    return read_results([REFERENCE / name for name in SAMPLE.values()], list(SAMPLE))


@functools.cache
def whole(folder):
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
    """The table of a folder's cases on these axes and with these settings; readings of no others are read."""
    results = unread(folder)
    kept = [one for one in results.records if axes.items() <= (one.record.case.axes | settings_of(one.record)).items()]
    named = {one.record.case.id: settings_of(one.record)["settings"] for one in kept}
    frame = Runs(replace(results, records=kept)).table()
    return frame.assign(settings=frame["case_id"].map(named))


def settings_of(record):
    return {"settings": ", ".join(extras(record)) or None}


def rows(folder, **wanted):
    """The rows of a folder's table that hold all this; None stands for a setting that is absent."""
    frame = table(folder, **{name: wanted[name] for name in NARROWING.get(folder, ()) if name in wanted})
    for name, value in wanted.items():
        frame = frame[frame[name].isna() if value is None else frame[name] == value]
    return frame


def one(folder, metric, **wanted):
    """A metric of the one case that fits."""
    (value,) = rows(folder, **wanted)[metric].dropna()
    return value


def by_seed(folder, metric, **wanted):
    frame = rows(folder, **wanted)
    assert frame["seed"].is_unique, f"{wanted} names several runs of one seed"
    return dict(zip(frame["seed"].astype(str), frame[metric], strict=True))


def timed(**wanted):
    """A layer's median with its interval, in milliseconds."""
    return ranged([one("cpu/attention", f"latency_s{end}", **wanted) * 1e3 for end in ("", "_low", "_high")], "{} ms")


def median_s(attention, **wanted):
    return one("cpu/attention", "latency_s", attention=attention, **wanted)


def prefilled(attention):
    """The one reading of a prefill of 4,096 tokens, in seconds."""
    where = {**LAYER, "phase": "prefill", "seq_len": 4096, "attention": attention}
    assert one("cpu/attention", "latency_s_count", **where) == 1
    return f"{number(one('cpu/attention', 'latency_s', **where))} s"


def cached(attention):
    """What a layer keeps at 16,384 tokens, counted on the real tensors and equal to the closed form (bytes)."""
    where = {**STEP, "span": "case", "attention": attention}
    counted = one("cpu/attention", "cache_bytes_counted", **where)
    assert counted == one("cpu/attention", "cache_bytes", **where)
    return counted


def speedup(query_len=1, tp=1, device="h100-sxm5-80gb"):
    """How many times as fast as GQA-8's kernel absorbed MLA's can be at 128 heads, by the specification."""
    return duel(load_hardware(device).ceilings(DTYPE), heads=128, query_len=query_len, tp=tp).speedup


def expected_speedup(query_len=1, tp=1, device="h100-sxm5-80gb", tokens=CONTEXT_TOKENS):
    """The same as it is expected of the best public kernels, for one sequence of so many tokens."""
    calibration = load_calibration(device)
    return expected_duel(calibration, heads=128, query_len=query_len, tp=tp, seq_len=tokens).speedup


def measured_speedup(tokens, device="h100-sxm5-80gb"):
    """The same as others measured it: the median of cells with so many cached tokens of all sequences."""
    (found,) = [
        one
        for one in load_calibration(device).speedups
        if (one.heads, one.kv_heads) == (128, KV_HEADS) and one.tokens[0] <= tokens < one.tokens[1]
    ]
    return found.speedup


@functools.cache
def chosen_tokens(outcome):
    """In how many cells MLA over chosen tokens is told faster or slower than over all, by `suite compare`."""
    stored = whole("cpu_variants/variants_sparse").records
    entries = [SummaryEntry(record=run.record, summary=summary_of(run.record)) for run in stored]
    verdicts = by_setting(entries, "attention", "mla")
    return f"{sum(verdict.outcome == outcome for verdict in verdicts)} of {len(verdicts)}"


def calibration_error(device):
    """The median error of expected times against the cells that others measured."""
    calibration = load_calibration(device)
    errors = relative_errors([(calibration, cell) for cell in calibration.measured])
    assert len(errors) == len(calibration.measured) > 50
    return f"{median(errors) * 100:.1f} %"


def tier(attention, settings, name="rarely", **wanted):
    """The share of a tier that is answered, by seed."""
    where = {**TIERS, "attention": attention, "settings": settings, "span": f"evaluate/{name}", **wanted}
    return by_seed("cpu/quality", ACCURACY, **where)


def difference(ours: Mapping[str, float], theirs: Mapping[str, float], verdict: ArmOutcome):
    """The paired difference in points, which must have earned the verdict that prose gives it."""
    found = compare(ours, theirs, margin=0.02)
    assert found.outcome is verdict, found.outcome
    return points(found.mean, found.interval.low, found.interval.high)


@functools.cache
def recipes_compared(against="r1_zero"):
    """Recipes beside one of them; an arm is called by its recipe, and where it has none by DPO's settings."""
    frame = ReadRuns(whole("cpu/recipes")).compare(by="recipe", against=against)
    names = {"r1_preference (rpo_alpha=1.0)": "r1_preference", "r1_preference (rpo_alpha=0)": "dpo"}
    return frame.assign(arm=frame["arm"].astype(str).replace(names))


def recipe(name, policy, verdict, task="sort", against="r1_zero"):
    """What a recipe adds to another, with the verdict after Holm's correction."""
    frame = recipes_compared(against)
    (found,) = frame[(frame["arm"] == name) & (frame["task"] == task) & (frame["policy"] == policy)].itertuples()
    assert found.outcome == verdict, found.outcome
    return points(found.difference, found.low, found.high)


def preferred_loss():
    """The loss on a token of what was preferred, in DPO's first step and in its last, mean over seeds."""
    found = []
    for run in design.layout(whole("cpu/recipes")).runs:
        if run.value("recipe.rpo_alpha") == "0":
            (*_, (_, begins, ends)) = read_stages(run)
            found.append((run.metrics["example_loss"][begins], run.metrics["example_loss"][ends - 1]))
    assert all(last > first for first, last in found)
    return " to ".join(f"{fmean(losses):.3f}" for losses in zip(*found, strict=True))


@functools.cache
def compared(folder):
    """The algorithms of a folder by task: the experiment, and its arms beside its reference at equal budgets."""
    experiments = [one for one in design.layout(whole(folder)).algorithms if len(one.arms) > 1]
    found = {dict(experiment.key)["task"]: (experiment, at_equal_budgets(experiment)) for experiment in experiments}
    assert len(found) == len(experiments), "a task has several experiments"
    return found


def told_apart(*tasks):
    """How many comparisons with PPO are told apart on these tasks, at equal completions and at equal seconds."""
    told = {design.COMPLETIONS, design.CPU}
    rows = [row for task in tasks for row in compared("cpu/rl")[task][1] if row.quantity.name in told]
    return f"{sum(row.outcome in TOLD_APART for row in rows)} of {len(rows)}"


@functools.cache
def over_tasks(folder):
    """The experiment of a folder's arms that ran on all tasks, and their final accuracies, a row a seed."""
    (found,) = efficiency.over_tasks([experiment for experiment, _ in compared(folder).values()], has_labels=False)
    return found


def arm_name(arm):
    return load_texts("en").render(arm.name)


def arms_of_sort():
    """The arms of sorting by name, of as many completions; and the one of groups of 11, which has more."""
    found = design.layout(whole("cpu/rl")).algorithms
    of_task = [experiment for experiment in found if dict(experiment.key)["task"] == "sort"]
    (alike, (eleven,)) = [experiment.arms for experiment in of_task]
    return {arm_name(arm): arm for arm in alike}, eleven


def of_one_base(name=None):
    """Where an arm ends from the base model from which GRPO ends lowest, which is most of what it lacks of PPO;
    without a name, the least and the most of the arms that lack less."""
    finals = {name: arm.by_seed(design.final) for name, arm in arms_of_sort()[0].items()}
    of_ppo, seed = finals.pop(PPO_GROUPED), min(finals[GRPO_GROUPED], key=finals[GRPO_GROUPED].__getitem__)
    if name:
        lacks = {seed: of_ppo[seed] - final for seed, final in finals[name].items()}
        assert lacks[seed] > sum(lacks.values()) / 2 > 0, lacks
        return share(finals[name][seed])
    ends = [of_ppo[seed], *(of_seed[seed] for arm, of_seed in finals.items() if arm not in (GRPO_GROUPED, PPO_95))]
    return f"{min(ends) * 100:.0f} to {share(max(ends))}"


def ahead_without_critic():
    """How many of the arms of sorting that have no critic are told above PPO at equal CPU seconds."""
    rows = [row for row in compared("cpu/rl")["sort"][1] if row.quantity.name == design.CPU]
    outcomes = {arm_name(row.arm): row.outcome for row in rows if not row.arm.value("critic_lr").strip("-")}
    assert outcomes[GRPO_GROUPED] is ArmOutcome.OPEN
    return f"{sum(outcome is ArmOutcome.HIGHER for outcome in outcomes.values())} of {len(outcomes)}"


def of_eleven(verdict):
    """What GRPO with groups of 11 ends at, less PPO: after as many steps, on more completions."""
    alike, eleven = arms_of_sort()
    return difference(eleven.by_seed(design.final), alike[PPO_GROUPED].by_seed(design.final), verdict)


def cost_of_completion():
    """What a completion costs GRPO of PPO's CPU time, the least and the most over tasks."""
    found = []
    for experiment, _ in compared("cpu/rl").values():
        cpu_s = {arm_name(arm): arm.mean(lambda run: run.curve.spent[design.CPU][-1]) for arm in experiment.arms}
        found.append(cpu_s[GRPO_GROUPED] / cpu_s[PPO_GROUPED])
    return f"{min(found):.2f} to {max(found):.2f}"


def collapsed(folder):
    """How many runs collapsed, and how many there are."""
    runs = [run for run in design.layout(whole(folder)).runs if run.curve]
    return f"{sum(is_collapsed(run.curve.accuracy) for run in runs)} of {len(runs)}"


def _finals(folder, setting):
    """Where the runs of a folder end, by algorithm, by this setting's value and by seed."""
    found = {}
    for run in sorted(design.layout(whole(folder)).runs, key=lambda run: int(run.setting(setting))):
        of_algorithm = found.setdefault(run.value(ALGORITHM), {})
        of_algorithm.setdefault(run.setting(setting), {})[run.seed] = design.final(run)
    return dict(sorted(found.items(), key=lambda item: option_sort_key(ALGORITHM, item[0])))


@functools.cache
def trials_of(folder):
    """Each algorithm's tuning trials: the mean of each over its seeds."""
    of_algorithm = _finals(folder, "trial")
    return {name: [fmean(ends.values()) for ends in of_trial.values()] for name, of_trial in of_algorithm.items()}


@functools.cache
def chosen_of(folder):
    """What tuning chose of each algorithm, best first: where each ends on fresh seeds."""
    return {name: list(of_rank.values()) for name, of_rank in _finals(folder, "rank").items()}


def range_of_trials():
    """Where trials end: the least and the most of each algorithm, as ranges over algorithms."""
    ends = trials_of("cpu_rl_tuned/trials").values()
    lowest, highest = {share(min(means)) for means in ends}, [max(means) for means in ends]
    (low,) = lowest
    return f"{low} and {min(highest) * 100:.0f} to {share(max(highest))}"


def defaults_end(divides):
    """Where the field's settings end that divide by the group's deviation, or do not; without VAPO, whose λ is 0
    here."""
    ((experiment, _),) = compared("cpu_rl_defaults").values()
    ends = [
        arm.mean(design.final)
        for arm in experiment.arms
        if (arm.first.setting("scale_rewards") == "group") == divides and arm.value(ALGORITHM) != "vapo"
    ]
    return f"{min(ends) * 100:.0f} to {share(max(ends))}"


def grpo_chosen():
    """What tuning chose for GRPO: its deviation and its KL."""
    runs = design.layout(whole("cpu_rl_tuned/fresh")).runs
    of_grpo = [run for run in runs if run.value(ALGORITHM) == "grpo" and run.setting("rank") == "1"]
    ((deviation, strength),) = {(run.setting("scale_rewards"), run.setting("kl_coef")) for run in of_grpo}
    assert deviation == "none"
    assert float(strength) == 0
    return "no deviation, and pays for no KL"


@functools.cache
def crossed():
    """The study of crossed settings as a table of cells, its effects, and the duels of its arms."""
    (experiment,) = design.layout(whole("cpu_rl_why")).factorials
    cells = build_factorial(experiment)
    return cells, factor_effects(cells), arm_duels(cells)


def effect(factor, level, verdict, algorithm="grpo"):
    """What a level of a setting is worth within an algorithm, or an arm against PPO at equal settings."""
    _, effects, _ = crossed()
    (found,) = [
        one.comparison for one in effects
        if one.levels[:2] == (factor, level) and one.algorithm == (algorithm and algorithm_name(algorithm))
    ]  # fmt: skip
    assert found.outcome is verdict, found.outcome
    return points(found.mean, found.interval.low, found.interval.high)


def changed_where_unpaid(verdict):
    """What not paying the form changes about the worth of the batch's deviation within GRPO."""
    names = level_name("deviation", "batch"), level_name("deviation", "group")
    others = level_name("format", "0"), level_name("format", "0.1")
    (found,) = [row.comparison for row in interactions() if (row.names, row.under) == (names, others)]
    assert found.outcome is verdict, found.outcome
    return points(found.mean, found.interval.low, found.interval.high)


@functools.cache
def interactions():
    return factor_effects(crossed()[0], are_crossed=True)


def interactions_told():
    return f"{sum(row.comparison.outcome in TOLD_APART for row in interactions())} of {len(interactions())}"


def explained():
    """What PPO's critic explains in the arms that end above one half, the least and the most of it."""
    cells = crossed()[0].cells.items()
    learnt = [arm for cell, arm in cells if cell[0].startswith("ppo") and arm.mean(design.final) > 0.5]
    shares = [mean_over_steps("explained_variance", arm) for arm in learnt]
    return f"{min(shares):.2f} to {max(shares):.2f}"


def peak(algorithm, **wanted):
    """The projected peak of a step of RL, over its phases, at Llama-3.1-8B (bytes)."""
    usual = {"geometry": "llama-3.1-8b", "seq_len": 4096, "num_generations": 8, "micro_batch": 1, "checkpointing": True}
    return rows("cpu/rl_memory", algorithm=algorithm, **{**usual, **wanted})["held_peak_bytes"].max()


def saved(**wanted):
    return share(1 - peak("grpo", **wanted) / peak("ppo", **wanted))


@functools.cache
def ppo_arms():
    """The arms of PPO in which one setting at a time is another."""
    (experiment,) = design.layout(whole("cpu_rl_ppo")).algorithms
    return experiment.arms


def held(algorithm, num_generations=8):
    """The measured peak of a step of the small policy's RL, over its phases."""
    found = rows("cpu_rl_owners", algorithm=algorithm, num_generations=num_generations)
    peaks = found.groupby("case_id")["held_peak_bytes"].max()
    return f"{peaks.max() / 2**20:.1f} MiB"  # of PPO's two critics the whole one holds more


@functools.cache
def rules():
    """How often each rule was wrong in the gate's self-test: by rule and slowdown, with Wilson's interval."""
    found, rule = {}, ""
    for line in (REFERENCE / "cpu/gate/rival_rules.txt").read_text(encoding="utf-8").splitlines():
        if match := RATE.search(line):
            slowdown, counts, low, high = match.groups()
            found[rule][slowdown] = f"{counts} ({_percent(low)}–{_percent(high)} %)"
        elif line.startswith("  "):
            rule = line.strip()
            found.setdefault(rule, {})
    return found


def simulated(name):
    """The rows of a simulation's table by their heads."""
    lines = (REFERENCE / f"cpu/gate/{name}.txt").read_text(encoding="utf-8").splitlines()
    heads, *rows = [re.split(r"\s{2,}", line) for line in lines if "  " in line]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def simulated_share(cell):
    """A simulated count or share with Wilson's interval, as a table has it."""
    share, low, high = map(_percent, re.findall(r"([\d.]+)%", cell))
    counted = re.match(r"\d+ of \d+", cell)
    return f"{counted[0] if counted else f'{share} %'} ({low}–{high} %)"


@functools.cache
def cpp_decode():
    """What a decode step takes by variant and dtype: by our C++ kernel and torch's best form (ms), and the
    former's share of the roofline."""
    found = {}
    for line in (REFERENCE / "cpu/cpp_decode.txt").read_text(encoding="utf-8").splitlines():
        if match := CPP.search(line):
            dtype, variant, *times_ms, share_of_bound = match.groups()
            ours_ms, *torchs_ms = map(float, times_ms)
            found.setdefault(variant, {})[dtype] = ours_ms, min(torchs_ms), float(share_of_bound)
    return found


def gqa_ahead():
    """In how many cells of the CPU's sign row GQA takes less time than absorbed MLA."""
    cells = SIGNS.findall((REFERENCE / "cpu/cpp_decode.txt").read_text(encoding="utf-8"))
    by_torch, by_cpp = (sum(float(ratio) < 1 for ratio in ratios) for ratios in zip(*cells, strict=True))
    return f"{by_torch} of {len(cells)} cells by torch's best forms and in {by_cpp} by `cpp`"


def _percent(text):
    return f"{float(text):.1f}".removesuffix(".0") if float(text) < 10 else f"{float(text):.0f}"


# --- how they are written


def number(value):
    """Three significant digits."""
    return f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"


def ranged(found, form):
    value, low, high = map(number, found)
    return f"{form.format(value)} ({low}–{high})"


def share(value):
    return f"{value:.0%}".replace("%", " %")


def mean_share(values: Mapping[str, float], has_ends=True):
    """The mean over seeds with Student's 95 % interval, which cannot pass 100 %."""
    found = mean_of_seeds(tuple(values.values()))
    low, high = f"{max(found.low, 0) * 100:.0f}", f"{min(found.high, 1) * 100:.0f}"
    return share(found.estimate) + (f" ({low}–{high})" if has_ends and low != high else "")


def points(mean, low, high):
    return f"{mean * 100:+.1f} points ({low * 100:+.1f} to {high * 100:+.1f})".replace("-", "−")


def mebibytes(size):
    return f"{size / 2**20:g} MiB"
