import pytest

from suite.rl.estimators import rloo
from suite.rl.policy_losses import vanilla
from suite.rl.registry import ESTIMATORS, POLICY_LOSSES, STAGES


def test_a_name_is_a_file_and_a_dotted_name_a_function():
    assert ESTIMATORS.load("rloo") is ESTIMATORS.load("suite.rl.estimators.rloo.advantages") is rloo.advantages
    assert POLICY_LOSSES.load("vanilla") is vanilla.token_losses
    assert POLICY_LOSSES.names == ("cispo", "gspo", "sapo", "vanilla")


def test_stages_keep_the_names_that_records_hold():
    names = ("corpus", "distill", "own", "own_unfiltered", "preference", "rl", "sft")
    assert STAGES.names == names
    with pytest.raises(ValueError, match=f"the kind of a stage must be one of {', '.join(names)}, or"):
        STAGES.check("rejection_sampling")


@pytest.mark.parametrize("name", ["gea", "", "__init__", "no_such_package.advantages", ".advantages"])
def test_an_unknown_name_is_refused_before_loading(name):
    with pytest.raises(ValueError, match=r"adv_estimator must be one of gae, gdpo, grpo, .*rloo, or the dotted name"):
        ESTIMATORS.check(name)
    with pytest.raises(ValueError, match="policy_loss must be one of cispo, gspo, sapo, vanilla, or"):
        POLICY_LOSSES.check(name)


def test_a_missing_dotted_name_is_refused_on_loading():
    ESTIMATORS.check("suite.rl.estimators.rloo.advantage")
    with pytest.raises(ValueError, match=r"cannot load 'suite.rl.estimators.rloo.advantage'"):
        ESTIMATORS.load("suite.rl.estimators.rloo.advantage")
