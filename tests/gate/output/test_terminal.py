"""The answer on a terminal: worst first, within its width, and at the end what to do."""

import re
from dataclasses import replace

import pytest

from suite.gate.output.terminal import lines
from suite.gate.verdict import Outcome, Side
from tests.gate.judgements import case_id, exact, hostile, judgement, mixed, timing, whole
from tools.hostile.texts import SPACED, TEXTS, harmful


def text_of(judged, *, width=200, colour=False):
    return "\n".join(lines(judged, width=width, colour=colour))


def outcomes(told):
    return [line.split()[0] for line in told if line and line.split()[0] in set(Outcome)]


def test_it_begins_with_what_was_compared_and_how_many_of_each():
    first, second, *_ = lines(mixed(), width=200, colour=False)
    assert first.startswith("working tree (89abcde, with uncommitted changes) against main (0123456)")
    assert second.startswith("1 broken, 1 missing, 2 slower, 1 incomparable")
    assert second.endswith("6 same")


def test_the_worst_comes_first_and_of_two_slower_ones_the_slower():
    told = lines(mixed(), width=200, colour=False)
    assert outcomes(told) == [
        *("broken", "missing", "slower", "slower", "incomparable", "inconclusive", "accepted", "faster", "new", "same")
    ]
    slower = [line for line in told if line.startswith("slower")]
    assert "+25.0 % 24.0 KiB → 30.0 KiB" in slower[0]
    assert "mla decode seq_len=2048 · layer · latency_s   +5.2 % (4.2 to 6.2)" in slower[1]


def test_a_verdict_takes_one_line_where_it_fits():
    judged = judgement(timing(Outcome.SLOWER, 1.052))
    (wide,) = [line for line in lines(judged, width=200, colour=False) if line.startswith("slower")]
    assert wide.endswith("slower by more than the 2.0 % that are allowed")
    told = lines(judged, width=80, colour=False)
    place = next(index for index, line in enumerate(told) if line.startswith("slower"))
    assert told[place].endswith("+5.2 % (4.2 to 6.2)")
    assert told[place + 1] == " " * 16 + "slower by more than the 2.0 % that are allowed"


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("judged", [mixed(), hostile()], ids=["mixed", "hostile"])
def test_no_line_is_wider_than_the_terminal(judged, width):
    assert max(map(len, lines(judged, width=width, colour=False))) <= width


def test_many_that_are_the_same_are_one_line():
    same = [timing(case=case_id(seq_len=512 * n), ratio=1 + n / 1000) for n in range(1, 10)]
    assert "same          9 quantities; by their intervals at most +1.9 %" in text_of(judgement(*same))
    assert outcomes(lines(judgement(*same[:4]), width=200, colour=False)) == ["same"] * 4


def test_many_that_are_unjudged_are_one_line_with_the_reason():
    unjudged = [whole(Outcome.UNJUDGED, case=case_id(seq_len=512 * n)) for n in range(1, 10)]
    assert "unjudged      9 cases: it runs what is installed here, suite, and" in text_of(
        judgement(*unjudged, timing())
    )


def test_many_without_an_estimate_are_one_line_with_the_reason():
    nothing = dict.fromkeys(("ratio", "low", "high"))
    blind = [timing(Outcome.INCONCLUSIVE, case=case_id(seq_len=512 * n)) for n in range(1, 10)]
    blind = [replace(verdict, **nothing, reason="too few launches") for verdict in blind]
    told = judgement(*blind, *(timing(Outcome.INCONCLUSIVE, case=case_id(batch=n)) for n in range(1, 10)))
    assert "inconclusive  9 timings: too few launches" in text_of(told)
    assert outcomes(lines(told, width=200, colour=False)) == ["inconclusive"] * 10


def test_what_differs_around_them_warnings_and_notes_are_said():
    text = text_of(mixed())
    assert "differs: torch: 2.12.0 before, 2.13.0 after" in text
    assert "warning: two threads on two cores: barriers spin" in text
    assert "note: wall time says otherwise" in text
    assert "clock thread_cpu, launches 2, floor 0.02, seconds 12.3" in text


def test_it_ends_with_the_command_to_accept_and_the_exit_code():
    case = case_id()
    *_, command, code = lines(judgement(timing(Outcome.SLOWER, 1.05)), width=80, colour=False)
    assert command == f"  suite gate accept '{case}' --reason … --ceiling … --expires …"
    assert code == "exit code 1: slower or worse"
    assert lines(judgement(timing()), width=80, colour=False)[-1] == "exit code 0: nothing is slower or worse"
    undecided = text_of(judgement(timing(Outcome.INCONCLUSIVE, 19.0)), width=80)
    assert "exit code 0: no slowdown was proven; 1 of 1 noisy measurements are undecided" in undecided
    assert "nothing is slower" not in undecided
    assert lines(judgement(), width=80, colour=False)[-1].startswith("exit code 4")
    assert "suite gate accept" not in text_of(judgement(whole(), exact()))


def test_colour_paints_the_outcome_only_and_moves_nothing():
    coloured = text_of(mixed(), colour=True)
    assert "\x1b[31mslower\x1b[0m        gqa" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == text_of(mixed())


def test_hostile_text_cannot_move_the_cursor_or_begin_a_line():
    told = lines(hostile(), width=80, colour=False)
    assert all(line.isprintable() for line in told)
    "\n".join(told).encode()
    assert not any(line.startswith("::") for line in told)
    short = judgement(whole(case="\x1b[2J", reason="\x1b[2J"))
    assert all(line.isprintable() for line in lines(short, width=200, colour=False))


def full_of(text):
    """A judgement with a text wherever it can have one, once alone and once among many."""
    many = [whole(outcome, case=f"{text} {n}", reason=text) for outcome in Outcome for n in range(6)]
    said = {
        "before": Side(label=text, commit=text),
        "after": Side(label=text, commit=text),
        "differences": {text: [text, text]},
        "warnings": [text],
        "facts": dict.fromkeys(("sweep", "code", "clock"), text),
    }
    alone = timing(Outcome.SLOWER, case=text, span=text, metric=text, reason=text, notes=[text])
    return [judgement(alone, form=text, **said), judgement(*many, form=text, **said)]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_commands_a_ci_system_however_it_is_wrapped(width):
    for text in (*TEXTS, SPACED):
        for judged in full_of(text):
            told = lines(judged, width=width, colour=False)
            assert harmful("\n".join(told)) == []
            assert harmful(re.sub("\x1b\\[\\d*m", "", text_of(judged, width=width, colour=True))) == []
