"""Where cases run is a setting of the command: it is in no case, and changes no key."""

import importlib.util
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from threading import Event

import pytest

from suite.commands.run import main
from suite.machine.installation import install_command
from suite.records.record import OVERRIDES, Status
from suite.records.stores.store import read_contents
from suite.run.compose.composer import compose
from suite.run.job import job_of
from suite.run.launchers.launcher import LocalLauncher, SlotLostError, chosen_launcher, own_modules
from suite.run.launchers.ray import hold_case
from suite.run.scheduler import execute
from tests.commands.test_run import PROJECTED, SMALL
from tests.run.listeners import Told
from tests.run.test_side_by_side import jobs_of

RAY = ("launcher=ray", "launcher.address=10.11.12.13:6379", "launcher.timeout_s=5")


def points(*arguments):
    return compose(["-m", *SMALL, *arguments])


def test_a_launcher_is_in_no_case_and_in_no_key():
    (here,), (there,) = points(), points(*RAY)
    ours, theirs = job_of(here), job_of(there)
    assert (theirs.case, theirs.settings, theirs.run_key) == (ours.case, ours.settings, ours.run_key)
    assert "launcher" not in ours.settings
    assert list(theirs.overrides) == list(ours.overrides)


def test_engine_is_another_name_of_the_launcher():
    (point,) = points("engine=ray", "engine.retries=0")
    assert point.chosen["launcher"] == "ray"
    assert point.settings["launcher"]["retries"] == 0
    (point,) = compose(["-m", "workload=rl_memory", "engine=copy", "engine=local"])
    assert (point.settings["engine"], point.chosen["launcher"]) == ("copy", "local")


def test_by_default_cases_run_here():
    launcher = chosen_launcher(points())
    assert isinstance(launcher, LocalLauncher)
    assert launcher.workers == 1


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed here")
def test_without_ray_a_sentence_names_the_command(capsys):
    assert main([*SMALL, "engine=ray"]) == 2
    assert capsys.readouterr().err.strip() == (
        f"suite run: launcher=ray needs the package ray, which is not installed here: {install_command('ray')}"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["launcher=nowhere"], "launcher must be one of local, ray; got 'nowhere'"),
        (["engine=rey"], "it is a setting of workload=rl_memory, and a launcher is local or ray"),
        (
            ["launcher.retries=1"],
            "there is no setting 'launcher.retries' of this launcher; it is a setting of launcher=ray",
        ),
        (["-m", "launcher=local,ray"], "launcher must be one option for the whole sweep; got local, ray"),
        (
            ["-m", "launcher=ray", "launcher.timeout_s=1,2"],
            "launcher.timeout_s must be one value for the whole sweep; got 1, 2",
        ),
    ],
)
def test_a_wrong_launcher_is_refused_in_a_sentence(arguments, words, capsys):
    assert main([*arguments, *SMALL]) == 2
    assert words in capsys.readouterr().err


def test_workers_load_the_suites_own_code_before_they_fork():
    timed = own_modules(jobs_of(*SMALL, "attention=gqa,mla", "backend=auto,eager"))
    attention = ("attention.backends.auto", "attention.backends.eager", "attention.grouped", "attention.latent")
    assert timed == ["numpy.ma", *(f"suite.{name}" for name in (*attention, "attention.workload"))]
    (job,) = jobs_of("workload=rl", "algorithm=ppo")
    trained = set(own_modules([job]))
    assert {"torch._dynamo", "suite.rl.estimators.gae", "suite.rl.policy_losses.vanilla"} <= trained
    foreign = {**job.settings, "attention": {"_target_": "misbehaving.Behaving"}}
    assert trained - set(own_modules([replace(job, settings=foreign)])) == {"suite.attention.grouped"}


class Losing(LocalLauncher):
    """Two slots, of which the first is lost with the case that it takes, and the second begins after that. `stays`: the
    second is not lost as well."""

    def __init__(self, *, stays):
        super().__init__(workers=2)
        self.stays = stays

    @contextmanager
    def slots(self, jobs, state):
        lost = Event()
        with super().slots(jobs, state) as (first, second):
            yield [Lost(first, lost), After(second, lost) if self.stays else Lost(second, lost)]


class Lost:
    """A slot whose machine goes while its first case runs."""

    def __init__(self, slot, lost):
        self.slot, self.lost, self.is_lost = slot, lost, False

    def __getattr__(self, name):
        return getattr(self.slot, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def is_ready(self, is_over):
        return not self.is_lost

    def measure(self, job, folder):
        self.is_lost = True
        self.lost.set()
        raise SlotLostError("its node was lost")


class After(Lost):
    """A slot that begins when the other one is lost."""

    def is_ready(self, is_over):
        return self.lost.wait(60)

    def measure(self, job, folder):
        return self.slot.measure(job, folder)


class Only(LocalLauncher):
    """One slot, of a kind."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    @contextmanager
    def slots(self, jobs, state):
        with super().slots(jobs, state) as (slot,):
            yield [self.kind(slot, Event())]


class NotFirst(Lost):
    """A slot whose cases another machine runs into the same folder."""

    def is_first(self, job, parent, held):
        return False


class Overtaken(Lost):
    """A slot whose cases another command records between the look for their records and the claims. `into`: the place
    of both, if it is no folder."""

    into = None

    def is_first(self, job, parent, held):
        return bool(execute([job], folder=self.into or parent, resume=True, listener=Told()).records)


def run(folder, launcher):
    told = Told()
    jobs = jobs_of(*PROJECTED, "seq_len=64,128,256,512")
    outcome = execute(jobs, folder=folder, resume=True, listener=told, launcher=launcher)
    contents = read_contents([folder])
    assert (contents.damaged, contents.unfinished) == ([], [])
    return outcome, [stored.record for stored in contents.stored], told


def test_a_case_whose_slot_was_lost_runs_in_another(tmp_path):
    outcome, records, told = run(tmp_path, Losing(stays=True))
    assert (outcome.exit_code(is_sweep=True), outcome.left) == (0, 0)
    assert sorted(record.case.axes["seq_len"] for record in records) == [64, 128, 256, 512]
    assert {record.status for record in records} == {Status.OK}
    (notice,) = [text for name, text in told.calls if name == "notice"]
    assert notice.startswith("its node was lost; run again: workload=projection")
    assert all((folder / OVERRIDES).is_file() for folder in tmp_path.iterdir() if folder.name[0] != ".")


def test_what_no_slot_is_left_for_is_not_done_and_resumes(tmp_path):
    outcome, records, _ = run(tmp_path, Losing(stays=False))
    assert (outcome.exit_code(is_sweep=True), outcome.left, records) == (3, 4, [])
    outcome, records, _ = run(tmp_path, LocalLauncher())
    assert (outcome.exit_code(is_sweep=True), len(records)) == (0, 4)


def test_a_case_that_another_machine_runs_is_left_to_it(tmp_path):
    outcome, records, told = run(tmp_path, Only(NotFirst))
    assert (outcome.exit_code(is_sweep=True), records) == (0, [])
    assert [name for name, _ in told.calls] == ["elsewhere"] * 4


def test_a_case_recorded_just_before_its_claim_is_not_run(tmp_path):
    outcome, records, told = run(tmp_path, Only(Overtaken))
    assert (outcome.exit_code(is_sweep=True), len(records)) == (0, 4)
    assert [name for name, _ in told.calls] == ["by another"] * 4


def test_a_case_is_held_by_one_process_whatever_its_machine(tmp_path):
    (job,) = jobs_of(*PROJECTED, "seq_len=64")
    with ExitStack() as first, ExitStack() as second:
        assert hold_case(job, tmp_path, first)
        assert not hold_case(job, tmp_path, second)
    assert not (tmp_path / ".claims").exists()
    with ExitStack() as third:
        assert hold_case(job, tmp_path, third)
