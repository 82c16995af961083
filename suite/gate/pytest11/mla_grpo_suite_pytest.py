"""pytest's plugin of mla-grpo-suite: `pytest --suite-sweep=gate` times a sweep's cases by pytest-benchmark.

pytest loads this in every run where the package is installed. So it is installed beside the package `suite`, whose name
somebody's own tests may have too, imports nothing that pytest does not have, and does nothing without its option.
"""

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    import pytest

OPTION = "suite_sweep"


def pytest_addoption(parser: "pytest.Parser") -> None:
    """Add the options --suite-sweep and --suite-set."""
    group = parser.getgroup("suite", "cases of mla-grpo-suite, as benchmarks")
    group.addoption(
        "--suite-sweep",
        metavar="NAME",
        help="Time the cases of a named sweep, such as gate, instead of the folder's tests.",
    )
    group.addoption(
        "--suite-set", metavar="KEY=VALUE", action="append", help="A setting of every case. Can be repeated."
    )


def pytest_configure(config: "pytest.Config") -> None:
    """Register the sweep's plugin if --suite-sweep is given. Raises UsageError for --suite-set without it."""
    if config.getoption(OPTION) is not None:
        from suite.gate.sweep_plugin import SweepPlugin

        config.pluginmanager.register(SweepPlugin(config), "suite-sweep")
    elif config.getoption("suite_set"):
        import pytest

        raise pytest.UsageError("--suite-set sets a value for the cases of --suite-sweep, which is not given")
