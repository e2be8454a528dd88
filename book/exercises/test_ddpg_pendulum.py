import numpy as np
from ddpg_pendulum import copy_after, half_way, long_run, slope, target


def test_slope_of_two_states():
    np.testing.assert_allclose(slope(0.5, np.array([2.0, -1.0])), 1.5)  # (1.2 * 2 + -.6 * -1) / 2


def test_slope_is_that_of_a_small_step_and_zero_at_the_best_weight():
    s = np.random.default_rng(0).normal(size=100)
    values = [-((w * s - 0.8 * s) ** 2).mean() for w in (1.1999, 1.2001)]
    np.testing.assert_allclose(slope(1.2, s), (values[1] - values[0]) / 0.0002)
    np.testing.assert_allclose(slope(0.8, s), 0, atol=1e-12)


def test_target_stops_only_where_the_game_terminated():
    terminated, truncated = np.array([0, 0, 1]), np.array([0, 1, 0])
    found = target(np.full(3, -1.0), terminated, truncated, np.full(3, -100.0), 0.98)
    np.testing.assert_allclose(found, [-99, -99, -1])


def test_copy_after_two_updates():
    np.testing.assert_allclose(copy_after(2, 0.005), 0.009975)  # .005 + .005 * (1 - .005)


def test_copy_after_many_updates():
    copy = 0.0
    for _ in range(1000):
        copy += 0.01 * (1 - copy)
    np.testing.assert_allclose(copy_after(1000, 0.01), copy)


def test_half_way():
    assert (half_way(0.5), half_way(0.01), half_way(0.001)) == (1, 69, 693)


def test_long_run_of_the_papers_noise():
    np.testing.assert_allclose(long_run(0.15, 0.2), [0.379663, 0.85], rtol=1e-5)  # .04 / (1 - .7225) = .144144


def test_long_run_of_noise_that_forgets_at_once():
    np.testing.assert_allclose(long_run(1.0, 0.2), [0.2, 0])
