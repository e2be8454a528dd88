import numpy as np
from dueling_dqn_cartpole import dueling, dueling_by_max, moves

VALUE, ADVANTAGE = np.array([[1.0], [2.0]]), np.array([[1.0, 2, 6], [0, 3, 0]])


def test_dueling_takes_the_mean_of_each_row():
    # 1 + (1, 2, 6) - 3 and 2 + (0, 3, 0) - 1
    np.testing.assert_allclose(dueling(VALUE, ADVANTAGE), [[-1, 0, 4], [1, 4, 1]])


def test_dueling_does_not_see_what_is_added_to_all_advantages():
    np.testing.assert_allclose(dueling(VALUE, ADVANTAGE + 7), [[-1, 0, 4], [1, 4, 1]])


def test_moves_of_all_actions():
    np.testing.assert_allclose(moves(2), [1.5, 0.5])
    np.testing.assert_allclose(moves(3), [5 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(moves(18), [2 - 1 / 18] + 17 * [1 - 1 / 18])


def test_dueling_by_max_of_each_row():
    np.testing.assert_allclose(dueling_by_max(VALUE, ADVANTAGE), [[-4, -3, 1], [-1, 2, -1]])
