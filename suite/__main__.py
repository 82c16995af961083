"""The `suite` command: hands each command to its module.

Every worker process imports this module again, as `__mp_main__`, and `suite` alone must answer at once: so nothing is
imported up here but what every Python has loaded anyway.
"""

import sys

WELCOME = """\
suite measures attention variants (MHA, MQA, GQA, MLA) and RL algorithms (PPO,
GRPO and relatives) on your own hardware. It checks every output before it is
timed, and draws a report.

  suite demo                   run a small sweep and write its report
  suite run -m attention=gqa,mla geometry=deepseek-v2-lite seq_len=4096
                               check and time GQA and MLA at a model's sizes
  suite run -m sweep=demo_rl   train a small model with GRPO and with PPO
  suite explain mla            what MLA saves and what it costs, in 20 lines

More commands: suite ls (settings and their options), suite compare, suite
report, suite gate (what did a change make slower?), suite results, suite choose
and suite fit (which GPUs does a model need?), suite doctor (what runs on this
machine, and why the rest does not), suite --help.
"""

DONE = 0


def main() -> int:
    """Run the command line in sys.argv and return its exit code."""
    from suite.machine.streams import run_guarded

    return run_guarded(lambda: _command(sys.argv[1:]))


def run_alone() -> int:
    """`suite-run`: the same as `suite run` under one word, since Hydra's tab completion needs that."""
    from suite.machine.streams import run_guarded

    return run_guarded(lambda: _run(sys.argv[1:]))


def _command(arguments: list[str]) -> int:
    """Print the welcome, or run `suite run`, or hand any other command to typer, which ends by SystemExit."""
    if not arguments:
        print(WELCOME, end="")
    elif arguments[0] == "run":
        # Before typer sees it: what follows is in Hydra's grammar, `--help` and `--` included.
        return _run(arguments[1:])
    else:
        from suite.commands.application import application
        from suite.configuration.removed import refuse_arguments

        refuse_arguments(arguments)
        application()(arguments, prog_name="suite")
    return DONE


def _run(overrides: list[str]) -> int:
    from suite.commands.run import main as run
    from suite.configuration.removed import refuse_stores

    refuse_stores(*overrides)
    return run(overrides)


if __name__ == "__main__":
    sys.exit(main())
