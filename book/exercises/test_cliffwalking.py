import numpy as np
import pytest
from cliffwalking import expected_target, sarsa_target, walkers_value

from envs.checked import make
from envs.tabular import transition_arrays

ROW = np.array([-5.0, -1, -2, -4])  # the mean is -3


def test_sarsa_target_takes_the_next_action():
    assert sarsa_target(1, False, np.array([5.0, 3]), 1, 0.99) == pytest.approx(3.97)  # Q-learning's is 5.95


def test_sarsa_target_is_the_reward_where_the_game_terminated():
    assert sarsa_target(1, True, np.array([5.0, 3]), 1, 0.99) == 1


@pytest.mark.parametrize(("epsilon", "wanted"), [(0, -1.9), (0.2, -2.26), (1, -3.7)])
def test_expected_target_counts_the_best_action_among_the_random_ones(epsilon, wanted):
    # -1 + 0.9 * (0.8 * -1 + 0.2 * -3) = -2.26; without the best one among the random ones it would be -2.38
    assert expected_target(-1, False, ROW, epsilon, 0.9) == pytest.approx(wanted)


def test_expected_target_is_the_reward_where_the_game_terminated():
    assert expected_target(-1, True, ROW, 0.2, 0.9) == -1


def test_walkers_value_in_a_world_of_one_state():
    # Action 0 costs 1 and ends the game, action 1 costs 100 and leads back: v = 0.75 * -1 + 0.25 * (-100 + v)
    probability, reward = np.array([[[0.0], [1.0]]]), np.array([[-1.0, -100.0]])
    np.testing.assert_allclose(walkers_value(np.array([0]), 0.5, probability, reward), [-103 / 3])


@pytest.mark.parametrize(
    ("epsilon", "edge", "next_row", "border"), [(0.1, -51.81, -21.05, -22.27), (0.001, -13.30, -15.05, -17.05)]
)
def test_walkers_value_of_three_ways_past_the_cliff(epsilon, edge, next_row, border):
    model = transition_arrays(make("CliffWalking-v1", "numbers"))
    for row, wanted in ((2, edge), (1, next_row), (0, border)):
        best = np.zeros((4, 12), int)  # 0 is up, 1 right, 2 down
        best[:row], best[row], best[:, -1] = 2, 1, 2
        assert walkers_value(best.ravel(), epsilon, *model)[36] == pytest.approx(wanted, abs=0.006)
