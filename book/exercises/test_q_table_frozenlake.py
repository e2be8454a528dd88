import numpy as np
from q_table_frozenlake import bellman, break_even, td_step, weights_of_targets


def test_td_step_moves_towards_the_best_of_the_next_row():
    np.testing.assert_allclose(td_step(0.5, 0.0, False, [0.2, 0.8], 0.9, 0.5), [0.22, 0.61])  # y = 0.9 * 0.8
    np.testing.assert_allclose(td_step(0.5, 1.0, False, [-1.0, -2.0], 0.9, 0.1), [-0.4, 0.46])  # y = 1 - 0.9


def test_td_step_ignores_what_stands_behind_the_end():
    np.testing.assert_allclose(td_step(0.5, 1.0, True, [0.2, 0.8], 0.9, 0.5), [0.5, 0.75])
    np.testing.assert_allclose(td_step(0.5, 0.0, True, [1.0, 1.0], 0.9, 0.5), [-0.5, 0.25])


def test_bellman_of_down_beside_the_goal():
    values = np.zeros(16)
    values[13:] = 0.7417, 0.8628, 5.0  # the last one stands behind the end
    down = [(1 / 3, 13, 0.0, False), (1 / 3, 14, 0.0, False), (1 / 3, 15, 1.0, True)]
    np.testing.assert_allclose(bellman(down, values, 0.99), 0.862818, atol=1e-6)


def test_bellman_weighs_rewards_too():
    outcomes = [(0.25, 0, 8.0, False), (0.75, 1, 0.0, False)]
    np.testing.assert_allclose(bellman(outcomes, np.array([4.0, 2.0]), 0.5), 3.25)  # 2 + 0.5 * (1 + 1.5)


def test_weights_of_targets():
    np.testing.assert_allclose(weights_of_targets([0.8, 0.8, 0.8]), [0.032, 0.16, 0.8])
    np.testing.assert_allclose(weights_of_targets([1.0, 0.5, 0.25]), [0.375, 0.375, 0.25])


def test_weights_of_targets_are_a_plain_mean_with_one_over_the_visits():
    np.testing.assert_allclose(weights_of_targets([1 / n for n in range(1, 11)]), np.full(10, 0.1))


def test_break_even():
    np.testing.assert_allclose(break_even(0.5, 3, 1.0, 4), 0.5)
    gamma = break_even(0.9, 4, 1.0, 14)
    np.testing.assert_allclose(0.9 * gamma**3, gamma**13)
    np.testing.assert_allclose(gamma, 0.989519, atol=1e-6)
