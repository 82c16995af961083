"""What is compared runs on one machine, whichever machines share a sweep and whichever of them is lost."""

import threading
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from itertools import combinations
from types import SimpleNamespace

from suite.records.record import Evidence, Record, Status
from suite.run.launchers.launcher import CaseSlot, SlotLostError
from suite.run.recorder import MeasuredCase
from suite.run.scheduler import execute
from tests.run.listeners import Told
from tests.run.test_side_by_side import jobs_of

VARIANTS = (
    "attention=mha,gqa,mqa,mla,gla,gta",
    "geometry=llama-3.2-1b",
    "seq_len=1024,2048,4096",
    "dtype=float32,bfloat16",
)
LONGEST_S = 60


class Nodes:
    """A launcher of one slot a machine, which answers a case at once. `lost`: the machine that is lost with the case
    after so many."""

    is_here = False

    def __init__(self, machines, lost=None):
        self.machines, self.lost, self.workers = machines, lost or {}, len(machines)
        self.ran, self.records = defaultdict(list), {}
        self.all_begin = threading.Barrier(len(machines))

    def find_cached(self, jobs, folder):
        return {job.case.id: self.records[job.case.id] for job in jobs if job.case.id in self.records}

    @contextmanager
    def slots(self, jobs, state):
        yield [Node(self, machine) for machine in self.machines]


class Node(CaseSlot):
    def __init__(self, nodes, machine):
        self.nodes, self.name, self.is_lost, self.has_begun = nodes, machine, False, False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def is_ready(self, is_over):
        if not self.has_begun:
            self.nodes.all_begin.wait(LONGEST_S)
            self.has_begun = True
        return not self.is_lost

    @property
    def machine(self):
        return self.name

    def find_cached(self, job, folder, notice=None):
        return self.nodes.records.get(job.case.id)

    def run_key(self, job):
        return job.run_key_on(self.name, "code")

    def measure(self, job, folder):
        time.sleep(0.002)
        ran = self.nodes.ran
        if len(ran[self.name]) == self.nodes.lost.get(self.name):
            self.is_lost = True
            raise SlotLostError("its node was lost")
        ran[self.name].append(job)
        record = Record(
            case=job.case,
            run_key=self.run_key(job),
            status=Status.OK,
            reason=None,
            evidence=Evidence.MEASURED,
            settings=job.settings,
            environment={"machine_id": self.name},
            provenance={},
        )
        self.nodes.records[job.case.id] = SimpleNamespace(record=record)
        return MeasuredCase(record=record)

    def interrupt(self):
        return None


def swept(nodes, jobs, folder):
    told = Told()
    outcome = execute(jobs, folder=folder, resume=True, listener=told, launcher=nodes)
    assert (outcome.exit_code(is_sweep=True), outcome.left) == (0, 0)
    machines = {id: stored.record.environment["machine_id"] for id, stored in nodes.records.items()}
    pairs = [(a, b) for a, b in combinations(jobs, 2) if a.comparison == b.comparison]
    kept = sum(machines[a.case.id] == machines[b.case.id] for a, b in pairs)
    return kept, len(pairs), [text for name, text in told.calls if name == "notice"]


def test_variants_of_a_case_are_compared_and_seeds_are_not():
    jobs = jobs_of("-m", *VARIANTS)
    assert Counter(Counter(job.comparison for job in jobs).values()) == {6: 6}
    assert (
        len({job.comparison for job in jobs_of("-m", "workload=rl", "algorithm=ppo,grpo", "lr=1e-3,2e-3", "seed=0,1")})
        == 2
    )
    assert (
        len({job.comparison for job in jobs_of("-m", "workload=projection", "hardware=l4", "attention=mha,mla")}) == 2
    )


def test_four_machines_run_each_case_once_and_keep_every_pair(tmp_path):
    jobs, nodes = jobs_of("-m", *VARIANTS), Nodes("abcd")
    kept, pairs, _ = swept(nodes, jobs, tmp_path)
    assert (kept, pairs) == (90, 90)
    assert Counter(len(cases) for cases in nodes.ran.values()).total() == 4
    assert sum(map(len, nodes.ran.values())) == len(jobs) == 36


def test_what_a_lost_machine_began_is_run_whole_by_another(tmp_path):
    jobs, nodes = jobs_of("-m", *VARIANTS), Nodes("abcd", lost={"b": 4})
    kept, pairs, notices = swept(nodes, jobs, tmp_path)
    assert (kept, pairs) == (90, 90)
    assert sum(map(len, nodes.ran.values())) == 36 + 4
    assert [notice.partition(":")[0] for notice in notices] == [
        "its node was lost; run again",
        "a machine was lost; run again, with what they are compared with",
    ]


def test_a_sweep_goes_on_where_its_comparisons_were_begun(tmp_path):
    jobs, nodes = jobs_of("-m", *VARIANTS), Nodes("ab")
    swept(nodes, jobs[:20], tmp_path)
    again = Nodes("ab")
    again.records = nodes.records
    kept, pairs, _ = swept(again, jobs, tmp_path)
    assert (kept, pairs, sum(map(len, again.ran.values()))) == (90, 90, 16)
    elsewhere = Nodes("cd")
    elsewhere.records = dict(list(nodes.records.items())[:20])
    kept, pairs, notices = swept(elsewhere, jobs, tmp_path)
    assert (kept, pairs) == (90, 90)
    assert notices
