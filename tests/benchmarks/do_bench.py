"""Our clock of a GPU beside Triton's do_bench, within 3 %.

    python tests/benchmarks/do_bench.py

Needs a GPU and Triton; says so and ends with 3 where one is missing. `make gpu` runs the same comparison.
"""

import sys

from suite.measure.do_bench import main

if __name__ == "__main__":
    sys.exit(main(None))
