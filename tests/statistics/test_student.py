"""Student's t and chi-square against the tables that everybody prints, and against closed forms."""

import math

import pytest

from suite.statistics.student import chi_square_above, t_above, t_quantile, t_within

# Abramowitz and Stegun, table 26.10; the same in every textbook.
TABLE = [
    (1, 0.975, 12.706),
    (2, 0.975, 4.303),
    (4, 0.95, 2.132),
    (4, 0.9995, 8.610),
    (7, 0.90, 1.415),
    (10, 0.975, 2.228),
    (30, 0.9995, 3.646),
    (120, 0.975, 1.980),
]


@pytest.mark.parametrize(("freedom", "probability", "t"), TABLE)
def test_a_quantile_is_the_table_s(freedom, probability, t):
    assert t_quantile(probability, freedom) == pytest.approx(t, abs=5.1e-4)
    assert t_quantile(1 - probability, freedom) == pytest.approx(-t, abs=5.1e-4)


def test_one_degree_is_cauchy_s_and_two_have_a_closed_form():
    for t in (0.1, 1.0, 7.0, 300.0):
        assert t_above(t, 1) == pytest.approx(0.5 - math.atan(t) / math.pi, rel=1e-10)
        assert t_above(t, 2) == pytest.approx(0.5 - t / (2 * math.sqrt(2 + t * t)), rel=1e-10)


@pytest.mark.parametrize("freedom", [1, 2, 9, 30])
def test_the_quantile_undoes_the_probability(freedom):
    for probability in (0.5, 0.6, 0.99, 0.9999):
        assert 1 - t_above(t_quantile(probability, freedom), freedom) == pytest.approx(probability, rel=1e-12)


@pytest.mark.parametrize("probability", [0.0, 1.0, -1.0, math.nan])
def test_a_probability_outside_is_refused(probability):
    with pytest.raises(ValueError, match="between 0 and 1"):
        t_quantile(probability, 4)


def test_no_degrees_of_freedom_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        t_within(1.0, 0)


# Abramowitz and Stegun, table 26.8.
@pytest.mark.parametrize(
    ("freedom", "above", "value"),
    [(1, 0.05, 3.84146), (2, 0.05, 5.99146), (5, 0.05, 11.0705), (9, 0.001, 27.877), (10, 0.95, 3.94030)],
)
def test_chi_square_is_the_table_s(freedom, above, value):
    assert chi_square_above(value, freedom) == pytest.approx(above, rel=1e-4)
    assert chi_square_above(0.0, freedom) == 1.0


@pytest.mark.parametrize(("value", "freedom"), [(1.0, 0), (-1.0, 3), (math.nan, 3)])
def test_chi_square_of_nothing_is_refused(value, freedom):
    with pytest.raises(ValueError, match="at least"):
        chi_square_above(value, freedom)
