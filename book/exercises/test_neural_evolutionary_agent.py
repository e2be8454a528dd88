import numpy as np
from neural_evolutionary_agent import elite_gradient, elites, ends_of_elites, imitated


def test_elites_reach_the_percentile():
    np.testing.assert_array_equal(elites(np.array([1, 0, 1, -1]), 70), [True, False, True, False])
    np.testing.assert_array_equal(elites(np.arange(10.0), 75), [False] * 7 + [True] * 3)  # the threshold is 6.75


def test_elites_of_equal_games_are_all():
    np.testing.assert_array_equal(elites(np.zeros(4), 95), [True] * 4)


def test_imitated_is_the_share_of_each_action():
    expected = [[0, 1 / 3, 2 / 3], [0, 0, 1]]
    states, actions = np.array([0, 1, 0, 0, 1]), np.array([2, 2, 1, 2, 2])
    np.testing.assert_allclose(imitated(states, actions, 2, 3), expected)


def test_elite_gradient():
    probabilities, actions = np.array([0.5, 0.25, 0.25]), np.array([0, 0, 1, 2, 2])
    gradient = elite_gradient(probabilities, actions, np.array([False, True, True, True, True]))
    np.testing.assert_allclose(gradient, [0.25, 0, -0.25])  # shares 1/4, 1/4, 1/2
    gradient = elite_gradient(probabilities, actions, np.array([False, False, True, False, False]))
    np.testing.assert_allclose(gradient, [0.5, -0.75, 0.25])


def test_ends_of_elites_takes_equal_rewards_together():
    kinds = [("time", -3.0, 0.6), ("goal", -1.0, 0.1), ("bomb", -1.0, 0.3)]
    found = ends_of_elites(kinds, 0.05)
    np.testing.assert_allclose([found["goal"], found["bomb"], found.get("time", 0)], [0.25, 0.75, 0])
    found = ends_of_elites(kinds, 0.5)
    np.testing.assert_allclose([found["goal"], found["bomb"], found["time"]], [0.1, 0.3, 0.6])


def test_ends_of_elites_adds_up_kinds_with_the_same_end():
    found = ends_of_elites([("goal", 1.0, 0.1), ("goal", 0.5, 0.1), ("bomb", -1.0, 0.8)], 0.15)
    np.testing.assert_allclose([found["goal"], found.get("bomb", 0)], [1, 0])


def test_ends_of_elites_of_a_lottery_are_the_lucky_ones():
    found = ends_of_elites([("win", 1.0, 0.05), ("sure", 0.5, 0.5), ("loss", 0.0, 0.45)], 0.05)
    np.testing.assert_allclose([found["win"], found.get("sure", 0), found.get("loss", 0)], [1, 0, 0])
