"""Cases of two trees find each other, and a case is a command line that means it."""

from pathlib import Path

import pytest

from suite.gate.side_by_side.pairing import (
    Expanded,
    changed_settings,
    check_can_be_timed,
    command_line,
    expanded_from,
    paired,
)
from suite.records.case import Case

FOREIGN = Path(__file__).parents[2] / "foreign" / "conf"


def case(*, workload="attention", extras=(), **axes):
    return Expanded(case=Case(workload=workload, axes=axes, extras=dict(extras)), settings={}, code={})


def test_equal_ids_are_pairs_in_the_order_of_the_newer_tree():
    decode, prefill, gone, added = (case(phase=phase) for phase in ("decode", "prefill", "train", "new"))
    pairing = paired([decode, prefill, gone], [added, prefill, decode])
    assert pairing.both == [(prefill, prefill), (decode, decode)]
    assert (pairing.gone, pairing.added) == ([gone], [added])


def test_an_axis_that_only_one_tree_has_does_not_part_them():
    old, new = case(phase="decode", batch=1), case(phase="decode", batch=1, tp=1)
    for before, after in ((old, new), (new, old)):
        pairing = paired([before], [after])
        assert (pairing.both, pairing.gone, pairing.added) == ([(before, after)], [], [])


def of_mla(variant, phase, **attention):
    axes = {"attention": variant, "phase": phase}
    settings = {"phase": phase, "attention": attention}
    one = {"workload": "attention", "axes": axes, "extras": {}, "settings": settings, "code": {}}
    return expanded_from({"cases": [one]})[0]


def test_a_case_finds_its_match_in_a_tree_with_older_names():
    absorbed = {"_target_": "suite.attention.latent.AbsorbedLatentAttention"}
    before = [of_mla("mla", phase, **absorbed) for phase in ("decode", "prefill", "train")]
    decode, prefill = (of_mla(*named, mode="absorbed") for named in (("mla", "decode"), ("mla_absorbed", "prefill")))
    other = of_mla("mla", "train", mode="expanded")
    pairing = paired(before, [decode, prefill, other])
    assert pairing.both == [(before[0], decode), (before[1], prefill)]
    assert (pairing.redefined, pairing.gone, pairing.added) == ([(before[2], other)], [], [])
    assert not changed_settings(
        before[0].settings, decode.settings | {"attention": absorbed | decode.settings["attention"]}
    )
    assert (before[1].old_id, before[1].id) == ("workload=attention attention=mla phase=prefill", prefill.id)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([case(phase="decode")], [case(phase="decode", tp=1), case(phase="decode", tp=2)]),
        ([case(phase="decode", tp=1), case(phase="decode", tp=2)], [case(phase="decode")]),
        ([case(phase="decode", old=1)], [case(phase="decode", new=1)]),
        ([case(phase="decode")], [case(phase="prefill", tp=1)]),
        ([case(phase="decode")], [case(phase="decode", workload="rl", tp=1)]),
    ],
)
def test_what_could_be_meant_twice_or_differs_stays_apart(before, after):
    pairing = paired(before, after)
    assert (pairing.both, pairing.gone, pairing.added) == ([], before, after)


@pytest.mark.parametrize(
    "strange",
    [
        *("a[b, c]='d'", "it's", "back\\slash", "quoted\\'", "ends\\", "three\\\\\\'s", "two words"),
        *("12", "1e5", "12e4567", "null", "True", ""),
    ],
)
def test_a_text_of_any_form_survives_the_command_line(strange):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    overrides = command_line(case(phase="decode", extras={"note": strange}).case)
    assert overrides[:2] == ["-m", "workload='attention'"]
    assert OverridesParser.create().parse_override(overrides[-1]).value() == strange


@pytest.mark.parametrize(
    "asked",
    [
        ["attention=mla", "geometry=tiny", "seq_len=64", "cache_dtype=fp8", "attention.kv_lora_rank=16", "seed=3"],
        [f"hydra.searchpath=[file://{FOREIGN}]", "workload=behaving", r"workload.checkpoint='a[b, c]=\'d\''"],
    ],
)
def test_a_case_composes_to_itself(tmp_path, monkeypatch, asked):
    from suite.run.compose.composer import compose
    from suite.run.job import job_of

    monkeypatch.chdir(tmp_path)
    (one,) = [job_of(one) for one in compose(["-m", *asked])]
    (composed_again,) = compose(command_line(one.case, [*asked, "hydra.sweep.dir=elsewhere"]))
    again = job_of(composed_again)
    assert one.case.extras
    assert again.case == one.case
    assert again.settings == one.settings
    assert composed_again.folder == Path("elsewhere")


def test_changed_settings_are_listed_by_their_dotted_names():
    before = {"seed": 1, "measure": {"max_seconds": 1}, "workload": {"axes": ["a"], "size": 1, "deep": {"er": 1}}}
    after = {"seed": 2, "measure": {"max_seconds": 9}, "workload": {"axes": ["a", "b"], "size": 1, "deep": {"er": 2}}}
    assert changed_settings(before, after) == ["seed", "workload.deep.er"]
    assert changed_settings(before, {**before, "tp": None}) == []
    assert changed_settings(before, {**before, "tp": 1}) == ["tp"]


def test_a_workload_that_is_judged_by_seed_is_not_timed():
    check_can_be_timed([case(), case(workload="weather"), case(workload="../workload/rl")], "mine")
    for workload in ("rl", "quality", "compress"):
        with pytest.raises(ValueError, match=f"sweep must have no case of workload={workload}, .*; got 'mine'"):
            check_can_be_timed([case(), case(workload=workload)], "mine")
