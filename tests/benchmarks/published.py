"""The figures that others published for their kernels, each as a share of the roofline of its card: no GPU needed.

python tests/benchmarks/published.py
"""

from suite.records import numbers
from suite.theory.answers.published import PublishedFigure, published_figures


def main() -> None:
    for figure in sorted(published_figures(), key=lambda one: -one.share):
        print(
            f"{numbers.percent(figure.share):>6}  {figure.regime:<8}{figure.published:>8g} {figure.unit:<8}"
            f"{figure.kernel:<28}{figure.gpu:<18}{figure.kind:<17}{_problem(figure)}"
        )


def _problem(figure: PublishedFigure) -> str:
    sizes = figure.sizes
    if sizes is None:
        return figure.problem
    width = "latent" if sizes.head_dim is None else f"d {sizes.head_dim}"
    return f"{sizes.heads} heads, {width}, {sizes.batch} x {sizes.seq_len}{', causal' * sizes.is_causal}"


if __name__ == "__main__":
    main()
