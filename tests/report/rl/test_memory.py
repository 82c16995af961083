"""What the page says of memory in reinforcement learning, from records whose bytes can be added up by hand."""

import json
import re
from dataclasses import replace

import plotly.graph_objects
import pytest

from suite.configuration.files import languages
from suite.records.record import Evidence, Reading
from suite.report.blocks import LONGEST_TITLE
from suite.report.plot.plots import HOVER
from suite.report.rl import cost, efficiency, memory, stability
from suite.report.rl.design import layout
from suite.report.rl.memory import LEAST_SHARE
from suite.report.runs import trust
from suite.theory.answers.published import published_memory
from tests.records.factory import build
from tests.report.quality_records import in_memory
from tests.report.reading import rows_of, said
from tests.report.rl import runs
from tests.report.rl.runs import titled
from tests.report.rl_memory_records import SIZES, memory_record, sweep
from tests.report.rl_records import rl_record
from tests.report.test_hostile import EVIL, texts

GIB = 1 << 30
PEAKS, FITS, SAVINGS = (
    "Peaks by phase, owner and kind",
    "Which GPUs can hold a step",
    "Memory that training without a critic saves",
)
POLICY, LOGITS = {("policy", "parameters"): 20 * GIB}, {("policy", "logits"): 10 * GIB}
CRITIC, REFERENCE = {("critic", "parameters"): 50 * GIB}, {("reference", "parameters"): 20 * GIB}
PPO = {"algorithm": "ppo", "critic": "own"}
GRPO = {"algorithm": "grpo", "critic": None}
PPO_RUN = {"update": POLICY}


def ppo(**axes):
    """100 GiB at its peak, which is the update's."""
    parts = {"rollout": POLICY, "update": POLICY | LOGITS | CRITIC | REFERENCE}
    return memory_record(parts, **PPO | axes)


def grpo(has_reference=True, **axes):
    """60 GiB less what a reference takes, at the peak of its scores."""
    parts = {"score": POLICY | LOGITS | {("policy", "activations"): 10 * GIB} | (REFERENCE if has_reference else {})}
    return memory_record(parts, **GRPO | axes)


def run(parts=None, *, more=(), **axes):
    """A run that held memory by owner."""
    parts = parts or {"rollout": POLICY, "update": POLICY | LOGITS}
    lacks = dict.fromkeys(("geometry", "seq_len", "precision", "checkpointing", "shards"))
    axes = lacks | {"policy": "tiny", "dtype": "bf16"} | GRPO | axes
    return memory_record(
        parts, workload="rl", evidence=Evidence.MEASURED, settings={"track_memory": True}, more=more, **axes
    )


def section_of(*records, lang="en"):
    return runs.section_of(memory, *records, lang=lang)


def cells(records, title, *names):
    """The cells of some columns of a table, row by row."""
    return [tuple(row[name] for name in names) for row in titled(section_of(*records), title)]


def bars(view):
    """What a bar holds by owner and kind, in GiB, of the first row."""
    segments = [trace for trace in view.figure["data"] if trace.get("hoverinfo") != "skip" and 0 in trace["y"]]
    return {
        (trace["hovertext"][0].split(":")[0], trace["name"]): trace["x"][trace["y"].index(0)] / GIB
        for trace in segments
    }


def test_without_such_records_there_is_no_such_section():
    assert section_of(build(), rl_record()) is None


def test_a_bar_is_a_peak_stacked_by_owner_and_kind():
    figure = section_of(ppo(), grpo()).figures[0]
    assert (figure.facets["model"], figure.facets["evidence"]) == ("llama-3.1-8b", "computed")
    view = figure.views[0]
    sizes = {
        ("Policy", "Parameters"): 20,
        ("Policy", "Logits"): 10,
        ("Critic", "Parameters"): 50,
        ("Reference", "Parameters"): 20,
    }
    assert bars(view) == pytest.approx(sizes, rel=1e-4)
    names = [note["text"] for note in view.figure["layout"]["annotations"]]
    assert names == ["PPO: 100 GiB (Update)", "GRPO: 60.0 GiB (Score)"]
    assert "computed, not measured" in figure.caption


def test_small_and_unknown_parts_are_drawn_as_the_rest():
    small = 0.5 * LEAST_SHARE * 30 * GIB
    parts = {"update": POLICY | LOGITS | {("policy", "kv_cache"): small, ("someone", "thing"): small}}
    section = section_of(memory_record(parts))
    assert bars(section.figures[0].views[0])["Used by several models", "The rest"] == pytest.approx(
        2 * small / GIB, rel=1e-4
    )
    row = titled(section, PEAKS)[0]
    assert (row["KV cache"], row["The rest"]) == ("76.8 MiB", "76.8 MiB")


def test_parts_that_exceed_their_peak_cannot_be_its_parts():
    readings = [replace(r, value=GIB) if r.metric == "held_peak_bytes" else r for r in ppo().readings]
    section = section_of(replace(ppo(), readings=readings))
    assert bars(section.figures[0].views[0]) == pytest.approx({("Used by several models", "The rest"): 1}, rel=1e-4)


def test_the_step_and_the_seed_that_held_most_speak():
    later = tuple(replace(r, step=1, value=2 * r.value) for r in run().readings if r.span != "case")
    section = section_of(run(more=later))
    row = titled(section, PEAKS)[0]
    assert (row["Peak of a step"], row["Rollout"], row["Policy"]) == ("60.0 GiB", "40.0 GiB", "60.0 GiB")
    seeds = run(seed=0), run({"update": POLICY | LOGITS | CRITIC}, seed=1)
    assert cells(seeds, PEAKS, "Peak of a step") == [("80.0 GiB",)]


def test_an_algorithm_without_a_critic_saves_of_ppos_peak():
    records = [ppo(), grpo(), grpo(has_reference=False, algorithm="dr_grpo", kl_coef=0.0)]
    assert cells(records, SAVINGS, "Algorithm", "Its peak", "Peak of a step", "Saved", "Evidence") == [
        ("GRPO", "100 GiB", "60.0 GiB", "40%", "computed"),
        ("Dr. GRPO", "100 GiB", "40.0 GiB", "60%", "computed"),
    ]


def test_arms_differ_in_a_critics_setting_and_in_no_other():
    records = [ppo(), ppo(critic="shared_trunk"), ppo(seq_len=4096), grpo(), grpo(micro_batch=4)]
    assert cells(records, SAVINGS, "Algorithm", "Compared with") == [
        ("GRPO", "PPO · separate critic"),
        ("GRPO", "PPO · critic shares the policy’s trunk"),
    ]
    small = {"critic_model": "qwen2.5-0.5b"}
    rows = titled(section_of(ppo(), ppo(extras=small, settings=small), grpo()), SAVINGS)
    assert ["critic model qwen2.5-0.5b" in str(row) for row in rows].count(True) == 1 == len(rows) - 1


def test_which_gpus_fit_and_the_smallest_set_of_them():
    needs = {"gpu_24": {"devices_needed": 8}, "gpu_80": {"devices_needed": 2}, "gpu_141": {"devices_needed": 1}}
    constants = {"shards_1": {"peak_bytes_per_device": 100 * GIB}, **needs}
    facts = {"constants": constants, "settings": {"reserve_bytes_per_device": 3 * GIB / 2}}
    records = [ppo(**facts), ppo(**facts, shards=8), grpo()]
    section = section_of(*records)
    of_ppo, of_grpo = (list(row.values()) for row in titled(section, FITS))
    assert of_ppo == ["llama-3.1-8b", "PPO", "8", "–", "2", "1", "1 × 141 GB", "100 GiB", "computed"]
    assert (of_grpo[1], set(of_grpo[2:-1])) == ("GRPO", {"–"})
    assert "1.50 GiB are reserved" in section.tables[0].note
    more = grpo(constants=constants, settings={"reserve_bytes_per_device": 2 * GIB})
    assert "1.50 GiB to 2.00 GiB are reserved" in section_of(*records[:2], more).tables[0].note


def test_a_size_that_no_record_names_is_told_by_its_peaks():
    peaks = {f"shards_{count}": {"peak_bytes_per_device": 120e9 / count} for count in (1, 2, 4, 8)}
    record = grpo(constants=peaks, settings={"reserve_bytes_per_device": 1e6})
    assert cells([record], FITS, "24 GB", "48 GB", "80 GB", "141 GB") == [("8", "4", "2", "1")]


def test_what_was_counted_on_a_gpu_stands_beside_the_peak():
    sizes = {"allocator_peak_bytes": 33, "reserved_peak_bytes": 35, "gpu_used_bytes": 36}
    counted = [Reading(step=0, span="update", metric=metric, value=size * GIB) for metric, size in sizes.items()]
    shown = cells([run(more=tuple(counted))], PEAKS, "Update", "Allocated", "Reserved", "In use")
    assert shown == [("30.0 GiB", "33.0 GiB", "35.0 GiB", "36.0 GiB")]


def test_beside_a_published_figure_stands_a_comparable_one():
    needs = {"gpu_40": {"devices_needed": 4}, "gpu_24": {"devices_needed": 8}}
    qwen = {"geometry": "qwen2.5-7b", "lora_rank": None, "reference": "offloaded", "constants": needs}
    llama = ppo(geometry="llama-2-7b"), grpo(geometry="llama-2-7b")
    section = section_of(grpo(**qwen, seq_len=4096), grpo(**qwen, seq_len=64), *llama, grpo(False))
    rows = {row["Problem"]: row for row in titled(section, "Published figures and our projections")}
    assert len(rows) == len(published_memory())
    assert all(row["Source"] for row in rows.values())
    needed = rows.pop("EasyR1, GRPO, 7B, bfloat16, all weights trained")
    assert (needed["What"], needed["Published"], needed["Our projection"]) == ("needs", "4 × 40 GB", "4 × 40 GB")
    assert "4,096 tokens" in needed["Our settings"]
    saving = rows["ReMax, without a critic, against PPO, a model of 7B"]
    assert (saving["Published"], saving["Our projection"]) == ("46%", "40%")
    assert {row["Our projection"] for row in rows.values()} == {"–", "40%"}


def test_the_gpus_at_hand_are_answered_for():
    def answer(gpus, spare_bytes, **axes):
        at_hand = {"spare_bytes": spare_bytes, **({"rollout_batch": 100} if spare_bytes > 0 else {})}
        bounds = {"gpus/rollout": {"bound_s": 300.0}} if "h100" in gpus else {}
        return ppo(constants={"gpus": at_hand} | bounds, settings={"gpus": gpus}, extras={"gpus": gpus}, **axes)

    records = [answer("4xh100-sxm5-80gb", 30 * GIB, shards=4), answer("1x80", -25 * GIB), grpo()]
    names = ("Available GPUs", "Free on each", "Completions at once", "Rollout, least time")
    assert sorted(cells(records, FITS, *names)) == [
        ("1x80", "−25.0 GiB", "–", "–"),
        ("4xh100-sxm5-80gb", "30.0 GiB", "100", "5 min 0 s"),
        ("–", "–", "–", "–"),
    ]


def test_a_tracked_run_is_in_no_comparison_of_time():
    tracked = rl_record(seed=2, settings={"track_memory": True})
    results = in_memory(rl_record(seed=1), tracked)
    (experiment,) = layout(results).algorithms
    assert [run.seed for arm in experiment.arms for run in arm.runs] == ["1"]
    assert rows_of(said(cost.build(results)).tables[0])[0]["Runs"] == "1"
    assert "Memory by owner was recorded in 1 of the runs." in said(trust.build(results)).explanation
    assert [module.build(in_memory(tracked)) for module in (efficiency, cost, stability)] == [None] * 3


def with_readings(change):
    """PPO's record with other readings; those that become None are left out."""
    return replace(ppo(), readings=[reading for each in ppo().readings if (reading := change(each))])


@pytest.mark.parametrize(
    "record",
    [
        with_readings(lambda r: replace(r, value=float("nan"))),
        with_readings(lambda r: replace(r, value=-1.0)),
        with_readings(lambda r: replace(r, value=1e300)),
        with_readings(lambda r: None if r.metric == "held_bytes" else r),
        with_readings(lambda r: None if r.metric == "held_peak_bytes" else r),
        with_readings(lambda r: replace(r, span=r.span.replace("update", "//a/b/c"))),
        with_readings(lambda r: replace(r, step=-1)),
        memory_record({"update": {("", ""): 1.0, (EVIL, EVIL): 2.0}, EVIL: POLICY}),
        ppo(algorithm=None, geometry=None, attention=None, seq_len="many", micro_batch=10**400, shards=-1),
        ppo(geometry=3, kl_coef="x", workload=EVIL, label=EVIL, evidence=EVIL),
        ppo(constants={"gpu_24": {"devices_needed": float("inf")}, "gpu_80": {"devices_needed": -2}}),
        ppo(constants={"gpu_80": {"devices_needed": 1e300}}, settings={"reserve_bytes_per_device": [1]}),
        ppo(evidence=Evidence.MEASURED, parameters=float("nan")),
        run({"update": POLICY}, policy=None, dtype=7, seed=None),
    ],
    ids=range(14),
)
def test_an_odd_record_of_memory_breaks_nothing(record):
    records = record, grpo(), grpo(geometry="tiny", parameters=5.0)
    assert trust.build(in_memory(*records)) is not None
    for figure in section_of(*records).figures:
        json.dumps([view.figure for view in figure.views], allow_nan=False)


def test_hostile_names_in_records_are_shown_as_text():
    evil = dict.fromkeys(("geometry", "attention", "seq_len", "precision", "critic"), EVIL)
    records = [
        make(**evil | axes, extras={EVIL: EVIL})
        for make in (ppo, grpo)
        for axes in ({}, {"geometry": "2" + EVIL, "parameters": 5.0}, {"algorithm": EVIL})
    ]
    section = section_of(*records, run(policy=EVIL))
    assert [len(figure.views) for figure in section.figures] == [4, 4, 3]
    traces = [trace for figure in section.figures for view in figure.views for trace in view.figure["data"]]
    visible = [{name: value for name, value in trace.items() if name != "meta"} for trace in traces]
    assert not any(re.search(r"[<>$]|%\{", text) for text in set(texts(visible)) - {HOVER})


@pytest.mark.parametrize("lang", languages("report"))
def test_plotly_accepts_a_whole_sweep_in_every_language(lang):
    records = [*sweep(tuple(SIZES)[:2], num_generations=(16,)), run(PPO_RUN, **PPO), run()]
    section = section_of(*records, lang=lang)
    assert len(section.figures) == 3
    assert all(len(block.title) < LONGEST_TITLE for block in (*section.figures, *section.tables))
    for view in (view for figure in section.figures for view in figure.views):
        plotly.graph_objects.Figure(view.figure)
