"""pytest-benchmark's files: a file is one draw, and whatever cannot be judged is never green."""

import datetime
import json

import pytest

from suite.gate.output.files import read_judgement, write_judgement
from suite.gate.rules.acceptances import accept
from suite.gate.rules.tolerances import Tolerances
from suite.gate.stored import benchmark_json
from suite.gate.stored.benchmark_json import holds_benchmarks, judge_benchmarks
from suite.gate.verdict import LATENCY, Outcome
from tests.gate.stored.benchmark_files import COMMIT, MACHINE, benchmark, content, write

HOSTS = ["b", "c", "d", "e", "f"]


def stored(folder, *, names=("t.py::test_a",), times_s=(1.000e-3, 1.001e-3, 0.999e-3, 1.0005e-3, 0.9995e-3), **more):
    """A folder of runs, whose rounds lie around these times."""
    for index, time_s in enumerate(times_s):
        runs = [benchmark(name, data=[time_s * share for share in (0.9, 1, 1.2)]) for name in names]
        write(folder / "Linux-CPython" / f"{index:04d}_x.json", *runs, at=f"2026-01-0{index + 1}", **more)
    return folder


def judged(before, after, **more):
    return judge_benchmarks(
        before if isinstance(before, list) else [before],
        after if isinstance(after, list) else [after],
        tolerances=Tolerances(),
        **more,
    )


def only(judgement):
    (verdict,) = judgement.verdicts
    return verdict


STORED = [1e-3 * share for share in (0.9, 1, 1.2)]
"""The rounds of a stored run whose time is a millisecond."""
ALIKE = {"times_s": [1e-3] * 5}
NO_CPU = {"machine": MACHINE | {"cpu": {}}}


@pytest.mark.parametrize(
    ("before", "data", "changed", "outcome", "reason"),
    [
        ({}, [1.001e-3] * 7, {}, Outcome.SAME, "1.00 ms in 5 stored runs, 1.00 ms now"),
        ({}, [1.5e-3] * 7, {}, Outcome.SLOWER, "1.00 ms in 5 stored runs, 1.50 ms now"),
        ({}, [0.6e-3] * 7, {}, Outcome.FASTER, "1.00 ms in 5 stored runs, 600 µs now"),
        # A run's rounds are no repeats, and one that was copied counts once and is no candidate.
        ({"times_s": [1e-3]}, [3e-3] * 5000, {}, Outcome.INCONCLUSIVE, "there are 1"),
        (ALIKE, [1e-3], {}, Outcome.INCONCLUSIVE, "there are 1"),
        (ALIKE, STORED, {}, Outcome.INCOMPARABLE, "nothing new was timed"),
        *(
            ({}, [1e-3], {"machine": MACHINE | facts}, Outcome.INCOMPARABLE, words)
            for facts, words in (
                ({"cpu": {"brand_raw": "Another"}}, "CPU model: A CPU 3000 before, Another now"),
                ({"cpu": {}}, "CPU model: A CPU 3000 before, not recorded now"),
                ({"machine": "aarch64"}, "architecture: x86_64 before, aarch64 now"),
                ({"python_version": "3.13.0"}, "Python: 3.12.1 before, 3.13.0 now"),
                ({"python_implementation": "PyPy"}, "Python implementation: CPython before, PyPy now"),
                ({"node": "another"}, "fewer than 5 other hosts"),
            )
        ),
        (NO_CPU, [1e-3], NO_CPU, Outcome.INCOMPARABLE, "CPU model: not recorded"),
        ({}, [1e-3], {"timer": "process_time"}, Outcome.INCOMPARABLE, "timer: perf_counter before, process_time now"),
    ],
)
def test_a_run_is_judged_by_the_spread_of_five_stored_ones(tmp_path, before, data, changed, outcome, reason):
    timer = changed.get("timer", "perf_counter")
    more = {name: value for name, value in changed.items() if name != "timer"}
    base = stored(tmp_path / "base", **before)
    new = write(tmp_path / "new.json", benchmark(data=data, timer=timer), at="2026-02-01", **more)
    judgement = judged(base, new)
    verdict = only(judgement)
    assert (verdict.case, verdict.metric, verdict.outcome) == ("t.py::test_a", LATENCY, outcome)
    assert reason in verdict.reason
    assert judgement.exit_code == {Outcome.SLOWER: 1, Outcome.INCOMPARABLE: 3}.get(outcome, 0)
    if outcome is Outcome.INCONCLUSIVE:
        assert judged(base, new, inconclusive_fails=True).exit_code == 3
    if verdict.ratio is not None:
        assert (verdict.after, verdict.clock, verdict.launches) == (pytest.approx(data[0]), timer, 5)
    assert (judgement.form, judgement.before.label, judgement.after.label) == ("stored", "base", "new.json")
    assert judgement.before.commit == COMMIT["id"]
    write_judgement(judgement, tmp_path / "out", {})
    assert read_judgement(tmp_path / "out").exit_code == judgement.exit_code
    assert "a-host" not in (tmp_path / "out" / "judgement.json").read_text()


def test_what_drifts_or_is_shown_alone_is_compared(tmp_path):
    machine = MACHINE | {"release": "6.2", "cpu": MACHINE["cpu"] | {"hz_actual": [1, 0]}}
    judgement = judged(stored(tmp_path / "base"), write(tmp_path / "new.json", benchmark(data=[1e-3]), machine=machine))
    assert judgement.exit_code == 0
    assert judgement.differences == {"release": ["6.1", "6.2"]}


def test_hosts_of_one_model_are_draws_where_they_are_enough(tmp_path):
    for host in HOSTS:
        stored(tmp_path / "base" / host, machine=MACHINE | {"node": host})
    new = write(tmp_path / "new.json", benchmark(data=[1e-3]))
    # Copies of each other count once, so that one host is left.
    assert only(judged(tmp_path / "base", new)).outcome is Outcome.INCOMPARABLE
    for index, host in enumerate(HOSTS):
        times_s = [(1 + (index + run / 7) / 2000) * 1e-3 for run in range(3)]
        stored(tmp_path / "many" / host, times_s=times_s, machine=MACHINE | {"node": host})
    verdict = only(judged(tmp_path / "many", new))
    assert (verdict.outcome, verdict.launches) == (Outcome.SAME, len(HOSTS))


def test_older_files_of_another_python_are_left_out_and_said(tmp_path):
    stored(tmp_path / "base" / "new")
    stored(tmp_path / "base" / "old", times_s=[9e-3, 8e-3], machine=MACHINE | {"python_version": "3.9.1"})
    judgement = judged(tmp_path / "base", write(tmp_path / "new.json", benchmark(data=[1e-3])))
    assert only(judgement).outcome is Outcome.SAME
    assert judgement.warnings == [
        "2 of 7 stored files are left out: they come from another machine or Python than the candidate"
    ]


def test_a_benchmark_that_is_gone_is_missing_and_one_more_is_new(tmp_path):
    base = stored(tmp_path / "base", names=["t.py::test_a", "t.py::test_b"])
    new = write(tmp_path / "new.json", benchmark(data=[1e-3]), benchmark("t.py::test_c"))
    judgement = judged(base, new)
    assert {verdict.case: verdict.outcome for verdict in judgement.verdicts} == {
        "t.py::test_a": Outcome.SAME,
        "t.py::test_b": Outcome.MISSING,
        "t.py::test_c": Outcome.NEW,
    }
    assert judgement.exit_code == 4


def test_several_files_of_a_candidate_are_repeats_of_one_machine(tmp_path):
    base = stored(tmp_path / "base")
    files = [write(tmp_path / f"{index}.json", benchmark(data=[(1 + index / 1e3) * 1e-3])) for index in range(3)]
    assert only(judged(base, files)).after == pytest.approx(1.001e-3)
    files += [write(tmp_path / "4.json", benchmark(), machine=MACHINE | {"node": "another"})]
    assert only(judged(base, files)).outcome is Outcome.INCOMPARABLE


@pytest.mark.parametrize("value", [0, -1e-3, 1e-11, 1e8, True, "1e-3", None, [1.0]])
@pytest.mark.parametrize("side", ["base", "new"])
def test_a_time_that_is_none_is_broken(tmp_path, value, side):
    base, new = stored(tmp_path / "base"), write(tmp_path / "new.json", benchmark(data=[1e-3]))
    bad = benchmark(data=[1e-3, value, 1e-3])
    write(new if side == "new" else base / "Linux-CPython" / "0009_x.json", bad)
    judgement = judged(base, new)
    assert only(judgement).outcome is Outcome.BROKEN
    assert judgement.exit_code == 4


SUMMARY = benchmark(stats={"median": 1e-3, "rounds": 5})
NO_DATA = "it has no raw data, and a summary is not judged: save it with --benchmark-json, or add --benchmark-save-data"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("[]", "it is not a file of pytest-benchmark"),
        ('{"benchmarks": 3}', "it is not a file of pytest-benchmark"),
        ('{"benchmarks": [3]}', "it is not a file of pytest-benchmark"),
        (json.dumps(content(version="3.4.1")), "its version must be of pytest-benchmark 4 or 5; got '3.4.1'"),
        (json.dumps(content(version=5)), "its version must be of pytest-benchmark 4 or 5; got '5'"),
        (json.dumps(content()), "it holds no benchmark: they were disabled, skipped, or failed"),
        (json.dumps(content(SUMMARY)), NO_DATA),
        (json.dumps(content(benchmark(stats=None))), NO_DATA),
        (json.dumps(content(benchmark(), benchmark())), "'t.py::test_a' stands in it twice"),
        (json.dumps(content(benchmark(fullname=None))), "a benchmark must have a fullname"),
        (json.dumps(content(benchmark("\ud800"))), "a benchmark must have a fullname"),
        (json.dumps(content(benchmark("a" * 2001))), "a benchmark must have a fullname"),
        (json.dumps(content(benchmark(data=[float("nan")]))), "it has a number that is not finite"),
        (json.dumps(content(benchmark(data=[float("inf")]))), "it has a number that is not finite"),
        (json.dumps(content(benchmark(data=[10**30]))), "it has a whole number of more than 20 digits"),
        ("[" * 50_000, "it has too many levels"),
    ],
    ids=range(18),
)
def test_a_file_that_cannot_be_judged_by_is_broken(tmp_path, text, words):
    base, new = stored(tmp_path / "base"), tmp_path / "new.json"
    new.write_text(text, encoding="utf-8")
    judgement = judged(base, new)
    assert judgement.exit_code == 4
    assert only(judgement).reason.startswith(f"new.json: {words}")
    assert judged(new, base / "Linux-CPython" / "0000_x.json").exit_code == 4


def test_files_of_benchmarks_are_told_from_records(tmp_path):
    base = stored(tmp_path / "base")
    assert holds_benchmarks(base)
    assert holds_benchmarks(base / "Linux-CPython" / "0000_x.json")
    assert holds_benchmarks(tmp_path / "gone.json")
    (tmp_path / "records" / "run").mkdir(parents=True)
    (tmp_path / "records" / "run" / "record.json").write_text("{}")
    (tmp_path / "records" / "run" / "more.json").write_text("{}")
    assert not holds_benchmarks(tmp_path / "records")
    assert not holds_benchmarks(tmp_path / "gone")


def test_what_holds_nothing_in_common_is_broken(tmp_path, monkeypatch):
    base, new = stored(tmp_path / "base"), write(tmp_path / "new.json", benchmark("u.py::test_b"))
    (tmp_path / "empty").mkdir()
    reasons = {
        new: "no benchmark is on both sides, so nothing was judged",
        base: "baseline and candidate overlap, so runs would be compared with themselves",
        tmp_path / "empty": "empty holds no file that ends with .json",
        tmp_path / "gone.json": "gone.json: ",
    }
    for after, reason in reasons.items():
        judgement = judged(base, after)
        assert judgement.exit_code == 4
        assert any(verdict.reason.startswith(reason) for verdict in judgement.verdicts)
    for name, most, reason in (("MOST_FILES", 3, "there are 5 files, and at most 3 are read"),):
        with monkeypatch.context() as patched:
            patched.setattr(benchmark_json, name, most)
            judgement = judged(base, new)
        assert judgement.exit_code == 4
        assert any(verdict.reason.startswith(reason) for verdict in judgement.verdicts)


def test_an_acceptance_lets_a_slower_benchmark_pass(tmp_path):
    base, new = stored(tmp_path / "base"), write(tmp_path / "new.json", benchmark(data=[1.5e-3]))
    accepted, today = tmp_path / "accepted.yaml", datetime.date.today()
    expires = str(today + datetime.timedelta(days=90))
    accept(accepted, "t.py::test_a", reason="checks more", ceiling=2.0, expires=expires, today=today)
    assert only(judged(base, new, accepted=accepted)).outcome is Outcome.ACCEPTED
