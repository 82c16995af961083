"""Energy of the CPU packages by RAPL, where the kernel shows it and lets this user read it."""

from collections.abc import Iterable
from pathlib import Path

from suite.machine.nvml import State
from suite.measure.telemetry.source import Seen, Source, Target

POWERCAP = Path("/sys/class/powercap")
MICRO = 1e-6


class Package:
    """One package's counter, which starts again from zero at its range."""

    def __init__(self, folder: Path) -> None:
        self._counter = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text())
        self._last_uj, self._total_uj = self._read(), 0

    def energy_j(self) -> float:
        """Joules since the counter was opened, with its restarts from zero added up."""
        now_uj = self._read()
        self._total_uj += (now_uj - self._last_uj) % (self._range_uj + 1)
        self._last_uj = now_uj
        return self._total_uj * MICRO

    def _read(self) -> int:
        return int(self._counter.read_text())


def packages(root: Path = POWERCAP) -> tuple[list[Package], State, str]:
    """(the counters of whole CPU packages; state; why there are none, else empty)."""
    folders = [path.parent for path in sorted(root.glob("intel-rapl:*/name")) if path.read_text().startswith("package")]
    if not folders:
        return [], State.NOT_HERE, "this system shows no RAPL counters"
    try:
        return [Package(folder) for folder in folders], State.MEASURED, ""
    except PermissionError:
        return [], State.NO_PERMISSION, "only root may read RAPL's counters"
    except OSError as error:
        return [], State.FAILED, f"RAPL's counters cannot be read ({error.__class__.__name__})"


class Rapl(Source):
    name = "rapl"

    def __init__(self, root: Path = POWERCAP) -> None:
        super().__init__()
        self._packages, self.state, self.why = packages(root)

    def sample(self, target: Target, *, is_slow_tick: bool) -> Iterable[Seen]:
        if self._packages:
            yield Seen("cpu", "energy_j", sum(package.energy_j() for package in self._packages))
