"""Command lines that a person, a script or an adversary may type: nothing is measured by any."""

import random
from collections.abc import Callable, Iterator
from unittest import mock

from suite.configuration.files import choices, conf_dir
from suite.run.compose.composer import compose
from suite.run.compose.point import leaves
from tools.hostile.attempt import CODES, UNMEASURED, Attempt, command
from tools.hostile.texts import words

BASES = (
    (),
    ("workload=projection", "hardware=h100-sxm5-80gb"),
    ("workload=rl",),
    ("workload=rl_memory",),
    ("workload=quality",),
    ("workload=compress",),
)
HUGE, LONG = "9" * 400, "x" * 10_000
VALUES = (
    *words(
        "null ~ '' [] {} [1,2] {a:1} true maybe 0 -1 1.5 0.1 1e400 -1e400 nan inf 1e9 1k 9m 0x10 0o7 1_0 1__0 007 -0"
    ),
    *words(
        "-0 18446744073709551616 9223372036854775807 9223372036854775808 2**64 a,b 1,2 range(1,5) choice(1,2) glob(*)"
    ),
    *words("sort(3,1) shuffle(1,2) interval(0,1) tag(a,1) int(x) str(1) json_str(1) ../x ./x /etc/passwd /dev/zero"),
    *words("""x.yaml a/b a@b a:b "a" ' " [ } ${seed} ${seq_len} ${nope} ${oc.env:HOME} ${oc.env:NOPE} ${ ${a.${b}}"""),
    *words("${hydra:run.dir} ??? é 数 a=b == \\ % $HOME `id` $(id)"),
    *("", "a b", "'a b'", "\u202e", "\x1b[31m", "\ud800", "a\nb", "a\tb", HUGE, f"-{HUGE}", f"0.{HUGE}", LONG),
)
FLAGS = (
    *words("--help --hydra-help --version -V --cfg --cfg=job --cfg=nope --info --info=all --resolve --package=x"),
    *words("--config-name=x --config-name= --config-name=../x --config-dir=/nope --config-dir=. --config-path=/nope"),
    *words("--run --multirun -m --shell-completion -sc install=bash --nope -x -- --experimental-rerun"),
    *words("--experimental-rerun=x.pickle -p -c -h"),
)
WHOLE = (
    *words("~{group} ~{group}=x +{group}=x ++{group}=x {group}@x=y {group}@=y +{group}@x={option}"),
    *words("{group}={option}.yaml {group}=./{option} {group}=../{group}/{option} {group}={option},{option}"),
    *words("{group}={upper} {group}=[{option}] {group}.nope=1 ~{group}.name {group}={option}/"),
    "{group}= {option}",
)
OF_HYDRA = words("run.dir sweep.dir sweep.subdir searchpath job.name job.chdir output_subdir mode verbose")
OTHERS = ("report", "gate", "results", "explain", "doctor", "demo", "gpu")
OPTIONS = {
    "report": ("--results", "--label", "--format", "--lang", "--out"),
    "gate": ("--sweep", "--set", "--seconds", "--inconclusive", "--out"),
    "gate accept": ("--reason", "--ceiling", "--expires", "--span", "--metric"),
    "results list": ("--status", "--json"),
    "results show": ("--results",),
    "results verify": (),
    "results merge": ("--into",),
    "explain": ("--geometry", "--lang"),
    "doctor": ("--json",),
}


def all_lines() -> Iterator[list[str]]:
    """Every line of the catalogue, in a fixed order."""
    for base in BASES:
        (composed,) = compose(base)
        keys = [key for key in leaves(composed.settings) if not key.endswith("_target_")]
        for key in keys:
            for value in VALUES:
                yield ["run", *base, f"{key}={value}"]
        for key in keys:
            for form in (f"~{key}", f"+{key}=1", f"++{key}=1", f"{key}", f"{key}==1", f"{key}.x=1", f"-m {key}=1,2"):
                yield ["run", *form.split()[:-1], *base, form.split()[-1]]
    for group in sorted(path.name for path in conf_dir().iterdir() if path.is_dir()):
        option = choices(group)[0]
        for form in WHOLE:
            yield ["run", form.format(group=group, option=option, upper=option.upper())]
        for value in VALUES:
            yield ["run", f"{group}={value}"]
            yield ["run", "-m", f"{group}={value}"]
    for flag in FLAGS:
        yield from (["run", flag], ["run", flag, "seq_len=64"], ["run", "-m", flag, "seq_len=64,128"])
    for key in OF_HYDRA:
        for value in VALUES:
            if not value.startswith(("/", "../")):  # a person may have folders made wherever they say
                yield ["run", f"hydra.{key}={value}", "geometry=tiny"]
    for value in VALUES:
        for name in ("leave_out", "parts", "sweep", "workers"):
            yield ["run", "-m", f"{name}={value}", "seq_len=64,128"]
        yield ["run", value]
    for command_name, options in OPTIONS.items():
        name = command_name.split()
        for value in VALUES:
            yield [*name, value]
            yield [*name, value, value]
            for option in options:
                yield [*name, f"{option}={value}"]
                yield [*name, value, option, value]
        yield from ([*name, "--nope"], [*name, *options], name)
    yield from (["nope"], [""], ["--"], ["-"], ["--version", "x"], ["results", "nope"], ["gate", "nope"])


def attempts(chance: random.Random) -> Iterator[Attempt]:
    """Lines of the catalogue in a shuffled order, then pairs of settings, without end."""
    lines = list(all_lines())
    chance.shuffle(lines)
    yield from map(_attempt, lines)
    of_runs = [line for line in lines if line[0] == "run"]
    while True:
        first, second = chance.choice(of_runs), chance.choice(of_runs)
        yield _attempt([*first, *second[1:]])


def _attempt(line: list[str]) -> Attempt:
    return Attempt(what=" ".join(map(_short, line)), run=_unmeasured(command(*line)), codes=CODES)


def _short(word: str) -> str:
    return repr(word)[1:-1] if len(word) < 80 else f"{word[:40]}… ({len(word)} characters)"


def _unmeasured(call: Callable[[], int]) -> Callable[[], int]:
    """The same call, in which no case is run: what is tried is what a line may say, not what it measures."""

    def quiet() -> int:
        with (
            mock.patch("suite.commands.run.execute", return_value=UNMEASURED),
            mock.patch("suite.commands.demo.run", return_value=2),
        ):
            return call()

    return quiet
