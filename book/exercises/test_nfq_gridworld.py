import numpy as np
from nfq_gridworld import pulls, refitted, targets, trained

# Two cells and a goal, in the order of play reversed; action 0 is left, 1 is right; the goal is never acted in.
OBS, ACTION = np.array([1, 0, 1, 0]), np.array([1, 1, 0, 0])
REWARD, NEXT_OBS = np.array([10.0, 0, 0, -5]), np.array([2, 1, 0, 0])
TERMINATED = np.array([True, False, False, False])
ROUNDS = [[[-5, 0], [0, 10]], [[-5, 9], [0, 10]], [[3.1, 9], [8.1, 10]], [[3.1, 9], [8.1, 10]]]


def test_refitted_carries_the_goal_back_one_cell_per_round():
    q = np.zeros((3, 2))
    for expected in ROUNDS:
        before = q.copy()
        fitted = refitted(q, OBS, ACTION, REWARD, NEXT_OBS, TERMINATED, 0.9)
        np.testing.assert_array_equal(q, before)  # the table that gave the targets stays as it was
        np.testing.assert_allclose(fitted, [*expected, [0, 0]], atol=1e-12)
        q = fitted


def test_refitted_is_the_mean_of_the_targets_and_leaves_the_rest():
    q = np.array([[4.0, 6], [7, 8]])
    one = np.array([1, 1, 1])  # the same action in the same state, three outcomes: 10, 0 + 0.5 * 6, -4 + 0.5 * 6
    fitted = refitted(q, one, 0 * one, np.array([10.0, 0, -4]), 0 * one, np.array([True, False, False]), 0.5)
    np.testing.assert_allclose(fitted, [[4, 6], [4, 8]])  # (10 + 3 - 1) / 3 = 4


def test_targets_of_a_wall_a_goal_and_a_time_limit():
    reward, next_q = np.array([-5.0, 10, 0]), np.array([[1.0, 2], [7, 9], [4, 3]])
    terminated, truncated = np.array([False, True, False]), np.array([False, False, True])
    np.testing.assert_allclose(targets(reward, next_q, terminated, truncated, 0.9), [-3.2, 10, 3.6])
    np.testing.assert_allclose(targets(reward, next_q, terminated, ~truncated, 0.9), [-3.2, 10, 3.6])


def test_pulls_of_two_values_by_hand():
    np.testing.assert_allclose(pulls(np.array([1.0, 5]), np.array([0.0, 3])), [-3, 0])


def test_pulls_are_the_slopes():
    y, q, h = np.array([2.0, -1, 4]), np.array([0.5, 1, 9]), 1e-5
    for i, pull in enumerate(pulls(y, q)):
        up, down = (q + sign * h * (np.arange(3) == i) for sign in (1, -1))
        high, low = (np.mean((y - values[:, None]) ** 2) for values in (up, down))
        assert abs((high - low) / (2 * h) - pull) < 1e-6


def test_trained_in_blocks_forgets_and_trained_in_turns_does_not():
    x, y = np.array([[1.0, 1, 0], [1, 0, 1]]), np.array([4.0, -2])
    np.testing.assert_allclose(x @ trained(x, y, [0] * 100 + [1] * 100, 0.1), [2, -2], atol=1e-6)
    np.testing.assert_allclose(x @ trained(x, y, [0, 1] * 200, 0.1), [4, -2], atol=1e-6)
