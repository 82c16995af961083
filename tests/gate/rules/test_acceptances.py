"""The reviewed file: the regressions it lets pass; nothing in it is lost, widened or ignored."""

import datetime

import pytest
import yaml

from suite.gate.rules.acceptances import (
    Acceptance,
    CorruptAcceptancesError,
    accept,
    apply,
    apply_file,
    read_acceptances,
)
from suite.gate.verdict import Outcome, Verdict

TODAY, LAST_DAY = datetime.date(2026, 3, 1), datetime.date(2026, 6, 30)
ID = "tests/a.py::t[x-1]"


@pytest.fixture
def path(tmp_path):
    (tmp_path / "baseline").mkdir()
    return tmp_path / "baseline" / "accepted.yaml"


def add(path, case=ID, **changed):
    given = {"reason": "wider heads", "ceiling": 1.1, "expires": str(LAST_DAY), "today": TODAY} | changed
    return accept(path, case, **given)


def entry(**changed):
    given = {"case": ID, "span": "*", "metric": "*", "reason": "wider heads", "ceiling": 1.1}
    return Acceptance(**{**given, "expires": LAST_DAY, "added": TODAY} | changed)


def slower(**changed):
    given = {"case": ID, "outcome": Outcome.SLOWER, "reason": "slower by 8%", "span": "layer", "metric": "latency_s"}
    return Verdict(**{**given, "ratio": 1.08, "low": 1.06, "high": 1.2} | changed)


def outcome(verdict, *entries, today=TODAY):
    (judged,), _ = apply([verdict], entries, today)
    return judged.outcome


@pytest.mark.parametrize(
    "text",
    [
        "commas, colons: and # hashes",
        "it's \"quoted\" 'twice'",
        "two\nlines\n\n and a tab\t",
        "  spaces around ",
        "🐢 slower, 慢",
        "null",
        "\\n is no newline; \x85 \u2028 are",
        ID,
        "workload=attention seq_len=4096 cache_dtype=null",
        "*x",
        "2026-01-01",
    ],
)
def test_a_text_survives_its_file_exactly_and_matches_itself(path, text):
    written = add(path, text, reason=text)
    (read,) = read_acceptances(path, TODAY)
    assert read == written
    assert (read.case, read.reason) == (text, text)
    assert outcome(slower(case=text), read) is Outcome.ACCEPTED


def test_an_entry_of_the_same_quantity_is_replaced_in_its_place(path):
    assert read_acceptances(path, TODAY) == []
    for case in ("first", "second", "third"):
        add(path, case, expires=str(TODAY))  # on the day that it is made
    add(path, "second", reason="another", ceiling=1.5)
    add(path, "second", metric="latency_s")
    assert [(one.case, one.metric, one.reason) for one in read_acceptances(path, TODAY)] == [
        ("first", "*", "wider heads"),
        ("second", "*", "another"),
        ("third", "*", "wider heads"),
        ("second", "latency_s", "wider heads"),
    ]


def test_what_people_write_by_hand_is_read(path):
    path.write_text(
        "schema: 1\naccepted:\n- case: a.py::t[x-1]\n  span: layer\n  metric: latency_s\n  reason: why\n"
        "  ceiling: 2\n  expires: 2026-06-30\n  added: '2026-03-01'\n"
    )
    by_hand = {"case": "a.py::t[x-1]", "span": "layer", "metric": "latency_s", "reason": "why", "ceiling": 2.0}
    assert read_acceptances(path, TODAY) == [entry(**by_hand)]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        *(({"reason": reason}, "reason must be a text") for reason in ("", " \n")),
        ({"case": ""}, "case must be a text"),
        ({"span": ""}, "span must be a text"),
        ({"ceiling": 1.0}, "ceiling must be a ratio above 1 and at most 2.*got 1.0"),
        ({"ceiling": 2.01}, "at most 2, where 1.1 is 10% more; got 2.01"),
        *(
            ({"ceiling": ceiling}, f"got {ceiling!r}")
            for ceiling in (1e6, 0.05, float("inf"), float("nan"), "1.1", True)
        ),
        *(({"case": case}, "since . alone accepts everything") for case in ("*", "**", " * ")),
        ({"expires": "2027-03-03"}, "at most 366 days after it is added, 2027-03-02; got 2027-03-03"),
        ({"expires": "9999-12-31"}, "at most 366 days"),
        ({"expires": "2026-02-28"}, "expires must be today, 2026-03-01, or later; got 2026-02-28"),
        *(({"expires": day}, "YYYY-MM-DD") for day in ("20260630", "30.6.2026", "2026-02-30", "never", None)),
    ],
)
def test_what_no_entry_may_say_is_refused_and_nothing_is_written(path, changed, said):
    with pytest.raises(ValueError, match=said) as refusal:
        add(path, **changed)
    assert "\n" not in str(refusal.value)
    assert not path.exists()


GOOD = {"case": "c", "span": "*", "metric": "*", "reason": "r", "ceiling": 1.1}
GOOD |= {"expires": "2026-06-30", "added": "2026-03-01"}


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"schema": 1},
        {"schema": 2, "accepted": []},
        {"schema": True, "accepted": []},
        {"schema": 1, "accepted": {}},
        {"schema": 1, "accepted": [], "more": 1},
        {"schema": 1, "accepted": ["c"]},
        {"schema": 1, "accepted": [GOOD, GOOD]},
        {"schema": 1, "accepted": [{key: value for key, value in GOOD.items() if key != "expires"}]},
        *(
            {"schema": 1, "accepted": [GOOD | changed]}
            for changed in (
                {"expired": True},
                {"expires": "soon"},
                {"expires": datetime.datetime(2026, 6, 30, 1)},
                {"ceiling": "high"},
                {"ceiling": 1e6},
                {"reason": 7},
                {"case": "*"},
                {"expires": "9999-12-31", "added": "9999-01-01"},
            )
        ),
        b"\xff\xfe\x00",
        b"accepted: [",
        b"- [" * 5000,
    ],
)
def test_a_corrupt_file_is_never_ignored_nor_overwritten(path, content):
    path.write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content).encode())
    before = path.read_bytes()
    with pytest.raises(CorruptAcceptancesError, match=r"accepted\.yaml"):
        read_acceptances(path, TODAY)
    with pytest.raises(CorruptAcceptancesError):
        add(path)
    assert path.read_bytes() == before
    verdicts, _ = apply_file([slower()], path, TODAY)
    assert [verdict.outcome for verdict in verdicts] == [Outcome.SLOWER, Outcome.BROKEN]


@pytest.mark.parametrize(
    ("verdict", "today", "outcome", "reason", "warnings"),
    [
        ({}, TODAY, Outcome.ACCEPTED, "slower by 8%; accepted until 2026-06-30: wider heads", []),
        ({}, LAST_DAY, Outcome.ACCEPTED, "accepted until", []),
        ({"ratio": 1.1, "high": 3.0}, TODAY, Outcome.ACCEPTED, "accepted until", []),  # the estimate decides
        (
            {"ratio": 1.11},
            TODAY,
            Outcome.SLOWER,
            "1.11× (1.060 to 1.200) is above the accepted ceiling of 1.1×",
            [],
        ),
        (
            {},
            datetime.date(2026, 7, 1),
            Outcome.SLOWER,
            "expired on 2026-06-30",
            [f"the acceptance of {ID} expired on 2026-06-30"],
        ),
        (
            {"outcome": Outcome.SAME},
            TODAY,
            Outcome.SAME,
            "slower by 8%",
            [f"the acceptance of {ID} matches no regression here and can be removed"],
        ),
    ],
)
def test_a_slowdown_is_accepted_to_its_ceiling_and_last_day(verdict, today, outcome, reason, warnings):
    (judged,), told = apply([slower(**verdict)], [entry()], today)
    assert judged.outcome is outcome
    assert reason in judged.reason
    assert told == warnings


def test_an_entry_of_more_than_four_cases_accepts_none_of_them():
    cases = [slower(case=f"seq_len={number}") for number in range(5)]
    judged, warnings = apply(cases, [entry(case="seq_len=*")], TODAY)
    assert {verdict.outcome for verdict in judged} == {Outcome.SLOWER}
    assert judged[0].reason.endswith("its acceptance matches 5 cases, but may match at most 4; name the cases")
    assert warnings == ["the acceptance of seq_len=* matches 5 of 5 cases"]
    judged, warnings = apply(cases[1:], [entry(case="seq_len=*")], TODAY)
    assert {verdict.outcome for verdict in judged} == {Outcome.ACCEPTED}
    assert warnings == ["the acceptance of seq_len=* matches 4 of 4 cases"]
    same = [slower(case=f"seq_len={number}", outcome=Outcome.SAME) for number in range(1, 5)]
    (judged, *_), _ = apply([cases[0], *same], [entry(case="seq_len=*")], TODAY)
    assert judged.outcome is Outcome.SLOWER  # though only one of them is slower now


@pytest.mark.parametrize(
    ("changed", "is_meant"),
    [
        ({"case": "tests/a.py::tx"}, False),
        ({"case": "tests/a.py::t*"}, True),
        ({"case": "tests/a.py::t[x-?]"}, False),
        ({"case": "tests/a.py::t"}, False),
        ({"case": "Tests/a.py::t[x-1]"}, False),
        ({"span": "kernel"}, False),
        ({"span": "lay*"}, True),
        ({"metric": "peak_bytes"}, False),
        ({"metric": "latency_*"}, True),
        ({"metric": "missing"}, False),
    ],
)
def test_an_entry_means_what_it_says_literally_but_for_stars(changed, is_meant):
    assert outcome(slower(), entry(**changed)) is (Outcome.ACCEPTED if is_meant else Outcome.SLOWER)


@pytest.mark.parametrize(
    "changed",
    [
        {"metric": "operators", "ratio": None},
        {"metric": "peak_bytes", "ratio": None},
        {"metric": "parameter_count", "ratio": 0.9},
        {"metric": "parameter_count", "ratio": 1.05},
    ],
)
def test_a_change_without_a_ratio_is_accepted_by_name_only(changed):
    (judged,), _ = apply([slower(**changed)], [entry()], TODAY)
    assert judged.outcome is Outcome.SLOWER
    assert f"--metric {changed['metric']}" in judged.reason
    assert outcome(slower(**changed), entry(metric=changed["metric"])) is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("metric", "ratio", "expected"),
    [
        ("latency_s", float("nan"), Outcome.SLOWER),
        ("parameter_count", 2.0, Outcome.SLOWER),  # the ceiling holds for a named exact quantity too
        ("ceiling_flops_per_s", 0.95, Outcome.ACCEPTED),  # where more is better it is on the inverse
        ("ceiling_flops_per_s", 0.5, Outcome.SLOWER),
    ],
)
def test_the_ceiling_holds_for_what_an_entry_names(metric, ratio, expected):
    assert outcome(slower(metric=metric, ratio=ratio), entry(metric=metric)) is expected


@pytest.mark.parametrize("changed", [{"span": "", "metric": ""}, {"metric": "peak_bytes"}])
def test_what_is_gone_is_accepted_only_under_that_name(changed):
    gone = slower(outcome=Outcome.MISSING, ratio=None, **changed)
    for metric in ("*", "peak_bytes", "miss*"):
        assert outcome(gone, entry(metric=metric)) is Outcome.MISSING
    assert outcome(gone, entry(metric="missing")) is Outcome.ACCEPTED


@pytest.mark.parametrize("kept", [Outcome.BROKEN, Outcome.INCOMPARABLE, Outcome.INCONCLUSIVE, Outcome.SAME])
def test_nothing_else_is_ever_accepted(kept):
    assert outcome(slower(outcome=kept), entry(), entry(metric="latency_s"), entry(metric="missing")) is kept


def test_the_first_entry_that_reaches_far_enough_accepts():
    assert outcome(slower(), entry(ceiling=1.01), entry(span="layer", ceiling=1.2)) is Outcome.ACCEPTED
