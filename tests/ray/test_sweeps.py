"""Sweeps on a real cluster of two nodes, both on this machine: what is lost, ended, shared and resumed."""

import os
import signal
import subprocess
import time
from collections import Counter

import pytest

from suite.machine.environment import machine_id
from suite.records.record import Status
from suite.records.stores.store import read_contents
from tests.ray.cluster import TOKEN, environment, forks, ray_nodes, started, sweep

MANY, FEWER = "seq_len=range(20,44)", "seq_len=range(20,34)"


@pytest.fixture(scope="module")
def cluster():
    with ray_nodes(cpus=2) as nodes:  # in name
        yield nodes


def on(cluster, *, workers=2):
    return ("engine=ray", f"engine.address={cluster.address}", f"workers={workers}")


def run(folder, *arguments):
    ended = subprocess.run(
        sweep(folder, *arguments), capture_output=True, text=True, check=False, env=environment(), timeout=300
    )
    return ended.returncode, ended.stdout + ended.stderr, records_in(folder)


def records_in(folder):
    contents = read_contents([folder])
    assert (contents.damaged, contents.unfinished) == ([], [])
    return [stored.record for stored in contents.stored]


def wait_until(is_so, *, within_s=120):
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def test_a_sweep_loses_nothing_when_a_node_is_killed_midway(tmp_path):
    with ray_nodes() as cluster:
        process = started(tmp_path, MANY, *on(cluster))
        wait_until(lambda: len(read_contents([tmp_path]).stored) >= 8)
        cluster.other.kill()
        said, _ = process.communicate(timeout=240)
        before = len(records_in(tmp_path))
        assert process.returncode == 0, said
    records = records_in(tmp_path)
    assert Counter(record.case.axes["seq_len"] for record in records) == Counter(range(20, 44))
    assert {record.status for record in records} == {Status.OK}
    assert before == 24
    assert "ray: 2 workers on 2 nodes" in said
    assert "its worker or its node was lost; run again: workload=waiting" in said
    assert "raylet" not in said


def test_records_come_back_with_the_facts_of_their_machine(cluster, tmp_path):
    code, said, records = run(tmp_path, "seq_len=1,2,3,4", *on(cluster))
    assert code == 0, said
    assert len(records) == 4
    assert "asks for no token" not in said
    for record in records:
        assert record.environment["machine_id"] == machine_id()
        assert record.provenance["launcher"] == {"name": "ray", "workers": 2, "on_this_machine": 2}
        assert record.provenance["side_by_side"] == 2
        cores = record.provenance["cores"]
        assert cores["own"] or cores["why_none"]
    owned = {tuple(record.provenance["cores"]["own"]) for record in records} - {()}
    assert len(owned) <= 2
    assert not (tmp_path / ".claims").exists()


def test_a_case_that_is_too_slow_fails_and_the_next_one_runs(cluster, tmp_path):
    limited = (*on(cluster, workers=1), "engine.timeout_s=20")
    code, said, records = run(tmp_path, "workload=waiting,slow", "seq_len=1", *limited)
    assert code == 1, said
    ended = {record.case.workload: (record.status, record.reason) for record in records}
    assert ended["waiting"] == (Status.OK, None)
    assert ended["slow"] == (
        Status.FAILED,
        "took longer than launcher.timeout_s=20, and its worker was ended",
    )
    wait_until(lambda: not cluster.workers() | forks(), within_s=20)


def test_another_token_is_refused_in_a_sentence(cluster, tmp_path, monkeypatch):
    monkeypatch.setitem(TOKEN, "RAY_AUTH_TOKEN", "0" * 64)
    code, said, records = run(tmp_path, "seq_len=1", *on(cluster))
    assert (code, records) == (3, [])
    assert "its token differs from this one: set RAY_AUTH_MODE=token" in said


def test_a_cluster_without_a_token_is_named_as_open(tmp_path, monkeypatch):
    monkeypatch.setitem(TOKEN, "RAY_AUTH_MODE", "disabled")
    with ray_nodes(joins=False) as cluster:
        code, said, records = run(tmp_path, "seq_len=1", *on(cluster, workers=1))
    assert (code, len(records)) == (0, 1), said
    assert said.count("the cluster asks for no token") == 1


def test_a_worker_that_dies_each_time_fails_with_the_reason(cluster, tmp_path):
    process = started(tmp_path, "workload=slow", "seq_len=1", *on(cluster, workers=1), "engine.retries=1")
    seen = set()
    for _ in range(2):
        wait_until(lambda: cluster.workers(doing="measure") - seen)
        (victim,) = cluster.workers(doing="measure") - seen
        seen.add(victim)
        os.kill(victim, signal.SIGKILL)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1, said
    (record,) = records_in(tmp_path)
    assert record.status is Status.FAILED
    assert record.reason == "its worker or its node was lost, each of the 2 times that it ran"


def test_a_command_that_was_ended_or_killed_goes_on(cluster, tmp_path):
    process = started(tmp_path, FEWER, *on(cluster))
    wait_until(lambda: len(read_contents([tmp_path]).stored) >= 4)
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    statuses = Counter(record.status for record in records_in(tmp_path))
    assert set(statuses) <= {Status.OK, Status.INTERRUPTED}
    assert statuses[Status.OK] >= 4
    wait_until(lambda: not cluster.workers() | forks(), within_s=20)

    process = started(tmp_path, FEWER, *on(cluster))
    wait_until(lambda: len(read_contents([tmp_path]).stored) >= sum(statuses.values()) + 3)
    process.kill()
    process.communicate()
    wait_until(lambda: not cluster.workers() | forks(), within_s=20)
    whole = [stored.record.case.id for stored in read_contents([tmp_path]).stored if stored.record.status == Status.OK]

    code, said, records = run(tmp_path, FEWER, *on(cluster))
    assert code == 0, said
    done = Counter(record.case.axes["seq_len"] for record in records if record.status is Status.OK)
    assert done == Counter(range(20, 34))
    assert f"{len(whole)} of 14 cases were recorded before" in said


def test_two_commands_share_one_sweep_and_double_nothing(cluster, tmp_path):
    both = [started(tmp_path, FEWER, *on(cluster, workers=1)) for _ in range(2)]
    said = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert Counter(record.case.axes["seq_len"] for record in records_in(tmp_path)) == Counter(range(20, 34))


def test_without_an_address_a_cluster_of_this_machine_is_started(tmp_path):
    code, said, records = run(tmp_path, "seq_len=1,2", "engine=ray")
    assert code == 0, said
    assert "ray: 1 worker on 1 node" in said
    assert {record.status for record in records} == {Status.OK}


@pytest.mark.parametrize(
    ("asked", "ends_with", "words"),
    [
        (["engine.address=127.0.0.1:1"], 3, "the Ray cluster launcher.address=127.0.0.1:1 cannot be joined"),
        (["spread=true"], 2, "spread must be false for launcher=ray"),
        (["device=cuda"], 3, "the Ray cluster has no room for a CPU and a GPU on one node"),
    ],
)
def test_what_cannot_be_joined_or_found_is_a_sentence(cluster, tmp_path, asked, ends_with, words):
    attention = ("workload=attention", "geometry=tiny", "seq_len=64")
    code, said, records = run(tmp_path, *attention, "engine=ray", f"engine.address={cluster.address}", *asked)
    assert (code, records) == (ends_with, [])
    assert words in said
