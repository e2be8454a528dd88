import numpy as np
from double_dqn_cartpole import excess, relative, target


def test_target_lets_one_network_choose_and_the_other_judge():
    # The network prefers the second action: 1 + 0.99 * 3 = 3.97, where DQN's target is 5.95; the second game terminated
    next_q, chooser_q = np.array([[5.0, 3], [5, 3], [1, 2]]), np.array([[1.0, 2], [1, 2], [9, 0]])
    y = target(np.array([1.0, 1, 0]), np.array([0.99, 0, 0.5]), next_q, chooser_q)
    np.testing.assert_allclose(y, [3.97, 1, 0.5])


def test_excess_of_two_networks_by_hand():
    judge, chooser = np.array([[1.0, -2], [3, 0]]), np.array([[0.0, 1], [5, 2]])
    assert excess(judge, chooser) == 0.5  # (-2 + 3) / 2; with the roles swapped (0 + 5) / 2


def test_excess_of_one_network_is_that_of_its_maximum():
    errors = np.random.default_rng(0).normal(size=(200_000, 10))
    assert abs(excess(errors, errors) - 1.5388) < 0.01
    assert abs(excess(errors, np.random.default_rng(1).normal(size=errors.shape))) < 0.01


def test_relative_has_the_deviation_and_the_correlation():
    error, independent = np.array([[1.0, -1], [1, -1]]), np.array([[1.0, 1], [-1, -1]])
    for correlation in (0.0, 0.5, 0.6, 0.9, 1.0):
        found = relative(error, independent, correlation)
        np.testing.assert_allclose([found.std(), (found * error).mean()], [1, correlation])
