"""What is written of some judgements is what was written of them before."""

from tests.gate.output.snapshot import SNAPSHOT, shown


def test_every_form_of_a_judgement_is_what_it_was():
    """Where it is to be another: `python -m tests.gate.output.snapshot`, and look at what git shows."""
    assert list(shown()) == SNAPSHOT.read_text(encoding="utf-8").splitlines()
