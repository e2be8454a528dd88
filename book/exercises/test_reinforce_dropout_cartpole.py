import numpy as np
import pytest
from reinforce_dropout_cartpole import dropped, games_until_solved, logit_moments, mean_slope

W = np.log(3) / 2  # left has the probability 0.75 where the unit works, if the rate is 0.5


def test_dropped_scales_up_the_units_that_work():
    np.testing.assert_allclose(dropped(np.array([1.0, -2.0]), np.array([1, 0]), 0.6), [2.5, 0])
    np.testing.assert_allclose(dropped(np.array([1.0, -2.0]), np.array([1, 1]), 0.5), [2, -4])
    np.testing.assert_allclose(dropped(np.array([1.0, -2.0]), np.array([1, 1]), 0.0), [1, -2])


def test_logit_moments_over_the_four_masks_of_two_units():
    # both terms are doubled or 0: the logits 0, 4, 6 and 10 with a quarter each, mean 5, squared errors 25, 1, 1, 25
    np.testing.assert_allclose(logit_moments(np.array([1.0, 3.0]), np.array([2.0, 1.0]), 0.5), [5, 13**0.5])


def test_logit_moments_without_dropout_and_at_another_rate():
    np.testing.assert_allclose(logit_moments(np.array([1.0, 3.0]), np.array([2.0, 1.0]), 0.0), [5, 0])
    # 0 with 0.6 and 2.5 * 2 with 0.4: mean 2, mean square 10
    np.testing.assert_allclose(logit_moments(np.array([2.0]), np.array([1.0]), 0.6), [2, 6**0.5])


def test_mean_slope_with_the_masks_of_the_play_is_the_true_one():
    # 0.5 * 0.75 * 0.5, and nothing to learn where all actions earn the same
    assert mean_slope(W, 0.5, (1, 0), True) == pytest.approx(0.1875)
    assert mean_slope(W, 0.5, (1, 1), True) == pytest.approx(0, abs=1e-9)
    assert mean_slope(W, 0.5, (0.375, -0.625), True) == pytest.approx(0.1875)


def test_mean_slope_with_other_masks_is_biased():
    # 0.625 * 0.5 * 0.5; 0.5 * (0.625 * 0.5 - 0.375 * 1.5)
    assert mean_slope(W, 0.5, (1, 0), False) == pytest.approx(0.15625)
    assert mean_slope(W, 0.5, (1, 1), False) == pytest.approx(-0.125)


def test_mean_slope_is_that_of_the_expected_reward_at_another_rate():
    def expected_reward(w):  # left earns 3 and right 1; the unit gives 2.5 with probability 0.4
        left = 0.4 / (1 + np.exp(-2.5 * w)) + 0.6 * 0.5
        return 3 * left + (1 - left)

    slope = (expected_reward(0.3 + 1e-5) - expected_reward(0.3 - 1e-5)) / 2e-5
    assert mean_slope(0.3, 0.6, (3, 1), True) == pytest.approx(slope, abs=1e-6)


def test_games_until_solved():
    # 10 g^n + 499 (1 - g^n) > 475 where g^n < 24 / 489: n > 3.0143 / -ln g, which is 299.9, 28.6 and 4.3
    assert [games_until_solved(gamma) for gamma in (0.99, 0.9, 0.5)] == [300, 29, 5]
