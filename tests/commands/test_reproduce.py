"""The sweeps that are run again: what they take by the reference records, and how they follow one another."""

import itertools

import pytest
import yaml

from suite.commands import demo as module
from suite.commands.demo import RESULTS_AGAIN, reproduce, sweep_arguments
from suite.configuration.files import choices, read_yaml
from suite.records.case import value_under
from suite.report.answers.claims import sweeps_again
from suite.run.compose.arguments import override_key, parse_overrides
from suite.run.compose.composer import checked_parts
from tests.records.factory import REFERENCE, committed

FOLDERS = {
    "evolution": "cpu/evolution",
    "feedback": "cpu_rl_feedback",
    "compress": "cpu/compress",
    "quality": "cpu/quality",
    "recipes": "cpu/recipes",
    "rl_curves": "cpu/rl_curves",
}
"""Where the reference records of seeded sweeps lie; each ran on two workers."""
MOST_MINUTES, WORKERS = 110, 2
CASES = {"evolution": 15, "feedback": 60, "compress": 8, "quality": 85, "recipes": 270, "rl_curves": 60}
OF_THE_COMMAND = ("parts", "leave_out")
NOT_AGAIN = {"updates": "4800", "recipe.rpo_alpha": "0", "num_generations": "11"}
"""Values of arms that no part names."""
QUIET_SEEDS = {"rl_curves": 4}
"""The seed whose cases stand for all where the others ran beside other work."""
NAMED_BY_A_PART = {"scale_rewards", "task.digits"}
"""Settings that make another case of one that does not name them."""
NEVER_NULL = ("format_weight", "format_reward")
"""Each of the two is null where the other says how the format is paid."""


def headline_values(text):
    """What an override may be, as text: `0,1` is two values."""
    return {part.strip() for part in str(text).lower().split(",")}


def axes_of(sweep):
    """What `only` and the sweep's own file leave: alternatives, each a mapping from setting to its values as text."""
    own = read_yaml(f"sweep/{sweep['sweep']}.yaml")
    typed = dict(override.split("=", 1) for override in sweep.get("only", ()))
    parts = yaml.safe_load(typed["parts"]) if "parts" in typed else own.get("parts", [{}])
    swept = {**own["hydra"]["sweeper"].get("params", {})} if "sweeper" in own["hydra"] else {}
    plain = {key: value for key, value in typed.items() if key not in OF_THE_COMMAND}
    return [{key: headline_values(value) for key, value in {**swept, **part, **plain}.items()} for part in parts]


def setting(record, name):
    case = record["case"]
    given = {**case["axes"], **case["extras"]}
    value = given[name] if name in given else value_under(record["settings"], name)
    return "null" if value is None else str(value).lower()


def is_chosen(record, alternatives):
    """Tell whether a record is one of the cases; a setting that does not apply, or had another name then, is null."""

    def agrees(key, values):
        return setting(record, key) in (values if key in NEVER_NULL else {*values, "null"})

    if any(setting(record, key) == value for key, value in NOT_AGAIN.items()):
        return False
    named = NAMED_BY_A_PART & set(record["case"]["extras"])
    return any(named <= one.keys() and all(agrees(*wanted) for wanted in one.items()) for one in alternatives)


@pytest.fixture(scope="module")
def durations():
    """Seed and seconds of each reference record that a seeded sweep would run again."""
    chosen = {sweep["sweep"]: axes_of(sweep) for sweep in sweeps_again() if sweep["sweep"] in FOLDERS}
    names = {REFERENCE / folder: name for name, folder in FOLDERS.items()}
    found = {name: [] for name in chosen}
    for run, record in committed():
        name = next((name for folder, name in names.items() if folder in run.parents), None)
        if name in chosen and is_chosen(record, chosen[name]):
            found[name].append((record["case"]["axes"].get("seed"), record["provenance"]["duration_s"]))
    return found


@pytest.mark.skipif(not REFERENCE.exists(), reason="the records are a part of a checkout alone")
def test_minutes_are_what_the_reference_records_took(durations):
    told = {sweep["sweep"]: sweep["minutes"] for sweep in sweeps_again()}
    for name, cases in durations.items():
        seeds = {seed for seed, _ in cases}
        quiet = {QUIET_SEEDS[name]} if name in QUIET_SEEDS else seeds
        seconds = sum(seconds for seed, seconds in cases if seed in quiet) * len(seeds) / len(quiet)
        assert told[name] == pytest.approx(seconds / WORKERS / 60, abs=1), (name, len(cases))


@pytest.mark.skipif(not REFERENCE.exists(), reason="the records are a part of a checkout alone")
def test_every_case_of_the_seeded_sweeps_has_a_reference(durations):
    assert {name: len(cases) for name, cases in durations.items()} == CASES


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

    def __call__(self, arguments, *, several):
        self.told.append(arguments)
        several.ended(60.0)
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
