"""What the report makes of some records, as it stands in snapshot.yaml: sentences, columns and first and last rows as
they are read, and of all rows and drawn points a digest. `python -m tests.report.snapshot` writes it anew, after which
git shows what a change of the report has changed.
"""

import hashlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import yaml

from suite.report.answers.answers import build_answers
from suite.report.command import build_views
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts
from tests.records.factory import REFERENCE, build, store
from tests.report import quality_records
from tests.report.attention.test_cache import capacity_record
from tests.report.attention.test_hardware import projected
from tests.report.attention.test_latency import with_energy
from tests.report.compress_records import compress_record
from tests.report.quality_records import arm, in_memory, mla, recall
from tests.report.rl.runs import arms, fed, recipes, run, thinking
from tests.report.rl.test_why import study as crossed_study
from tests.report.rl_memory_records import sweep

SNAPSHOT = Path(__file__).with_name("snapshot.yaml")
CLOSED_FORMS = ("signmap", "crossover", "cache")
"""Sections that are the same without a record, and so are looked at once."""
MEASURED = ("cpu_one_launch", "cpu_variants", "cpu_rl_owners", "cpu_rl_feedback")
"""Folders of committed records: the small ones."""
HIGH, NEAR, LOW = [0.9, 0.92, 0.91, 0.9, 0.92], [0.9, 0.93, 0.9, 0.9, 0.92], [0.5, 0.51, 0.49, 0.5, 0.5]


def measured():
    return shown(read_results([REFERENCE / name for name in MEASURED], list(MEASURED)))


def quality():
    starved = [*recall(LOW, **mla(8)), *recall(NEAR, **mla(None)), *arm(HIGH, task="two_hop", attention="mha")]
    cut = [compress_record("svd", rank, kept=(0.9, 0.8), added={"rare": rank / 1000}) for rank in (384, 192, 96)]
    records = [*quality_records.study(5), *starved, *arm(LOW, task="two_hop", **mla(None)), compress_record(), *cut]
    return shown(in_memory(*records), without=CLOSED_FORMS)


def rl():
    finals = {"grpo": HIGH, "ppo": NEAR, "rloo": LOW}
    records = [
        *arms(finals, ppo={"cpu_s": (0.5, 0.25, 1.0)}),
        *recipes(5),
        *sweep(("llama-3.2-3b",), seq_len=(256, 4096)),
    ]
    records += [*fed("kl_coef", 0.1, LOW), *fed("kl_coef", 0.2, HIGH), run([0.1, 0.2], device="cuda", energy_j=3.0)]
    records += [thinking([5.0, 6.0, 9.0], [0.1, 0.2, 0.4], seed=seed, recipe="r1_zero") for seed in range(5)]
    return shown(in_memory(*records), without=CLOSED_FORMS)


def factors():
    """Crossed settings of RL, and two variants under one algorithm."""
    records = crossed_study()
    for attention, finals in (("mla", LOW), ("mha", HIGH)):
        records += [run([0.1, final], seed=seed, attention=attention) for seed, final in enumerate(finals)]
    return shown(in_memory(*records), without=CLOSED_FORMS)


def devices():
    """What is projected, what fits, and joules."""
    records = [
        projected(variant, layer_s=layer_s) for variant, layer_s in (("mla", 2e-3), ("gqa", 3e-3), ("mha", 5e-3))
    ]
    records += [
        capacity_record("deepseek-v3", parallel=parallel, tp=tp) for parallel, tp in (("tp", 8), ("dp", 8), ("dp", 1))
    ]
    for tokens in (1024, 4096):
        for rank, variant in enumerate(("gqa", "mla", "mha"), 1):
            priced = build(attention=variant, seq_len=tokens, settings={"price_per_device_hour": 2.0})
            records.append(with_energy(priced, layer_j=rank * tokens * 1e-5, tokens=2.0))
    with tempfile.TemporaryDirectory() as folder:
        store(Path(folder) / "runs", *records)
        return shown(read_results([Path(folder) / "runs"]), without=CLOSED_FORMS)


def shown(results, without=()):
    texts = load_texts("en")
    sections = [texts.section(section) for view in build_views(results).values() for section in view]
    answers = texts.render_block(build_answers(results, ""))
    return {section.id: _section(section) for section in sections if section.id not in without} | {
        "answers": [_ruling(ruling) for ruling in answers.rulings]
    }


def _section(section):
    return {
        "headlines": [[headline.text, headline.detail] for headline in section.headlines],
        "tables": [_table(table) for table in section.tables],
        "figures": [_figure(figure) for figure in section.figures],
    }


def _table(table):
    lines = [[column.title for column in table.columns], table.rows[0], table.rows[-1]]
    count = f"{len(table.rows)} rows, {_digest(asdict(table))}"
    return [f"{table.title} ({count})", *(" | ".join(map(str, line)) for line in lines)]


def _figure(figure):
    return f"{figure.title}: {figure.finding} ({len(figure.views)} views, {_digest(asdict(figure))})"


def _ruling(ruling):
    return json.loads(json.dumps(_rounded(asdict(ruling)), default=str))


def _digest(content):
    return hashlib.sha256(json.dumps(_rounded(content), default=str).encode()).hexdigest()[:8]


def _rounded(content):
    """Numbers to six digits, so that the last bits of another machine's say nothing."""
    if isinstance(content, float):
        return float(f"{content:.6g}")
    if isinstance(content, dict):
        return {str(key): _rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_rounded(value) for value in content]
    return content


MADE = (measured, quality, rl, factors, devices)

if __name__ == "__main__":
    SNAPSHOT.write_text(
        yaml.safe_dump({made.__name__: made() for made in MADE}, sort_keys=False, allow_unicode=True, width=120),
        encoding="utf-8",
    )
