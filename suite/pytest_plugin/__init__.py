"""The cases of a sweep as items of pytest, timed by pytest-benchmark: `pytest --suite-sweep=gate`.

An item is one span of one case. It is built and checked as the gate's worker does, and handed to the fixture
`benchmark` with the clock that the gate would judge it by, so that the options of pytest-benchmark mean what its users
expect. pytest loads this module in every run where the package is installed: nothing is imported up here that it does
not have, and without the option nothing is done.
"""

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    import pytest

OPTION = "suite_sweep"


def pytest_addoption(parser: "pytest.Parser") -> None:
    group = parser.getgroup("suite", "cases of mla-grpo-suite, as benchmarks")
    group.addoption(
        "--suite-sweep",
        metavar="NAME",
        help="Time the cases of a named sweep, as `gate`, in place of the folder's tests.",
    )
    group.addoption(
        "--suite-set", metavar="KEY=VALUE", action="append", help="A setting of every case of it; may be repeated."
    )


def pytest_configure(config: "pytest.Config") -> None:
    if config.getoption(OPTION) is not None:
        from suite.pytest_plugin.items import SweepPlugin

        config.pluginmanager.register(SweepPlugin(config), "suite-sweep")
    elif config.getoption("suite_set"):
        import pytest

        raise pytest.UsageError("--suite-set is for the cases of --suite-sweep, which is not given")
