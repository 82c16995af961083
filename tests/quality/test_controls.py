"""sweep=quality_controls takes the rate of every arm from sweep=quality_rates, which has to have them all."""

from collections import Counter
from dataclasses import replace

from suite.records.record import Reading
from suite.rl import tuning
from suite.run.compose.composer import compose
from suite.run.job import job_of
from tests.records.factory import build, store

RATES = {"trained": 0.0015, "frozen": 0.003, "slice": 0.006, None: 0.003}


def arm(point):
    attention, task = point.settings["attention"], point.settings["task"]
    sizes = [attention.get(name) for name in ("kv_lora_rank", "latent")]
    return (point.chosen["attention"], *sizes, task.get("length"), task.get("attributes_per_tier"))


def test_every_arm_of_the_controls_has_its_own_trials_rate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trials = compose(["-m", "sweep=quality_rates", "seed=100"])
    efforts = Counter(arm(point) for point in trials)
    assert set(efforts.values()) == {len({point.settings["lr"] for point in trials})} == {3}
    for point in trials:
        is_best = point.settings["lr"] == RATES[point.settings["attention"].get("latent")]
        answered = Reading(step=1, span="evaluate", metric="answer_accuracy", value=0.9 if is_best else 0.5)
        settings = {name: point.settings[name] for name in ("attention", "task", "lr")}
        record = replace(build(settings=settings), case=job_of(point).case, readings=[answered])
        store(tmp_path / "results" / "quality_rates", record)
    tuning._trials.cache_clear()  # it is kept by the folder's name, which another test may have had
    points = compose(["-m", "sweep=quality_controls", "seed=200"])
    assert {arm(point) for point in points} >= set(efforts)
    assert all(point.settings["lr"] == RATES[point.settings["attention"].get("latent")] for point in points)
