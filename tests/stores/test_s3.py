"""Sweeps in a bucket of a server that answers as S3 does: killed and resumed, side by side, reported and judged."""

import json
import os
import re
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from suite.records.stores import folder
from suite.records.stores.claim import NAME_LENGTH
from suite.records.stores.folder import StoreFolder
from suite.records.stores.objects import ObjectStore, open_store
from tests.records.factory import build, store
from tests.stores.conftest import SECRET

SWEEP = (
    *("run", "-m", "geometry=tiny", "measure=smoke", "telemetry=off"),
    *("attention=mha,gqa,mla", "seq_len=64,96", "phase=decode"),
)
CASES = 6
RUN_FILES, MARKS = {"record.json", "samples.parquet", "overrides.yaml"}, {"claim-1", "writer"}
STEPS = ("measure.min_steps=6000", "measure.max_steps=6000", "measure.max_seconds=60")
"""Some seconds of measuring, in which another process comes upon the case."""
RUN_KEY = build().run_key
KEY = RUN_KEY[:NAME_LENGTH]


def objects_in(bucket):
    name, client = bucket
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=name)
    return [found["Key"] for page in pages for found in page.get("Contents", ())]


def content_of(bucket, key):
    name, client = bucket
    return client.get_object(Bucket=name, Key=key)["Body"].read()


def records_in(bucket):
    return {key: json.loads(content_of(bucket, key)) for key in objects_in(bucket) if key.endswith("/record.json")}


def each_case_once(bucket, *, marks=frozenset()):
    """Tell that every case has one record that is ok, and that nothing but whole runs and marks beside them is left."""
    counts = Counter(record["case"]["id"] for record in records_in(bucket).values() if record["status"] == "ok")
    assert len(counts) == CASES
    assert set(counts.values()) == {1}
    names = objects_in(bucket)
    assert len({name.split("/")[1] for name in names}) == CASES
    assert {name.rpartition("/")[2] for name in names} - marks == RUN_FILES


def on_third(what, act):
    """Return what acts ahead of the third request that begins and ends so."""
    left, (method, name) = iter([False, False, True]), what.split()

    def before(request):
        if request.startswith(method) and request.endswith(name) and next(left, False):
            act()

    return before


@pytest.mark.parametrize("killed_at", ["PUT samples.parquet", "PUT record.json", "DELETE writer", "DELETE claim-1"])
def test_a_killed_sweep_is_resumed_and_nothing_is_lost(killed_at, suite, bucket, server):
    url = f"s3://{bucket[0]}/sweep"
    killed = suite(*SWEEP, f"hydra.sweep.dir={url}")
    server.before = on_third(killed_at, lambda: os.killpg(killed.pid, signal.SIGKILL))
    assert killed.wait() == -signal.SIGKILL
    before = {key: content_of(bucket, key) for key in records_in(bucket)}
    assert 2 <= len(before) < CASES

    code, said = suite(*SWEEP, f"hydra.sweep.dir={url}").ended()
    assert code == 0, said
    assert "were recorded before" in said
    assert said.splitlines()[-1] == f"records: {url}"
    each_case_once(bucket, marks=MARKS)
    assert {key: content_of(bucket, key) for key in before} == before
    code, said = suite("results", "verify", url).ended()
    assert (code, said.splitlines()[-1].partition(" with ")[0]) == (0, f"{CASES} runs")


def test_what_was_measured_outlives_a_cut_network(suite, bucket, server):
    url = f"s3://{bucket[0]}/sweep"
    cut = suite(*SWEEP, f"hydra.sweep.dir={url}")
    is_cut = Event()
    server.before = on_third("PUT writer", is_cut.set)
    assert is_cut.wait(240)
    server.close()
    try:
        code, said = cut.ended()
    finally:
        server.open()
    assert code == 4
    assert said.splitlines()[-1].startswith(f"suite run: cannot write the results: {url} cannot be ")
    assert said.splitlines()[-1].endswith("; the record is kept on this machine, and the same command puts it there")
    code, said = suite(*SWEEP, f"hydra.sweep.dir={url}").ended()
    assert code == 0, said
    assert f"3 of {CASES} cases were recorded before" in said
    each_case_once(bucket, marks=MARKS)


def test_a_sweep_is_reported_and_compared_there(suite, bucket, server, tmp_path):
    url, before = f"s3://{bucket[0]}/sweep", f"s3://{bucket[0]}/before"
    code, said = suite(*SWEEP, f"hydra.sweep.dir={url}").ended()
    assert code == 0, said
    each_case_once(bucket)
    for arguments in (
        ("results", "merge", url, "--into", before),
        ("report", "--results", url, "--results", before, "--out", str(tmp_path / "page.html")),
        ("report", "--results", url, "--results", before, "--format", "markdown", "--out", str(tmp_path / "page.md")),
        ("compare", url, "--by", "attention"),
    ):
        code, said = suite(*arguments).ended()
        assert code == 0, said
    assert {"sweep", "before"} <= set(re.findall(r"\w+", (tmp_path / "page.md").read_text()))
    assert "</html>" in (tmp_path / "page.html").read_text()
    server.asked.clear()
    code, said = suite("results", "list", url).ended()
    assert (code, server.asked) == (0, [f"GET /{bucket[0]}"])
    assert not (tmp_path / "work" / "s3:").exists()
    everything = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in everything if SECRET.encode() in path.read_bytes()]


def test_two_machines_share_a_sweep_and_run_each_case_once(suite, bucket):
    url = f"s3://{bucket[0]}/sweep"
    both = [suite(*SWEEP, f"hydra.sweep.dir={url}", cache=name) for name in ("one", "two")]
    for process in both:
        code, said = process.ended()
        assert code == 0, said
    each_case_once(bucket)


def test_the_loser_of_two_writers_says_so(suite, bucket):
    url = f"s3://{bucket[0]}/sweep"
    case = ("geometry=tiny", "measure=smoke", "telemetry=off", "attention=mha", *STEPS)
    both = [suite("run", *case, f"hydra.run.dir={url}", cache=name) for name in ("one", "two")]
    codes, said = zip(*(process.ended() for process in both), strict=True)
    assert sorted(codes) == [0, 3], said  # 3: a case of it did not run here
    loser = said[codes.index(3)]
    assert len(records_in(bucket)) == 1
    assert "another process is running " in loser


def machines(url, number):
    """The same objects as that many machines see them, which share no folder."""
    opened = open_store(url)
    of_each = [ObjectStore(url=f"{url}-{one}", files=open_store(url).files, root=opened.root) for one in range(number)]
    return [StoreFolder(store=one) for one in of_each]


def take(url):
    """Claim one case from eight machines at once; return the claims that were won."""
    with ThreadPoolExecutor(8) as threads:
        return list(filter(None, threads.map(lambda one: one.claim(RUN_KEY), machines(url, 8))))


def test_one_of_many_claims_a_case_and_one_a_stale_claim(bucket, monkeypatch):
    url = f"s3://{bucket[0]}/sweep"
    (first,) = take(url)
    assert first.claimed.claim == f"{KEY}/claim-1"
    assert take(url) == []
    monkeypatch.setattr(folder, "STALE_AFTER_S", 3.0)
    time.sleep(4)
    (second,) = take(url)
    assert second.claimed.claim == f"{KEY}/claim-2"


def test_of_many_writers_at_once_one_creates_an_object(bucket):
    url = f"s3://{bucket[0]}/sweep"
    opened = open_store(url)
    opened.check_create()
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda number: opened.create("claim-1", f"{number}".encode()), range(8)))
    assert won.count(True) == 1
    assert content_of(bucket, "sweep/claim-1") == f"{won.index(True)}".encode()


def test_two_writers_on_one_case_are_both_kept_whole(bucket, tmp_path):
    url = f"s3://{bucket[0]}/sweep"
    runs = [
        store(tmp_path / name, build(provenance={"started_at": f"2026-03-0{day}T10:00:00+00:00"}))[0]
        for day, name in enumerate(("one", "two"), start=1)
    ]
    with ThreadPoolExecutor(2) as threads:
        names = list(threads.map(lambda run: StoreFolder(store=open_store(url)).put_run(run, run.name), runs))
    assert sorted(names) == [KEY, f"{KEY}-2"]
    for name, run in zip(names, runs, strict=True):
        for file in ("record.json", "samples.parquet"):
            assert content_of(bucket, f"sweep/{name}/{file}") == (run / file).read_bytes()
    assert len(objects_in(bucket)) == 4


ONE = ("run", "workload=projection", "attention=mha", "dtype=bfloat16", "hardware=h20-96gb")


def test_a_bucket_that_is_not_there_is_named(suite, bucket):
    code, said = suite(*ONE, "hydra.run.dir=s3://no-such-bucket/sweep").ended()
    assert code == 2
    assert said.endswith("\nsuite: results must go into a bucket that exists; got 's3://no-such-bucket/sweep'\n")
    code, said = suite("results", "list", "s3://no-such-bucket/sweep").ended()
    assert code == 2
    assert said == "suite: results must be folders that exist; got 's3://no-such-bucket/sweep'\n"


def test_a_bucket_that_may_only_be_read_is_said_so(suite, bucket):
    name, client = bucket
    forbidden = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{name}/*"}
    client.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [forbidden]}))
    code, said = suite(*ONE, f"hydra.run.dir=s3://{name}/sweep").ended()
    assert (code, objects_in(bucket)) == (4, [])
    assert said.endswith(f"\nsuite run: cannot write the results: s3://{name}/sweep cannot be written: Forbidden\n")


def test_without_a_server_or_credentials_a_sentence_says_so(suite, bucket, monkeypatch):
    url = f"s3://{bucket[0]}/sweep"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, said = suite("results", "list", url).ended()
    assert code == 4
    assert said.startswith(f"suite: {url} cannot be listed: ")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    code, said = suite("results", "list", url).ended()
    assert code == 4
    assert said == f"suite: {url} cannot be listed: NoCredentialsError: Unable to locate credentials\n"
