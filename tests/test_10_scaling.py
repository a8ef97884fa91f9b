"""Scaling laws: fits that find the constants that points were made with, and say how surely."""

import json

import numpy as np
import pytest

from zerotohero.course import data
from zerotohero.scaling import (
    BESIROGLU,
    HOFFMANN,
    KAPLAN,
    Chinchilla,
    Point,
    envelope,
    fit,
    fit_kaplan,
    interval,
    read_points,
    resampled,
)

SIZES, LENGTHS = (1e7, 5e7, 2e8, 1e9, 5e9), (2e8, 1e9, 5e9, 3e10)


def made(law, noise: float = 0.0, seed: int = 0) -> list[Point]:
    rng = np.random.default_rng(seed)
    return [
        Point(int(N), int(D), 6 * N * D, float(law.loss(N, D)) * (1 + noise * rng.normal()))
        for N in SIZES
        for D in LENGTHS
    ]


# --- laws -----------------------------------------------------------------------------------------


def test_the_loss_is_the_sum_of_three_parts():
    assert Chinchilla(1.5, 8.0, 0.5, 27.0, 1 / 3).loss(16, 27) == pytest.approx(1.5 + 2 + 9)


def test_chinchilla_and_gopher_as_published():
    """Of the same compute, the smaller model with more tokens is better: section 4."""
    chinchilla, gopher = HOFFMANN.loss(70e9, 1.4e12), HOFFMANN.loss(280e9, 300e9)
    assert chinchilla == pytest.approx(1.937, abs=1e-3)
    assert gopher == pytest.approx(1.993, abs=1e-3)


def test_kaplan_s_law_has_one_power_in_each_limit():
    law = KAPLAN
    assert law.loss(1e9, 1e30) == pytest.approx((law.N_c / 1e9) ** law.alpha_N, rel=1e-6)
    assert law.loss(1e40, 1e9) == pytest.approx((law.D_c / 1e9) ** law.alpha_D, rel=1e-3)


@pytest.mark.parametrize("law", [HOFFMANN, BESIROGLU])
def test_the_best_split_spends_the_budget_and_no_other_is_better(law):
    N, D = law.best(1e21)
    assert pytest.approx(1e21) == 6 * N * D
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert law.loss(N * factor, D / factor) > law.loss(N, D)


def test_the_share_is_the_power_by_which_the_best_size_grows():
    small, large = HOFFMANN.best(1e20).parameters, HOFFMANN.best(1e22).parameters
    assert large / small == pytest.approx(100**HOFFMANN.share)
    assert HOFFMANN.share == pytest.approx(0.45, abs=0.005)


def test_a_loss_below_what_the_size_allows_takes_infinitely_many_tokens():
    D = HOFFMANN.tokens_for(2.0, 65e9)
    assert HOFFMANN.loss(65e9, D) == pytest.approx(2.0)
    assert HOFFMANN.tokens_for(HOFFMANN.E + 0.9 * HOFFMANN.A / 1e9**0.34, 1e9) == np.inf


# --- fits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [HOFFMANN, BESIROGLU, Chinchilla(1.0, 12.0, 0.3, 90.0, 0.35)])
def test_a_fit_finds_the_law_that_made_the_points(law):
    found = fit(made(law))
    for name in ("E", "A", "alpha", "B", "beta"):
        assert getattr(found, name) == pytest.approx(getattr(law, name), rel=1e-4), name


def test_a_fit_of_kaplan_s_form_finds_its_constants():
    found = fit_kaplan(made(KAPLAN))
    assert found.alpha_N == pytest.approx(KAPLAN.alpha_N, rel=1e-3)
    assert found.alpha_D == pytest.approx(KAPLAN.alpha_D, rel=1e-3)
    assert found.loss(3e8, 3e9) == pytest.approx(KAPLAN.loss(3e8, 3e9), rel=1e-5)


def test_no_other_constants_leave_smaller_relative_errors():
    points = made(HOFFMANN, noise=0.01)
    found = fit(points)

    def left(law):
        return sum((law.loss(p.parameters, p.tokens) / p.loss - 1) ** 2 for p in points)

    for name in ("E", "A", "alpha", "B", "beta"):
        for factor in (0.995, 1.005):
            moved = Chinchilla(**{**found.__dict__, name: getattr(found, name) * factor})
            assert left(moved) > left(found), name


def test_the_middle_of_many_draws_holds_the_truth_and_noise_widens_it():
    widths = []
    for noise in (0.001, 0.01):
        laws = resampled(made(HOFFMANN, noise), times=20)
        low, high = interval([law.loss(1e10, 1e11) for law in laws])
        assert low - 0.02 < HOFFMANN.loss(1e10, 1e11) < high + 0.02
        widths.append(high - low)
    assert widths[1] > 3 * widths[0]


def test_an_interval_holds_the_middle():
    assert interval(range(101), 0.9) == pytest.approx((5, 95))
    assert interval(range(101), 0.5) == pytest.approx((25, 75))


@pytest.mark.parametrize(
    "points",
    [
        made(HOFFMANN)[:5],
        [p for p in made(HOFFMANN) if p.parameters in (1e7, 5e7)],
        [p for p in made(HOFFMANN) if p.tokens in (2e8, 1e9)],
    ],
)
def test_too_few_points_are_refused(points):
    with pytest.raises(ValueError, match="six, of three sizes and three lengths"):
        fit(points)


def test_points_that_no_law_fits_are_refused():
    upside_down = [Point(p.parameters, p.tokens, p.flops, 10 - p.loss) for p in made(HOFFMANN)]
    with pytest.raises(ValueError, match="No law with positive parts"):
        fit(upside_down)
    with pytest.raises(ValueError, match="only 0 could be fitted"):
        resampled(upside_down, 2)


# --- curves ---------------------------------------------------------------------------------------


def test_the_envelope_is_the_lowest_curve_at_each_budget():
    small = [(1.0, 3.0), (100.0, 2.0)]
    large = [(10.0, 3.0), (1000.0, 0.8)]
    found = envelope({5: small, 50: large}, [0.5, 1, 10, 100, 1000, 2000])
    assert [budget for budget, _, _ in found] == [1, 10, 100, 1000], "what no curve reaches is out"
    assert [loss for _, loss, _ in found] == pytest.approx([3.0, 2.5, 1.9, 0.8])
    assert [size for _, _, size in found] == [5, 5, 50, 50]


# --- the stored points ----------------------------------------------------------------------------


def test_points_are_read_and_other_files_are_refused(tmp_path):
    path = tmp_path / "points.json"
    row = {"parameters": 10, "tokens": 20, "flops": 1200.0, "loss": 2.5, "seed": 1}
    path.write_text(json.dumps([row]))
    assert read_points(path) == [Point(10, 20, 1200.0, 2.5)]
    for content in ("[]", "no JSON", '[{"parameters": 1}]', "3"):
        path.write_text(content)
        with pytest.raises(ValueError, match="rows with parameters, tokens, flops and loss"):
            read_points(path)


def test_the_stored_points_predict_the_largest_runs():
    points = sorted(read_points(data.path("scaling")), key=lambda p: p.flops)
    assert len({p.parameters for p in points}) >= 5
    law = fit(points[:-2])
    for point in points[-2:]:
        assert law.loss(point.parameters, point.tokens) == pytest.approx(point.loss, rel=0.02)
