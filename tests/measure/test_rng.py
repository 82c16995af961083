import subprocess
import sys

from suite.measure.rng import python_rng, seed_of


def test_equal_names_give_equal_seeds_in_another_process():
    said = subprocess.run(
        [sys.executable, "-c", "from suite.measure.rng import seed_of; print(seed_of(3, 'prompts', 0))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert int(said) == seed_of(3, "prompts", 0)


def test_streams_of_other_names_differ():
    drawn = {python_rng(*names).random() for names in ((0, "a"), (1, "a"), (0, "b"), ("0/a", ""))}
    assert len(drawn) == 4
