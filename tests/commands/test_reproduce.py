"""The sweeps that are run again: what they take by the reference records, and how they follow one another."""

import itertools
from statistics import mean

import pytest

from suite.commands import demo as module
from suite.commands.demo import RESULTS_AGAIN, reproduce, sweep_arguments
from suite.configuration.files import choices, read_yaml
from suite.report.answers.claims import sweeps_again
from suite.run.compose.arguments import override_key, parse_overrides
from suite.run.compose.composer import checked_parts, compose
from suite.run.compose.point import is_left_out
from suite.run.job import job_of
from tests.records.factory import REFERENCE, committed

CASES = {"evolution": 15, "feedback": 60, "compress": 8, "quality": 85, "recipes": 270, "rl_curves": 60}
"""Of each seeded sweep; the reference ran them on two workers."""
MOST_MINUTES, WORKERS = 110, 2
QUIET_SEED = {"rl_curves": 4}
"""The seed that stands for all where the others ran beside other work."""


def without_nulls(case_id):
    """Of older records the ids do not name every setting that does not apply."""
    return " ".join(part for part in case_id.split() if not part.endswith("=null"))


@pytest.mark.skipif(not REFERENCE.exists(), reason="the records are a part of a checkout alone")
@pytest.mark.parametrize("name", CASES)
def test_minutes_are_what_the_reference_records_took(name):
    (sweep,) = [each for each in sweeps_again() if each["sweep"] == name]
    points = [job_of(point).case for point in compose(sweep_arguments(sweep)) if not is_left_out(point)]
    seeds = {without_nulls(case.id): case.axes.get("seed") for case in points}
    assert len(seeds) == CASES[name]
    timed = {case_id for case_id, seed in seeds.items() if seed == QUIET_SEED.get(name, seed)}
    records = [record for _, record in committed() if without_nulls(record["case"]["id"]) in timed]
    mean_s = mean(record["provenance"]["duration_s"] for record in records)
    assert sweep["minutes"] == pytest.approx(mean_s * len(seeds) / WORKERS / 60, abs=1)


def test_the_whole_stays_within_its_time():
    assert sum(sweep["minutes"] for sweep in sweeps_again()) <= MOST_MINUTES
    assert {sweep["sweep"] for sweep in sweeps_again()} <= set(choices("sweep"))


def test_every_claim_of_a_sweep_has_one_that_runs_again():
    again = {sweep["sweep"] for sweep in sweeps_again()}
    for claim in read_yaml("claims.yaml")["claims"]:
        is_measured = "sweeps" in claim and claim.get("evidence") != "forms"  # closed forms need no run
        assert not is_measured or again & set(claim["sweeps"]), claim["id"]


@pytest.mark.parametrize("sweep", sweeps_again(), ids=lambda sweep: sweep["sweep"])
def test_hydra_reads_what_narrows_a_sweep(sweep):
    written = {override_key(override): override.value() for override in parse_overrides(sweep_arguments(sweep))}
    assert written["sweep"] == sweep["sweep"]
    if "parts" in written:
        assert checked_parts(written["parts"])


class Runs:
    """Stands in for `suite run`: returns each code in its turn, and keeps what it was told."""

    def __init__(self, *codes):
        self.codes, self.told = itertools.chain(codes, itertools.repeat(0)), []

    def __call__(self, arguments):
        self.told.append(arguments)
        return next(self.codes)


@pytest.fixture
def runs(monkeypatch, tmp_path):
    def stand_in(*codes):
        found = Runs(*codes)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(module, "run", found)
        monkeypatch.setattr(module, "report", lambda folders, labels, out, read: (out, 0))
        RESULTS_AGAIN.mkdir(parents=True)
        return found

    return stand_in


def test_sweeps_run_in_their_order_with_the_time_of_all_said(runs, capsys):
    found = runs()
    assert reproduce() == 0
    assert found.told == [sweep_arguments(sweep, RESULTS_AGAIN) for sweep in sweeps_again()]
    first, *said = capsys.readouterr().out.splitlines()
    assert f"about {sum(sweep['minutes'] for sweep in sweeps_again())} minutes on two cores" in first
    assert "sweep 2 of 12: sweep=attention, about 5 min 0 s" in said
    assert said[-1] == "page: reports/reproduce.html"


def test_an_interruption_ends_the_whole_and_says_how_to_go_on(runs, capsys):
    found = runs(0, 130)
    assert reproduce(again=True) == 130
    assert len(found.told) == 2
    assert all("resume=false" in arguments for arguments in found.told)
    assert "Interrupted. The same command continues" in capsys.readouterr().out


def test_a_bad_sweep_does_not_end_the_others(runs):
    found = runs(3, 1)
    assert reproduce() == 1
    assert len(found.told) == len(sweeps_again())
