import pytest

from suite.rl.estimators import rloo
from suite.rl.named import check_estimator, check_policy_loss, estimator, names_in, policy_loss
from suite.rl.policy_losses import vanilla


def test_a_name_is_a_file_of_its_folder_and_a_dotted_name_any_packages_function():
    assert estimator("rloo") is estimator("suite.rl.estimators.rloo.advantages") is rloo.advantages
    assert policy_loss("vanilla") is vanilla.token_losses
    assert names_in("policy_losses") == ("cispo", "gspo", "vanilla")


@pytest.mark.parametrize("name", ["gea", "", "__init__", "no_such_package.advantages", ".advantages"])
def test_an_unknown_name_is_refused_with_the_choices_before_anything_is_loaded(name):
    with pytest.raises(ValueError, match=r"adv_estimator must be one of gae, grpo, .*rloo, or the dotted name"):
        check_estimator(name)
    with pytest.raises(ValueError, match="policy_loss must be one of cispo, gspo, vanilla, or"):
        check_policy_loss(name)


def test_a_dotted_name_that_its_package_does_not_have_is_refused_on_loading():
    check_estimator("suite.rl.estimators.rloo.advantage")
    with pytest.raises(ValueError, match=r"cannot load 'suite.rl.estimators.rloo.advantage'"):
        estimator("suite.rl.estimators.rloo.advantage")
