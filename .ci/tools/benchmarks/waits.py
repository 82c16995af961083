"""What a person waits for: each command's CPU time and memory, at another commit and in this checkout.

    git worktree add /tmp/before HEAD~20
    .ci/tool benchmarks.waits --before /tmp/before [--pairs 3] [NAME ...]
    .ci/tool benchmarks.waits --growth [--runs 200 2000 20000] [--before /tmp/before]
    .ci/tool benchmarks.waits --without-forks [--pairs 3]

Each pair runs a command once in either checkout, in turn, with this one's interpreter and this one's records, and the
figures are medians. CPU time is that of all processes. `first_line` is the time on the wall's clock until `suite run`
prints a line, which other work on the machine lengthens. `--growth` measures synthetic folders of ten readings a run
instead: what grows faster than they do is waste. `--without-forks` runs two cases of three launches with forks and with
new processes, as on macOS and Windows, in turn: seconds by the wall's clock, which other work on the machine lengthens.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tools.benchmarks.million_records import Cost, as_folders, measure

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = ROOT / "results" / "reference"
SYNTHETIC_RUNS = 2000
SMALL = ("seq_len=64", "geometry=deepseek-v2-lite", "telemetry=off", "resume=false")
ONE_CASE = (*SMALL, "measure=smoke")
TWO_CASES = ("run", "-m", "attention=mla,gqa", "phase=decode", *SMALL, "measure.launches=3")
WITH_FORKS = """
import sys
from suite.measure import worker
worker.FORKS = {forks}
from suite.__main__ import main
sys.exit(main())
"""


def commands(scratch: Path) -> dict[str, list[str]]:
    """The words after `python` of each command, by name. What it writes lies in `scratch`."""
    synthetic, page = str(scratch / str(SYNTHETIC_RUNS)), ["--overwrite", "--out", str(scratch / "page.html")]
    folders = sorted(path for path in REFERENCE.iterdir() if path.is_dir())
    every_folder = [word for folder in folders for word in ("--results", str(folder))]
    by_words = {
        "suite": [],
        "help": ["--help"],
        "run_help": ["run", "--help"],
        "explain": ["explain", "mla"],
        "choose": ["choose", "--model", "deepseek-v2-lite", "--gpus", "4xh100", "--context", "32k"],
        "list": ["results", "list", str(REFERENCE / "cpu")],
        "verify": ["results", "verify", str(REFERENCE)],
        "report_cpu": ["report", "--results", str(REFERENCE / "cpu"), *page],
        "report_all": ["report", *every_folder, *page],
        "synthetic_list": ["results", "list", synthetic],
        "synthetic_verify": ["results", "verify", synthetic],
        "synthetic_page": ["report", "--results", synthetic, *page],
        "first_line": ["run", *ONE_CASE, f"hydra.run.dir={scratch / 'run'}"],
    }
    compose = "from suite.run.compose.composer import compose; compose(['-m', 'sweep=rl_why'])"
    table = f"import suite; suite.load({str(REFERENCE)!r}).table()"
    by_code = {"import": "import suite", "load_table": table, "compose": compose}
    return {name: ["-m", "suite", *words] for name, words in by_words.items()} | {
        name: ["-c", code] for name, code in by_code.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--before", type=Path, help="a checkout of the other commit")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--growth", action="store_true", help="how cost grows with the number of runs")
    parser.add_argument("--without-forks", action="store_true", help="what launches cost where nothing can be forked")
    parser.add_argument("--runs", type=int, nargs="+", default=[200, 2000, 20_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if options.growth:
            print_growth(scratch, options.runs, [options.before.resolve(), ROOT] if options.before else [ROOT])
            return
        if options.without_forks:
            print_without_forks(scratch, options.pairs)
            return
        by_name = commands(scratch)
        if options.before is None or not by_name.keys() >= set(options.names):
            parser.error(f"needs --before, --growth or --without-forks, and names among {', '.join(by_name)}")
        names = options.names or list(by_name)
        if any(name.startswith("synthetic") for name in names):
            as_folders(scratch / str(SYNTHETIC_RUNS), SYNTHETIC_RUNS)
        print_pairs({name: by_name[name] for name in names}, options.before.resolve(), options.pairs)


def print_pairs(by_name: dict[str, list[str]], before: Path, pairs: int) -> None:
    """Print a row for each command: medians before and after over so many alternating pairs."""
    print(f"{'':18}{'CPU s before':>14}{'after':>8}{'ratio':>8}{'peak MiB before':>18}{'after':>7}", flush=True)
    for name, words in by_name.items():
        until = "first line" if name == "first_line" else "the end"
        runs: dict[Path, list[Cost]] = {before: [], ROOT: []}
        for pair in range(pairs):
            for checkout in (before, ROOT) if pair % 2 == 0 else (ROOT, before):
                runs[checkout].append(measure([sys.executable, *words], checkout, until=until))
        codes = {cost.code for costs in runs.values() for cost in costs}
        (then, now), (then_mib, now_mib) = (
            [median(getattr(cost, figure) for cost in costs) for costs in runs.values()]
            for figure in ("cpu_s", "peak_mib")
        )
        line = f"{name:18}{then:14.2f}{now:8.2f}{now / then:8.2f}{then_mib:18.0f}{now_mib:7.0f}"
        if until == "first line":
            walls = [median(cost.first_line_s for cost in costs) for costs in runs.values()]
            line += f"   first line after {walls[0]:.2f} and {walls[1]:.2f} s"
        print(line + (f"   exit codes {sorted(codes)}" if codes != {0} and until != "first line" else ""), flush=True)


def print_growth(scratch: Path, counts: Sequence[int], checkouts: Sequence[Path]) -> None:
    """Print, for each number of runs and each checkout, what three commands take, and the size of the page."""
    print(f"{'runs':>7}{'command':>10}{'CPU s':>9}{'ms a run':>10}{'peak MiB':>10}{'page MB':>9}", flush=True)
    for count in counts:
        folder, page = scratch / str(count), scratch / f"{count}.html"
        as_folders(folder, count)
        words = {
            "list": ["results", "list", str(folder)],
            "verify": ["results", "verify", str(folder)],
            "page": ["report", "--overwrite", "--results", str(folder), "--out", str(page)],
        }
        for name, arguments in words.items():
            for checkout in checkouts:
                cost = measure([sys.executable, "-m", "suite", *arguments], checkout)
                size = f"{page.stat().st_size / 1e6:9.2f}" if name == "page" and page.exists() else ""
                where = "" if checkout == ROOT else "  before"
                failed = f"  exit code {cost.code}" if cost.code else ""
                figures = f"{cost.cpu_s:9.2f}{1e3 * cost.cpu_s / count:10.2f}{cost.peak_mib:10.0f}{size}"
                print(f"{count:7,}{name:>10}{figures}{where}{failed}", flush=True)


def print_without_forks(scratch: Path, pairs: int) -> None:
    """Print wall times of two cases of three launches, forked and in new processes, and their ratio, by effort."""
    print(f"{'':10}{'forks s':>9}{'new processes s':>17}{'ratio':>7}", flush=True)
    for effort in ("smoke", "standard"):
        words = [*TWO_CASES, f"measure={effort}", f"hydra.sweep.dir={scratch / 'launches'}"]
        rows = []
        for pair in range(pairs + 1):
            forked, spawned = (
                measure([sys.executable, "-c", WITH_FORKS.format(forks=forks), *words], ROOT) for forks in (True, False)
            )
            if forked.code or spawned.code:
                sys.exit(f"exit codes {forked.code} with forks and {spawned.code} without, of: {' '.join(words)}")
            if pair:  # the first one compiles kernels
                rows.append((forked.wall_s, spawned.wall_s, spawned.wall_s / forked.wall_s))
                print(f"{effort:10}{rows[-1][0]:9.2f}{rows[-1][1]:17.2f}{rows[-1][2]:7.2f}", flush=True)
        print(f"{'median':10}" + "{:9.2f}{:17.2f}{:7.2f}".format(*map(median, zip(*rows, strict=True))), flush=True)


if __name__ == "__main__":
    main()
