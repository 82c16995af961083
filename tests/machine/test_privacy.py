"""Nothing private that lies about a run reaches its record, and nothing that was measured is changed for it."""

import getpass
import json
import platform

import pytest

from suite.machine.privacy import SHORTEST_TOKEN, scrub, scrubbed, without_paths
from suite.records.case import case_from
from suite.records.stores.store import read_record
from tests.records.factory import build, store

SECRET = "hunter2-hunter2"
OPERATOR = "_scaled_dot_product_flash_attention_for_cpu"
PREFIXES = ["", "error:", "cwd=", "-I", "-L", "'", '"', "`", "(", "[", "file://", "a//", "x,", ">", "PATH=/usr/bin:"]


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setenv("SERVICE_TOKEN", SECRET)
    monkeypatch.setattr("getpass.getuser", lambda: "someuser")
    monkeypatch.setattr("platform.node", lambda: "somehost.example")
    return f"cannot open /home/someuser/work/model.bin as someuser on {platform.node()} with {SECRET}"


def test_a_planted_path_user_and_secret_are_in_no_file_of_a_run(tmp_path, planted):
    free = dict.fromkeys(("stderr", "traceback"), planted)
    telemetry = {"failure": planted, "sources": {"nvml": {"why": planted}}, "devices": {"gpu0": {"missing": [planted]}}}
    record = build(
        reason=planted,
        provenance={"warnings": [planted], "telemetry": telemetry, **free},
        environment={"gpus_unread": {"gpu0": planted}},
    )
    (folder,) = store(tmp_path, record)
    for path in folder.iterdir():
        content = path.read_bytes()
        for private in (SECRET, "/home", "someuser", "somehost"):
            assert private.encode() not in content


def test_facts_and_settings_keep_words_that_variables_hold(tmp_path, monkeypatch):
    facts = {"operators": {"kernel": [OPERATOR, "mul"]}, "backend": "sdpa_folded", "clock": "thread_cpu"}
    around = {"cpu": "AMD EPYC 7B13", "gpus": ["NVIDIA H100 80GB HBM3"], "packages": {"torch": "2.13.0+cpu"}}
    settings = {"dtype": "bfloat16", "geometry": {"name": "deepseek-v2-lite"}, "key": "attention"}
    words = ["attention", OPERATOR, "sdpa_folded", "thread_cpu", "AMD EPYC 7B13", "NVIDIA H100 80GB HBM3", "bfloat16"]
    for number, word in enumerate([*words, "2.13.0+cpu", "deepseek-v2-lite"]):
        monkeypatch.setenv(f"CI_{number}", word)
    monkeypatch.setenv("CI_TOKEN", "attention")
    monkeypatch.setenv("DEVICE_KEY", "NVIDIA H100 80GB HBM3")
    monkeypatch.setenv("CPU_NAME", "AMD EPYC 7B13")
    monkeypatch.setattr("getpass.getuser", lambda: "sdpa_folded")
    monkeypatch.setattr("platform.node", lambda: "attention")
    (folder,) = store(tmp_path, build(provenance=facts, environment=around, settings=settings))
    record = read_record(folder)
    assert record.provenance.items() >= facts.items()
    assert record.environment.items() >= around.items()
    assert record.settings.items() >= settings.items()


def test_a_variable_that_is_no_secret_changes_no_free_text(monkeypatch):
    monkeypatch.setenv("GITHUB_HEAD_REF", "attention")
    monkeypatch.setenv("TOKENIZERS_KIND", "attention")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "attention")
    monkeypatch.setenv("CACHE_KEY", "attention")
    assert scrub("attention is all") == "attention is all"


@pytest.mark.parametrize(
    "name", ["A_TOKEN", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "DB_PASS", "MYSQL_PWD", "apikey"]
)
def test_a_variable_that_is_named_like_a_secret_is_one(name, monkeypatch):
    monkeypatch.setenv(name, "correcthorse")
    assert "correcthorse" not in scrub("with correcthorse")


@pytest.mark.parametrize(
    ("prefix", "length"), [("ghp_", 36), ("github_pat_", 40), ("hf_", 33), ("AKIA", 16), ("sk-", 24), ("glpat-", 20)]
)
def test_what_has_the_shape_of_a_token_goes_from_facts_too(prefix, length):
    token = prefix + "A1" * (length // 2) + "A" * (length % 2)
    assert scrub(f"with {token}.") == without_paths(f"with {token}.") == "with <secret>."


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("from https://me:pw@host.example/a/b.git", "from https://<secret>@host.example/a/b.git"),
        ("at ssh://alice@host.corp/home/alice/x:1", "at ssh://<user>@<host>"),
        ("see https://huggingface.co/a/b/c", "see https://huggingface.co/a/b/c"),
        ("see ssh://git@host.example/a/b", "see ssh://git@host.example/a/b"),
        ("in /home/alice and C:\\Users\\alice", "in <path> and <path>"),
    ],
)
def test_an_address_stays_and_its_password_and_a_home_go(text, clean):
    assert scrub(text) == clean


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", ["/home/alice/work/m.bin", "C:/work/alice/m.bin", r"C:\work\alice\m.bin"])
def test_a_path_goes_whatever_stands_before_it(prefix, path):
    text = scrub(f"see {prefix}{path} of 2")
    assert "<path>/m.bin of 2" in text
    assert "alice" not in text
    assert scrub(text) == text


@pytest.mark.parametrize(
    "path",
    [
        r"\\server\alice\m.bin",
        r"'\\\\server\\alice\\My Files\\m.bin'",
        r"C:\Users\alice\My Files\m.bin",
        "~/alice/m.bin",
        "~alice/work/m.bin",
        "'/home/alice/My Files/m.bin'",
        "../../alice/m.bin",
        "file://localhost/home/alice/m.bin",
    ],
)
def test_paths_of_other_kinds_go_too(path):
    text = scrub(f"cannot open {path}")
    assert "m.bin" in text
    for part in ("alice", "My", "server"):
        assert part not in text


@pytest.mark.parametrize(
    "text",
    [
        "12 FLOP/s, 3 B/s, n/a, 1/2",
        "about ~1/2 of it",
        "deepseek-ai/DeepSeek-V3@9b4e978:inference/configs/config_16B.json",
        "aten::add",
        "hydra.searchpath=[file://conf]",
        "c = 4d, d_r = d/2",
        "Intel(R) Xeon(R) Processor @ 2.80GHz",
    ],
)
def test_units_ratios_and_names_are_no_paths(text):
    assert scrub(text) == without_paths(text) == text


@pytest.mark.parametrize("part", ["/", "/a", "\\a", "~/", "../", "C:\\ a", " -I/", "'/a b", "eyJaaaaaaaa.", "a://b:"])
def test_a_long_text_is_read_once(part):
    scrub("z " + part * 5_000)  # minutes, where each sign is looked at again from each


def test_a_secret_that_holds_another_is_replaced_whole(planted, monkeypatch):
    monkeypatch.setenv("A_TOKEN", SECRET[:8])
    assert scrub(f"with {SECRET}") == "with <SERVICE_TOKEN>"


def test_names_that_anybody_has_stay(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    monkeypatch.setattr("platform.node", lambda: "localhost")
    assert scrub("the root mean square on localhost") == "the root mean square on localhost"


@pytest.mark.parametrize(
    "place",
    ["/home/alice/my models/tiny", "../alice/tiny", "alice/tiny", "~/alice/tiny", r"C:\alice\tiny", r"..\alice\tiny"],
)
def test_a_model_folder_leaves_its_last_part_in_record_and_id(place, tmp_path):
    settings = {
        "workload": {"name": "compress", "axes": ["checkpoint"]},
        "checkpoint": place,
        "policy": {"checkpoint": place},
        "recipe": {"teacher": {"policy": {"checkpoint": place}}},
    }
    case = case_from(settings, chosen={}, named=["policy.checkpoint"])
    assert case.id == "workload=compress checkpoint=<path>/tiny policy.checkpoint=<path>/tiny"
    (folder,) = store(tmp_path, build(settings=settings))
    written = (folder / "record.json").read_text()
    assert "alice" not in written
    assert json.loads(written)["settings"]["recipe"]["teacher"]["policy"]["checkpoint"] == "<path>/tiny"


def test_a_path_loses_its_place_and_a_name_with_a_slash_not():
    settings = {"file": "../alice/x", "roots": ["/srv/alice/a", "~/alice/b"], "source": "deepseek-ai/DeepSeek-V2"}
    assert scrubbed(settings) == {"file": "<path>/x", "roots": ["<path>/a", "<path>/b"], "source": settings["source"]}


def test_texts_of_another_machine_keep_words_named_here(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "bench")
    monkeypatch.setattr("platform.node", lambda: "pytorch")
    said = {"reason": "pytorch has no bench", "warnings": ["pytorch"]}
    assert scrubbed(said, is_ours=False) == said
    assert scrubbed(said)["reason"] == "<host> has no <user>"
    assert getpass.getuser() in said["reason"]


def test_the_shortest_token_is_found():
    token = "xoxb-" + "7" * (SHORTEST_TOKEN - 5)
    assert without_paths(token) == "<secret>"
