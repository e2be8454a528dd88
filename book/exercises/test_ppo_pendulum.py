from statistics import NormalDist

import numpy as np
from ppo_pendulum import log_prob, mean_slope, merge, what_is_seen


def test_log_prob_is_a_sum():
    # z = .5 and 1: -(.125 + .693147 + .918939) - (.5 + 0 + .918939)
    np.testing.assert_allclose(log_prob([0.5, -1.0], [2.0, 1.0], [1.5, 0.0]), -3.156024, rtol=1e-6)


def test_log_prob_may_be_positive():
    np.testing.assert_allclose(log_prob([0.0], [0.1], [0.0]), 1.383647, rtol=1e-6)  # 2.302585 - .918939


def test_mean_slope_of_two_actions():
    # (1.4 - .9) / .25 = 2 and 0
    np.testing.assert_allclose(mean_slope(np.array([1.4, 0.9]), 0.9, 0.5), 1)


def test_mean_slope_is_zero_only_for_actions_as_they_were_drawn():
    drawn = np.array([NormalDist(0.9, 0.5).inv_cdf((i + 0.5) / 10_000) for i in range(10_000)])
    np.testing.assert_allclose(mean_slope(drawn, 0.9, 0.5), 0, atol=1e-6)
    np.testing.assert_allclose(mean_slope(np.clip(drawn, -1, 1), 0.9, 0.5), -0.614, atol=0.001)


def test_merge_of_three_numbers_and_one():
    np.testing.assert_allclose(merge(3, 2, 1, 1, 6, 0), [3, 3.75])  # 2 + 4 / 4; .75 * 1 + 0 + .25 * .75 * 16


def test_merge_gives_what_all_numbers_together_give():
    x = np.random.default_rng(0).normal(5, 3, 100)
    found = merge(60, x[:60].mean(), x[:60].var(), 40, x[60:].mean(), x[60:].var())
    np.testing.assert_allclose(found, [x.mean(), x.var()])


def test_what_is_seen_is_in_deviations_and_ten_at_most():
    mean, variance = np.array([1.0, -2.0, 30.0]), np.array([1.0, 4.0, 100.0])
    np.testing.assert_allclose(what_is_seen(np.array([3.0, 2.0, 50.0]), mean, variance), [2, 2, 2], atol=1e-5)
    np.testing.assert_allclose(what_is_seen(np.array([1.0, 28.0, -90.0]), mean, variance), [0, 10, -10], atol=1e-5)
