"""Tables in prose, each filled whole from the records of one folder."""

import re
from dataclasses import replace
from statistics import fmean

import numpy as np

from suite.records import numbers
from suite.records.numbers import bytes_iec
from suite.report.blocks import say
from suite.report.model.experiment import holm_corrected
from suite.report.model.labels import ALGORITHM, option_label
from suite.report.model.results import read_results
from suite.report.model.timed_kernels import kernel_median_s
from suite.report.page.texts import load_texts
from suite.report.quality import compress_design, contrasts
from suite.report.quality import design as quality
from suite.report.rl import design, efficiency, pass_at_k
from suite.report.rl.contrasts import at, at_equal_budgets
from suite.report.rl.curves import judge_arms
from suite.report.rl.run import COMPLETIONS, final_accuracy
from suite.report.rl.stability import mean_over_steps
from suite.report.rl.why import leader_duels
from suite.statistics.curve_words import CurveWord
from suite.statistics.learning import at_budget, expected_best, expected_best_band
from suite.statistics.paired import TOLD_APART, ArmOutcome, compare, judge_together
from suite.statistics.scores import iqm, stratified_bootstrap
from suite.theory.answers.fit import reserve_bytes
from tools.prose import readers
from tools.prose.readers import (
    ACCURACY,
    IN_CACHE,
    STEP,
    arm_name,
    by_seed,
    cache_bytes,
    compare_recipes,
    mean_share,
    mebibytes,
    median_s,
    rows,
    share,
)

MODELS = {
    "qwen2.5-0.5b": "Qwen2.5-0.5B",
    "qwen2.5-1.5b": "Qwen2.5-1.5B",
    "qwen2.5-7b": "Qwen2.5-7B",
    "llama-3.1-8b": "Llama-3.1-8B",
    "llama-3.1-70b": "Llama-3.1-70B",
}


def as_table(titles, lines):
    """A table in Markdown between empty lines, as a marker holds it."""
    cells = [titles, ["---"] * len(titles), *lines]
    return "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n\n"


def decode():
    """Cache and latency of one decode step for each variant."""
    names = {
        "mqa": "MQA, 1 key-value head",
        "gqa": "GQA, 2 key-value heads",
        "mla": "MLA, absorbed, latent 512 + 64",
        "mha": "MHA, 16 key-value heads",
        "mla_expanded": "MLA, full keys and values cached",
        "mla_latent": "MLA, latent re-expanded at each step",
    }
    lines = []
    for variant, name in names.items():
        over_mha = median_s(variant, **STEP) / median_s("mha", **STEP)
        lines.append([name, mebibytes(cache_bytes(variant)), _time(variant), readers.number(over_mha)])
    return as_table(["one layer, one new token", "KV cache a layer", "latency", "× MHA"], lines)


def _time(variant):
    """A variant's latency with its interval, or with the number of samples where these are too few for one."""
    count = readers.single_value("cpu/attention", "latency_s_count", attention=variant, **STEP)
    if count > 5:
        return readers.latency_ms("cpu/attention", attention=variant, **STEP)
    return f"{readers.number(median_s(variant, **STEP) * 1e3)} ms (n = {count:.0f})"


def call_form():
    """MLA's decode step in each form of calling it, the fastest last."""
    transformers, call_form = ("cpu/transformers", "mla_latent"), ("cpu/call_form", "mla")
    forms = [
        ("transformers 5.24, `sdpa` (it re-expands the latent, and copies its cache)", transformers, "sdpa"),
        ("transformers 5.24, `eager`", transformers, "eager"),
        ("absorbed, `sdpa` (torch leaves its fast kernel without a word)", call_form, "sdpa"),
        ("absorbed, `flex`: FlexAttention, compiled", call_form, "flex"),
        ("absorbed, `eager`: two matrix products", call_form, "eager"),
        ("absorbed, `sdpa_folded`: heads folded into query rows", call_form, "sdpa_folded"),
    ]
    latencies_s = {
        name: rows(folder, attention=variant, backend=backend, **STEP)["latency_s"].item()
        for name, (folder, variant), backend in forms
    }
    fastest_s = min(latencies_s.values())
    lines = [
        [name, f"{readers.number(latency_s * 1e3)} ms", readers.number(latency_s / fastest_s)]
        for name, latency_s in latencies_s.items()
    ]
    return as_table(["MLA, one new token, 16,384 tokens, float32", "layer", "× best"], lines)


VARIANTS = {
    "mha": "MHA, 16 key-value heads",
    "gqa": "GQA, 2 key-value heads",
    "gta": "GTA, 2 tied states and a rotary key",
    "mla": "MLA, latent 512 + 64",
    "gla": "GLA, two latents of 256 + 64",
    "window": "sliding window of 128, 2 key-value heads",
}


def variants():
    """The newer variants' decode kernels beside MHA's, GQA's and MLA's, the largest cache first."""

    folder, lines = "cpu_variants/variants", []
    for variant, name in VARIANTS.items():
        case = {"phase": "decode", "seq_len": 65_536, "attention": variant}
        size = readers.single_value(folder, "cache_bytes", span="case", dtype="bfloat16", **case)
        kernels = [readers.latency_ms(folder, span="kernel", dtype=dtype, **case) for dtype in ("float32", "bfloat16")]
        lines.append((size, [name, bytes_iec(size), *kernels]))
    lines = [line for _, line in sorted(lines, key=lambda item: -item[0])]
    return as_table(["a decode kernel at 65,536 tokens", "cache a layer, bfloat16", "float32", "bfloat16"], lines)


def served():
    """A decode layer by variant and batch, its kernel's share of the roofline, and what lengths and pages cost."""

    def values(variant, dtype, span, metric, batch=32, settings=None):
        where = {"attention": variant, "dtype": dtype, "span": span, "seq_len": 4096, "batch": batch}
        return readers.single_value("cpu/served", metric, settings=settings, **where)

    lines = []
    for dtype in ("float32", "bfloat16"):
        for variant in ("mha", "gqa", "mqa", "mla"):

            def kernel(metric="latency_s", settings=None, case=(variant, dtype)):
                return values(*case, "kernel", metric, settings=settings)

            layers = [values(variant, dtype, "layer", "latency_s", batch) for batch in (1, 8, 32)]
            flops_s = kernel("flops") / kernel("ceiling_flops_per_s")
            bytes_s = kernel("traffic_bytes") / kernel("ceiling_bytes_per_s")
            equal_s = kernel()
            others = [kernel(settings=each) / equal_s for each in ("lengths=zipf", "page_size=64", "page_size=16")]
            cells = [*(f"{readers.number(layer * 1e3)} ms" for layer in layers), share(max(flops_s, bytes_s) / equal_s)]
            lines.append([f"{variant.upper()}, {dtype}", *cells, *map(numbers.times, others)])
    titles = [
        "a decode step at 4,096 tokens",
        "layer, batch 1",
        "batch 8",
        "batch 32",
        "kernel’s share of the roofline",
    ]
    return as_table([*titles, "its time with Zipf’s lengths", "in pages of 64", "in pages of 16"], lines)


def sparse():
    """MLA over all tokens and over those that an indexer of 8 or 64 heads chooses."""
    arms = {
        "MLA, over all tokens": ("mla", None),
        "2,048 chosen by 8 index heads": ("mla_dsa", "attention.index_heads=8"),
        "2,048 chosen by 64 index heads": ("mla_dsa", "attention.index_heads=64"),
    }

    def spent(variant, settings, span, tokens, dtype):
        where = {"attention": variant, "settings": settings, "span": span, "seq_len": tokens, "dtype": dtype}
        latencies = rows("cpu_variants/variants_sparse", **where)["latency_s"].dropna()
        return f"{readers.number(latencies.item() * 1e3)} ms" if len(latencies) else "–"

    columns = {
        "layer, float32": ("layer", "float32"),
        "its indexer": ("indexer", "float32"),
        "its kernel": ("kernel", "float32"),
        "layer, bfloat16": ("layer", "bfloat16"),
    }
    lines = [
        [name, f"{tokens:,}", *(spent(*arm, span, tokens, dtype) for span, dtype in columns.values())]
        for tokens in (4096, 16_384, 65_536)
        for name, arm in arms.items()
    ]
    return as_table(["one new token", "tokens", *columns], lines)


def eight_bits():
    """Cache, kernel time and output error of GQA and MLA with caches in eight bits and in float32."""
    where = {"seq_len": 16_384, "dtype": "float32"}

    def line(variant, kind):
        case = {**where, "attention": variant, "cache_dtype": kind}
        size = readers.single_value("cpu_variants/cache_dtype", "cache_bytes_counted", **case, span="case")
        time_s = readers.single_value("cpu_variants/cache_dtype", "latency_s", **case, span="kernel")
        error = rows("cpu_variants/cache_dtype", **case, span="kernel").get("cache_error")
        error = "–" if kind is None or error is None else f"{error.item():.1%}"
        return [f"{variant.upper()}, {kind or 'float32'}", mebibytes(size), f"{readers.number(time_s * 1e3)} ms", error]

    lines = [line(variant, kind) for variant in ("gqa", "mla") for kind in (None, "int8", "fp8")]
    return as_table(["cache of 16,384 tokens", "a layer", "kernel", "error of the output"], lines)


def tiers():
    """By cache size: how many rare questions each variant answers, and what of that its cache still holds."""
    arms = {
        "MHA": ("mha", None),
        "MLA, rank 64 (DeepSeek's ratio)": ("mla", "attention.kv_lora_rank=64"),
        "GQA, 2 groups": ("gqa", "attention.kv_heads=2"),
        "MLA, rank 24": ("mla", readers.RANK_24),
        "MQA": ("mqa", None),
        "MLA, rank 16": ("mla", readers.RANK_16),
        "MQA, heads of 12": ("mqa", "geometry.head_dim=12"),
        "MLA, rank 8": ("mla", "attention.kv_lora_rank=8"),
        "MQA, heads of 8": ("mqa", "geometry.head_dim=8"),
    }
    lines = []
    for name, (variant, settings) in arms.items():
        where = {"attention": variant, "settings": settings, "task": "tiers", "match": "heads", "updates": 1200}
        (size,) = set(rows("cpu/quality", span="case", **where)["cache_bytes_per_token"])
        tier_shares = [
            by_seed("cpu/quality", ACCURACY, span=f"evaluate/{tier}", **where) for tier in ("sometimes", "rarely")
        ]
        in_cache = by_seed("cpu/quality", IN_CACHE, span="cached/rarely", **where)
        lines.append([name, f"{size:.0f} B", *map(mean_share, tier_shares), mean_share(in_cache, has_ends=False)])
    return as_table(["", "cache of a token", "asked sometimes", "asked rarely", "of that still in the cache"], lines)


CONTROLS = {
    ("task", "tiers"): "tiers, asked rarely",
    ("task", "counting"): "counting",
    ("task.attributes_per_tier", "3"): "three attributes a tier",
    ("embeddings", "frozen"): "embeddings frozen",
    ("updates", "4800"): "four times the updates",
}
"""What tells the experiments of sweep=quality_controls apart."""


def latent_controls():
    """What each arm answers in the end, and of a latent that nobody trained how far that is from the trained one."""
    texts, columns = load_texts("en"), {}
    for experiment in quality.quality_experiments(readers.folder_results("cpu/quality_controls")):
        kind = quality.RARELY if experiment.value("task") == quality.TIERS_TASK else quality.ALL
        trained = contrasts.against_untrained(experiment, kind)
        pairs = holm_corrected(contrasts.compare_arms(pair.other, pair.arm, kind) for pair in trained)
        less = {pair.arm: pair.comparison for pair in pairs}
        names = [name for (setting, value), name in CONTROLS.items() if experiment.value(setting) == value]
        cells = columns.setdefault(", ".join(names), {})
        for arm in quality.tuned_arms(experiment.arms):
            ends = arm.values(quality.final_share(kind))
            cell = _end_and_difference(ends, less[arm]) if arm in less else share(fmean(ends))
            cells[texts.render(arm.name)] = cell
    arms = dict.fromkeys(name for cells in columns.values() for name in cells)
    return as_table(["", *columns], [[name, *(cells.get(name, "") for cells in columns.values())] for name in arms])


def plays():
    """The loss on held-out plays of each variant of two sizes, and what it differs from MHA's by."""
    texts, lines = load_texts("en"), []
    experiments = quality.quality_experiments(readers.folder_results("cpu/quality_text"))
    for experiment in sorted(experiments, key=lambda each: each.arms[0].first.constant("model_parameter_count")):
        less = {pair.arm: pair.comparison for pair in contrasts.against_mha(experiment, by_loss=True)}
        for arm in experiment.arms:
            losses = arm.values(quality.QualityRun.final_loss)
            lines.append(
                [
                    f"{arm.first.constant('model_parameter_count') / 1e6:.1f} million",
                    texts.render(arm.name),
                    f"{quality.cache_bytes(arm):,.0f} B",
                    f"{fmean(losses):.3f}",
                    _bits_more(less[arm]) if arm in less else "",
                    str(len(losses)),
                ]
            )
    return as_table(["parameters", "", "cache of a token", "bits a byte", "more than MHA", "seeds"], lines)


def _bits_more(comparison):
    """How much more loss than MHA's, in bits a byte, with its interval; bold if clear, after ≈ if alike."""
    # The quantity that is compared is the loss with its sign turned.
    mean, ends = -comparison.mean, comparison.interval
    text = f"{mean:+z.3f} ({-ends.high:+z.3f} to {-ends.low:+z.3f})".replace("-", "−")
    return _marked(text, comparison)


def compressed():
    """What a published model with MLA's cache takes, loses and answers, and how long a layer's kernel is."""
    texts, tokens = load_texts("en"), 4096
    results = read_results([readers.REFERENCE / "cpu" / name for name in ("compress_mla", "compress_speed")])
    experiment = max(compress_design.compress_experiments(results), key=lambda each: len(compress_design.runs_in(each)))
    names = {run: arm.name for arm in experiment.arms for run in arm.runs}
    lines = []
    for run in sorted(names, key=lambda run: -run.cache_bytes):
        records = [each.record for each in results.records if run.is_decoded_as(each.record)]
        times = [kernel_median_s(record) for record in records if record.case.axes["seq_len"] == tokens]
        tasks = (run.tasks[name] for name in compress_design.TASKS)
        lines.append(
            [
                texts.render(names[run]),
                str(run.rank or ""),
                bytes_iec(run.cache_bytes),
                texts.render(compress_design.change_with_range(run) or "").replace("-", "−"),
                *(share(right) for right, _ in tasks),
                numbers.seconds(times[0]) if times else "",
            ]
        )
    titles = ["cache", "rank", "a token", "change of perplexity", "continuation", "copying", "look-up"]
    return as_table([*titles, f"a layer's kernel, {tokens:,} tokens"], lines)


def cpp_decode():
    """A decode step of each variant by our kernel in C++ and by torch's best form, in both dtypes."""
    dtypes = ("float32", "bfloat16")
    lines = []
    for variant, of_dtype in readers.cpp_decode().items():
        cells = [
            f"{readers.number(ours)} ms, {torchs / ours:.2f}, {bound:.0%}"
            for ours, torchs, bound in map(of_dtype.get, dtypes)
        ]
        lines.append([variant, *cells])
    assert all(torchs > ours for of_dtype in readers.cpp_decode().values() for ours, torchs, _ in of_dtype.values())
    return as_table(["one layer's kernel, one new token, 16,384 tokens", *dtypes], lines)


TASKS = {"sort": "sort four digits", "addition": "add two numbers", "postfix": "write a postfix program"}


def rl(budget):
    """Where each arm ends on each task, and its difference from PPO at an equal budget."""
    by_task = readers.arms_by_task("cpu/rl")
    ((_, over),) = efficiency.over_tasks([experiment for experiment, _ in by_task.values()], has_labels=False)
    titles, lines = ["arm (10 seeds)"], {}
    for task, title in TASKS.items():
        experiment, comparisons = by_task[task]
        rows = [row for row in comparisons if row.quantity.name == budget]
        amount = rows[0].amount
        titles.append(title if budget == COMPLETIONS else f"{title}, {readers.number(amount)} s")
        reference, quantity = experiment.baseline, rows[0].quantity
        lines.setdefault(arm_name(reference), []).append(share(reference.mean(quantity.value)))
        for row in rows:
            lines.setdefault(arm_name(row.arm), []).append(
                _end_and_difference(row.arm.values(row.quantity.value), row.comparison)
            )
    if budget == COMPLETIONS:
        titles.append("all three: mean of the middle half")
        for arm, scores in over.items():
            lines[arm_name(arm)].append(_share_with_range(stratified_bootstrap(iqm, scores)))
    return as_table(titles, [[name, *cells] for name, cells in lines.items()])


def _end_and_difference(values, comparison):
    """Where an arm ends and its difference from the reference: bold if clear, after ≈ if alike."""
    return f"{share(fmean(values))}, {_points(comparison)}"


def _points(comparison):
    """A difference with its interval in points; bold if clear, after ≈ if alike."""
    return _marked(_range(comparison.mean, comparison.interval.low, comparison.interval.high), comparison)


def _range(mean, low, high):
    """A difference of shares with its interval, in points."""
    return readers.points(mean, low, high).replace(" points", "")


def _marked(difference, comparison):
    """A difference in bold if it is clear, and after ≈ if the arms are alike."""
    mark = "≈ " if comparison.outcome is ArmOutcome.ALIKE else ""
    return f"**{difference}**" if comparison.outcome in TOLD_APART else f"{mark}{difference}"


def _share_with_range(interval):
    """A share with its interval, in whole percent."""
    return f"{share(interval.estimate)} ({interval.low * 100:.0f}–{interval.high * 100:.0f})"


def defaults():
    """Where each algorithm's default settings end, best first, and their difference from TRL's GRPO."""
    ((experiment, _),) = readers.arms_by_task("cpu_rl_defaults").values()
    arms = {arm.value(ALGORITHM): arm for arm in experiment.arms}
    first = arms.pop("trl_default")
    scores = first.by_seed(final_accuracy)
    others = [arm.by_seed(final_accuracy) for arm in arms.values()]
    judged = judge_together([compare(ends, scores, bounds=(None, 1.0), margin=0.02) for ends in others])
    ranked = sorted(
        [(first, None), *zip(arms.values(), judged, strict=True)], key=lambda pair: -pair[0].mean(final_accuracy)
    )
    lines = []
    for arm, differs in ranked:
        estimator, scale = arm.first.setting("adv_estimator"), arm.first.setting("scale_rewards")
        ends = sorted(arm.by_seed(final_accuracy).values())
        between = f"{ends[0] * 100:.0f}–{ends[-1] * 100:.0f}"
        advantages = f"{estimator}, {scale}" if scale else estimator
        less = _points(differs) if differs else ""
        lines.append([arm_name(arm), f"`{advantages}`", share(fmean(ends)), between, less])
    titles = ["algorithm (10 seeds)", "advantages", "ends at", "seeds", "minus TRL's default (points)"]
    return as_table(titles, lines)


def tuned():
    """Equally many trials of each algorithm: the best expected one, and the chosen one on fresh seeds."""
    trials, fresh = readers.tuning_trials(), readers.finals_by("cpu_rl_tuned/fresh", "rank")
    rivals = [name for name in fresh if name != "ppo"]
    judged = judge_together([compare(fresh[name][0], fresh["ppo"][0], margin=0.02) for name in rivals])
    assert {comparison.outcome for comparison in judged} == {ArmOutcome.OPEN}, (
        "the README says that none is told from PPO's, nor alike"
    )
    differs = dict(zip(rivals, judged, strict=True))
    lines = []
    for name, chosen in fresh.items():
        means, most = trials[name], len(trials[name])
        best = _share_with_range(expected_best_band(means, most))
        first, *next_two = [share(fmean(ends.values())) for ends in chosen]
        less = _points(differs[name]) if name in differs else ""
        mean = share(expected_best(means, 1))
        lines.append([option_label(ALGORITHM, name), mean, best, first, less, " and ".join(next_two)])
    titles = ["algorithm", "a trial's mean", "best of eight", "its choice on fresh seeds", "minus PPO's (points)"]
    return as_table([*titles, "next two"], lines)


def why():
    """Mean accuracy of every combination of settings; in bold the leader and whatever is not clearly below it."""
    cells, _, duels = readers.crossed_study()
    below = {
        (duel.setting, duel.other)
        for setting_duels in leader_duels(duels).values()
        for duel in setting_duels
        if duel.comparison.outcome is ArmOutcome.HIGHER
    }
    kls = {"none": "none", "loss 0.04": "in the loss", "reward 0.04": "in the reward"}
    forms = {"0": "not paid", "0.1": "weight 0.1", "1": "weight 1", "gate": "as a gate"}
    lines = []
    for setting in cells.settings:
        means = {arm: cells.cells[arm, *setting].mean(final_accuracy) for arm in cells.arms}
        shares = {arm: share(mean) for arm, mean in means.items()}
        is_dead = max(means.values()) < 0.05
        bold = [text if is_dead or (setting, arm) in below else f"**{text}**" for arm, text in shares.items()]
        lines.append([kls[setting[0]], forms[setting[1]], *bold])
    names = [load_texts("en").render(level.name).replace(" · ", ", ") for level in cells.arms.values()]
    return as_table(["KL", "format", *names], lines)


CORRECTIONS = {
    "exact": "exact rollouts",
    "none": "none: ratio to the policy that sampled",
    "recomputed": "ratio recomputed, w ignored",
    "token_tis": "token truncation (TIS)",
    "token_mis": "token masking (IcePop)",
    "sequence_tis": "sequence truncation",
    "sequence_mis": "sequence masking",
    "decoupled": "decoupled (AReaL)",
}
REGIMES = {
    ("sort", "4"): "sort four digits",
    ("sort", "6"): "sort six digits",
    ("addition", "2"): "add two digits",
    ("addition", "3"): "add three digits",
    ("postfix", ""): "postfix program",
    ("countdown", ""): "countdown",
}
SAID_WORDS = {word: f"**{word}**" for word in CurveWord if word not in (CurveWord.OPEN, CurveWord.FEW)}
SAID_WORDS |= {CurveWord.ALIKE: "alike", CurveWord.OPEN: "", CurveWord.FEW: "too few"}


def curves():
    """Where each arm ends in each regime, and how its whole curve stands to PPO's."""
    render, seeds, lines = load_texts("en").render, [], {}
    for regime in REGIMES:
        experiment = readers.regimes("cpu/rl_curves")[regime]
        _, judged = judge_arms(experiment)
        for arm in experiment.trained_arms:
            word = SAID_WORDS[judged[arm].word] if arm in judged else ""
            texts = (share(arm.mean(final_accuracy)), word)
            scaling = arm.first.record.case.extras.get("scale_rewards")  # where the case names one
            name = " · ".join(filter(None, (render(option_label(ALGORITHM, arm.value(ALGORITHM))), scaling)))
            lines.setdefault(name, {})[regime] = ", ".join(filter(None, texts))
            seeds.append(len(arm.runs))
    titles = [f"arm ({min(seeds)} seeds)", *REGIMES.values()]
    in_all = {name: cells for name, cells in lines.items() if len(cells) == len(REGIMES)}
    return as_table(titles, [[name, *(cells[regime] for regime in REGIMES)] for name, cells in in_all.items()])


def controls():
    """Where algorithms that learn nothing at the usual format reward end with other rewards: by seed."""
    rewards = {
        ("0.1", "group"): "weight 0.1",
        ("0.1", "batch"): "weight 0.1, scaled by the batch",
        ("0", "group"): "format not paid",
        ("gate", "group"): "format as a gate",
    }
    ends = {}
    for arm in readers.whole_regime("cpu/rl_curves", ("sort", "4")).trained_arms:
        algorithm, deviation, _, form = design.factor_levels(arm.first)
        if algorithm in ("dapo", "cispo", "sapo", "vapo"):
            finals = " ".join(f"{100 * final:.0f}" for final in arm.values(final_accuracy))
            ends.setdefault(algorithm, {})[form, deviation or "group"] = finals
    names = {algorithm: load_texts("en").render(option_label(ALGORITHM, algorithm)) for algorithm in ends}
    lines = [[names[algorithm], *(cells.get(each, "") for each in rewards)] for algorithm, cells in ends.items()]
    return as_table(["final accuracy in %, by seed", *rewards.values()], lines)


def late_or_trapped():
    """Two settings of GRPO that end low after a quarter of the budget, beside a third one: where they end after all of
    it, and how their whole curves stand to the third's."""
    names = {
        ("grpo", "batch", "none", "0.1"): "scaled by the batch, format weight 0.1",
        ("grpo", "batch", "none", "0"): "scaled by the batch, format not paid",
        ("grpo", "group", "none", "0.1"): "scaled by the group, format weight 0.1",
    }
    experiment = readers.whole_regime("cpu/rl_curves", ("sort", "4"))
    arms = {design.factor_levels(arm.first): arm for arm in experiment.trained_arms}
    reference, *others = (arms[levels] for levels in names)
    _, judged = judge_arms(replace(experiment, arms=[reference, *others], baseline=reference))
    words = {reference: "", **{arm: SAID_WORDS[judged[arm].word] for arm in others}}
    lines = []
    for name, (arm, word) in zip(names.values(), words.items(), strict=True):
        quarter = [at_budget(run.curve.steps, run.curve.accuracy, run.curve.steps[-1] / 4) for run in arm.ended]
        finals = arm.values(final_accuracy)
        lines.append([name, *(" ".join(f"{100 * value:.0f}" for value in each) for each in (quarter, finals)), word])
    return as_table(["GRPO without a KL: accuracy in %, by seed", "a quarter", "the end", "whole curve"], lines)


def stale():
    """Where each correction ends for each age of rollouts, on each task."""

    def title(task, arm):
        lag = int(arm.first.value("rollout_lag"))
        return f"{task['task']}, {lag} step{'s' if lag > 1 else ''} old"

    return _of_corrections("cpu_rl_stale", title)


def coarse():
    """Where each correction ends for each coarseness of rollouts, with each attention variant."""

    def title(task, arm):
        dtype, cache = arm.first.value("rollout_dtype"), arm.first.value("rollout_cache_dtype")
        return ", ".join(filter(None, (task["attention"].upper(), dtype, cache and f"{cache} cache")))

    return _of_corrections("cpu_rl_coarse", title)


def _of_corrections(folder, title):
    """A row a correction, a column for each `title` of an arm in an experiment: final accuracies, bold where clearly
    below exact rollouts by the experiment's own table. Last a row of how far the sampling policy is from the learning
    one without a correction."""
    cells, distances = {}, {}
    experiments = design.layout(readers.folder_results(folder)).rollouts
    for experiment in sorted(experiments, key=lambda each: -len(each.arms)):
        for row in at(COMPLETIONS, at_equal_budgets(experiment)):
            text = share(row.arm.mean(final_accuracy))
            is_lower = row.outcome is ArmOutcome.LOWER
            column = cells.setdefault(title(dict(experiment.key), row.arm), {})
            column["exact"] = share(experiment.baseline.mean(final_accuracy))
            column[row.arm.first.value("rollout_correction")] = f"**{text}**" if is_lower else text
            if row.arm.first.value("rollout_correction") == "none":
                kl = fmean(fmean(run.by_step("rollout_kl").values()) for run in row.arm.ended)
                distances[title(dict(experiment.key), row.arm)] = np.format_float_positional(kl, 2, fractional=False)
    used = [correction for correction in CORRECTIONS if any(correction in column for column in cells.values())]
    lines = [[CORRECTIONS[each], *(column.get(each, "") for column in cells.values())] for each in used]
    lines.append(["KL of a sampled token, in nats", *(distances.get(name, "") for name in cells)])
    return as_table(["correction", *cells], lines)


def sizes():
    """Where PPO and GRPO end by the size of the policy, and how far the larger differs from the smaller."""
    lines = []
    for experiment in design.layout(readers.folder_results("cpu_rl_sizes")).algorithms:
        (row,) = at(COMPLETIONS, at_equal_budgets(experiment))
        ppo, grpo = experiment.baseline, row.arm
        parameters = ppo.first.constant("policy_parameter_count")
        ends = [" ".join(f"{100 * final:.0f}" for final in arm.values(final_accuracy)) for arm in (ppo, grpo)]
        lines.append((parameters, [f"{parameters / 1e6:.1f} million", *ends, _points(row.comparison)]))
    titles = ["parameters", "PPO, by seed", "GRPO, by seed", "GRPO minus PPO (points)"]
    return as_table(titles, [line for _, line in sorted(lines)])


def feedback():
    """Where each source of reward ends, and its difference from a reward for the answer by its key."""
    titles = {
        "process": "each step",
        "process (outcome_as_step=true)": "each step and the answer",
        "majority": "the answer that most of the group gave",
    }
    stored, lines = readers.ReadRuns(readers.folder_results("cpu_rl_feedback")), []
    for setting, key in (("supervision", "outcome"), ("reward_source", "ground_truth")):
        for row in stored.compare(by=setting, against=key).itertuples():
            task = row.task + (", after a cold start" if getattr(row, "recipe", None) == "cold_start" else "")
            ends = share(row.mean_of_other), share(row.mean)
            lines.append([titles[row.arm], task, *ends, _marked(_range(row.difference, row.low, row.high), row)])
    return as_table(["reward for", "task", "the right answer ends at", "this reward ends at", "points"], lines)


def pretrained():
    """Held-out accuracy of a published model at each evaluation of its training, by seed."""
    runs = design.layout(readers.folder_results("cpu_rl_pretrained")).runs
    curves = {run.seed: dict(zip(run.curve.steps, run.curve.accuracy, strict=True)) for run in runs}
    steps = next(iter(curves.values()))
    lines = [[seed, *(share(curve[step]) for step in steps)] for seed, curve in sorted(curves.items())]
    return as_table(["seed", *(f"step {step}" for step in steps)], lines)


def sampled_often():
    """pass@1 and pass@256 of the base model and after each way of training, by task, and what training did."""
    texts, rows_by_task = load_texts("en"), {}
    for experiment, arm_rows in pass_at_k.studies(readers.folder_results("cpu_rl_pass_at_k")):
        rows_by_task[dict(experiment.key)["task"]] = {texts.render(row.name): row for row in arm_rows}
    names = {"sort": "sort four digits", "addition": "add two numbers"}
    lines = []
    for name in dict.fromkeys(name for arms in rows_by_task.values() for name in arms):
        line = [name]
        for task in names:
            row = rows_by_task[task][name]
            first, last = (row.shares[k] for k in (1, 256))
            effect = texts.render(say(f"rl_pass_at_k.effect.{row.effect}")) if row.effect else ""
            line += [share(fmean(first)), share(fmean(last)), effect]
        lines.append(line)
    titles = [f"{names[task]}, {column}" for task in names for column in ("pass@1", "pass@256", "effect")]
    return as_table(["5 seeds", *titles], lines)


def ppo_settings():
    """The gain of each change to PPO's settings, and how much its critic then explains."""
    changed = {
        "as in `sweep=rl`": {},
        "the critic warmed alone for 10 steps": {"critic_warmup_steps": "10"},
        "λ 0.95, the critic's 1": {"lam": "0.95"},
        "λ by length, α 1, the critic's 1": {"lam": "", "lam_alpha": "1.0"},
        "λ by length, α 0.05, which is 0 up to 20 tokens": {"lam": "", "lam_alpha": "0.05"},
        "four passes over a rollout": {"inner_epochs": "4"},
        "the critic's rate 0.0003": {"critic_lr": "0.0003"},
        "the critic's rate 0.003": {"critic_lr": "0.003"},
        "a critic of a quarter of the size": {"critic_model": "tiny"},
        "values not clipped": {"cliprange_value": ""},
    }
    usual = dict.fromkeys(("critic_warmup_steps", "lam_alpha", "critic_model"), "")
    usual |= {"critic_lr": "0.001", "inner_epochs": "1", "lam": "1.0", "cliprange_value": "0.5"}
    (experiment,) = design.layout(readers.folder_results("cpu_rl_ppo")).algorithms
    of_settings = {tuple(map(arm.first.setting, usual)): arm for arm in experiment.arms}
    arms = {name: of_settings[tuple((usual | change).values())] for name, change in changed.items()}
    plain, *changed_arms = arms.values()
    scores = plain.by_seed(final_accuracy)
    judged = judge_together([compare(arm.by_seed(final_accuracy), scores, margin=0.02) for arm in changed_arms])
    lines = []
    for (name, arm), comparison in zip(arms.items(), [None, *judged], strict=True):
        explains = f"{mean_over_steps('explained_variance', arm):.2f}"
        lines.append([name, share(arm.mean(final_accuracy)), _points(comparison) if comparison else "", explains])
    return as_table(["PPO (10 seeds)", "ends at", "minus the first (points)", "critic explains"], lines)


RECIPE_TASKS = {"sort": "sort four digits", "addition": "add two numbers", "countdown": "countdown, three numbers"}


def recipes():
    """Where each recipe ends, for both sizes of policy."""
    arms = {
        "small": {
            "base": "base reads on",
            "sft": "SFT",
            "r1_zero": "R1-Zero",
            "cold_start": "cold start, RL",
            "r1": "R1",
            "r1_unfiltered": "R1 unfiltered",
            "r1_preference": "R1, preferences",
            "dpo": "R1, DPO alone",
        },
        "tiny": {"base": "base reads on", "sft": "SFT", "r1_zero": "R1-Zero", "distill": "distilled from R1"},
    }
    frame = compare_recipes()
    parts = []
    for policy, titles in arms.items():
        lines = []
        for task, title in RECIPE_TASKS.items():
            task_rows = frame[(frame["policy"] == policy) & (frame["task"] == task)]
            ends = dict(zip(task_rows["arm"], task_rows["mean"], strict=True))
            ends["r1_zero"] = task_rows["mean_of_other"].mean()
            if len(task_rows):
                lines.append([title, *(share(ends[recipe]) if recipe in ends else "" for recipe in titles)])
        parts.append(as_table([f"`policy={policy}`", *titles.values()], lines))
    return "".join(parts).replace("\n\n\n\n", "\n\n")


def recipe_gains():
    """What each stage adds, in points by task: a recipe minus the one without that stage, each judged in its table."""
    pairs = {
        "R1-Zero minus base": ("small", "r1_zero", "base"),
        "Cold start and RL minus R1-Zero": ("small", "cold_start", "r1_zero"),
        "Cold start and RL minus SFT": ("small", "cold_start", "sft"),
        "R1 minus cold start and RL": ("small", "r1", "cold_start"),
        "R1 unfiltered minus R1": ("small", "r1_unfiltered", "r1"),
        "R1 with preferences minus R1": ("small", "r1_preference", "r1"),
        "Distilled minus R1-Zero, `policy=tiny`": ("tiny", "distill", "r1_zero"),
    }
    lines = []
    for title, (policy, recipe, against) in pairs.items():
        frame = compare_recipes(against)
        frame = frame[(frame["arm"] == recipe) & (frame["policy"] == policy)]
        cells = {row.task: _marked(_range(row.difference, row.low, row.high), row) for row in frame.itertuples()}
        lines.append([title, *(cells.get(task, "") for task in RECIPE_TASKS)])
    return as_table(["points", *RECIPE_TASKS.values()], lines)


ONE_GPU_GB = (24, 48, 80)


def memory_fits():
    """The smallest single GPU of ONE_GPU_GB that holds a step, with its projected peak, by model and algorithm, with
    blocks recomputed and kept."""

    def cell(model, algorithm, again):
        """The peak and the GPU; a dash where none is large enough."""
        peak = readers.peak_bytes(algorithm, geometry=model, checkpointing=again)
        enough = [size for size in ONE_GPU_GB if peak <= size * 1e9 - reserve_bytes()]
        return f"{readers.number(peak / 2**30)} → {f'{enough[0]} GB' if enough else '–'}"

    ways = [(algorithm, again) for algorithm in ("ppo", "grpo") for again in (True, False)]
    titles = [f"{algorithm.upper()}{'' if again else ', nothing recomputed'}" for algorithm, again in ways]
    lines = [[name, *(cell(model, *way) for way in ways)] for model, name in MODELS.items()]
    return as_table(["GiB → one GPU of", *titles], lines)


def memory():
    """The projected peaks of PPO and GRPO, and what GRPO saves, by model and by setting."""

    def peak(algorithm, model, **setting):
        return readers.peak_bytes(algorithm, geometry=model, **setting)

    moved = {
        "saved": {},
        "1,024 tokens": {"seq_len": 1024},
        "16,384 tokens": {"seq_len": 16_384},
        "groups of 64": {"num_generations": 64},
        "eight completions a pass": {"micro_batch": 8},
        "nothing recomputed": {"checkpointing": False},
        "16,384 tokens, nothing recomputed": {"seq_len": 16_384, "checkpointing": False},
    }
    gib = {name: [readers.number(peak(name, model) / 2**30) for model in MODELS] for name in ("ppo", "grpo")}
    lines = [["PPO → GRPO, GiB", *map(" → ".join, zip(*gib.values(), strict=True))]]
    for name, setting in moved.items():
        lines.append(
            [name, *(share(1 - peak("grpo", each, **setting) / peak("ppo", each, **setting)) for each in MODELS)]
        )
    return as_table(["", *MODELS.values()], lines)


def gate():
    """The gate's error rates beside other tools' rules on the same samples."""
    names = {
        readers.GATE: "**`suite gate --against`**",
        "asv 0.6 (factor 1.1, p < 0.002)": "asv 0.6's rule",
        "pyperf (t, p < 0.05)": "pyperf's (t test)",
        "pytest-benchmark median:5%": "a threshold of 5% on medians",
        "benchstat, Google benchmark (U, p < 0.05)": "benchstat's (U test)",
    }
    slowdowns = ("identical", "+3%", "+5%", "+10%")
    lines = [[name, *(readers.error_rates()[rule][slowdown] for slowdown in slowdowns)] for rule, name in names.items()]
    headings = (f"{slowdown} found" for slowdown in slowdowns[1:])
    return as_table(["", "a false alarm in runs of identical code", *headings], lines)


def gate_shifts():
    """The gate's simulated error rates where launches of identical code shift, for the most telling shifts."""
    names = {
        "none": "nothing",
        "one timing: normal, sd 3%": "one timing of sixteen, normal, 3%",
        "each its own: normal, sd 1%": "each its own, normal, 1%",
        "each its own: normal, sd 2%": "each its own, normal, 2%",
        "each its own: normal, sd 3%": "each its own, normal, 3%",
        "each its own: t3, sd 3%": "each its own, t with 3 degrees, 3%",
        "all as one: normal, sd 3%": "all as one, normal, 3%",
        "each its own: two layouts, 10%": "each its own, two layouts 10% apart",
        "one timing: drift a launch, 1%": "one timing of sixteen drifts by 1% a launch",
        "all as one: drift a launch, 1%": "all drift by 1% a launch",
        "started second: constant, 3%": "the side that starts second, 3%",
        "started second: drift a launch, 1%": "the side that starts second, 1% more with each launch",
        "all as one: correlated .8, sd 5%": "all as one, 5%, correlated by .8",
    }
    rows = {row["shift of a launch"]: row for row in readers.simulation_rows("shifts")}
    shares = ("false alarms", "+5% found", "+10% found", "+5% same")
    lines = []
    for shift, name in names.items():
        row = rows[shift]
        cells = [readers.simulation_share(row[share]) for share in shares]
        lines.append([name, *cells, f"{row['launches']} launches, {row['s']} s"])
    titles = ["what shifts", "a false alarm in runs of identical code", "+5% found", "+10% found"]
    return as_table([*titles, "+5% called the same", "identical code takes"], lines)


def null_counts():
    """Of claims without any difference: how many were asserted, of how many, and the most of 100 of one claim."""
    text = (readers.REFERENCE / "cpu/null_rates.txt").read_text(encoding="utf-8")
    asserted, trials = map(int, re.search(r"Of all claims: (\d+) of (\d+)", text).groups())
    return asserted, trials, max(map(int, re.findall(r"^\| [\w-]+ \| [\w ]+ \| (\d+) \|", text, re.MULTILINE)))


def gate_few():
    """Simulated error rates of the gate's cautious interval after few launches, for the most telling shifts."""
    names = {
        ("each its own: normal, sd 3%", "recorded"): "normal, 3%",
        ("each its own: t3, sd 3%", "recorded"): "t with 3 degrees, 3%",
        ("each its own: two layouts, 10%", "recorded"): "two layouts 10% apart",
        ("each its own: normal, sd 3%", "normal, 100%"): "normal, 3%, rounds spread by 100%",
    }
    rows = readers.simulation_rows("few_launches")
    lines = []
    for (shift, rounds), name in names.items():
        of_shift = {
            row["launches"]: row for row in rows if (row["shift of a launch"], row["rounds"]) == (shift, rounds)
        }
        worst = max(of_shift.values(), key=lambda row: int(row["false alarms"].split()[0]))["false alarms"]
        powers = [of_shift[count][f"{ratio}x found"] for ratio, count in (("3", "1"), ("19", "1"), ("19", "3"))]
        lines.append([name, readers.simulation_share(worst), *powers])
    titles = ["what shifts", "a false alarm in 1, 2, 3 or 5 launches, at most", "3 × found in one launch"]
    return as_table([*titles, "19 × in one", "19 × in three"], lines)
