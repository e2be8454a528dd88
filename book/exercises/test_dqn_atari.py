import numpy as np
import pytest
from dqn_atari import best_constant, discounted_sum, observation, rebuilt


def test_observation_holds_the_newest_of_each_of_four_actions():
    screens = np.zeros((20, 1, 3), np.uint8)
    screens[:, 0, 0] = np.arange(20)  # brighter with time
    screens[::2, 0, 1] = 200  # a sprite that is drawn on every other screen
    screens[0::4, 0, 2] = screens[1::4, 0, 2] = 90  # shown only while the action is under way
    seen = observation(screens)
    assert seen.shape == (4, 1, 3)
    np.testing.assert_array_equal(seen[:, 0], [[7, 200, 0], [11, 200, 0], [15, 200, 0], [19, 200, 0]])


def test_rebuilt_in_the_middle_of_a_game_and_across_the_seam_of_the_ring():
    ring = np.arange(1, 7).reshape(6, 1, 1)
    assert rebuilt(ring, slot=4, age=3).ravel().tolist() == [2, 3, 4, 5]
    assert rebuilt(ring, slot=1, age=3).ravel().tolist() == [5, 6, 1, 2]


def test_rebuilt_at_the_start_of_a_game_holds_nothing_of_the_game_before():
    ring = np.arange(1, 7).reshape(6, 1, 1)
    assert rebuilt(ring, slot=3, age=1).ravel().tolist() == [0, 0, 3, 4]
    assert rebuilt(ring, slot=3, age=0).ravel().tolist() == [0, 0, 0, 4]
    assert ring.ravel().tolist() == [1, 2, 3, 4, 5, 6]


def test_best_constant_is_the_mean_of_near_targets_and_hardly_hears_a_far_one():
    assert best_constant(np.array([0.0, 0.2, 0.7])) == pytest.approx(0.3, abs=1e-3)
    assert best_constant(np.array([0.0] * 9 + [1.0])) == pytest.approx(0.1, abs=1e-3)
    assert best_constant(np.array([0.0] * 9 + [10.0])) == pytest.approx(1 / 9, abs=1e-3)  # its mean is 1
    assert best_constant(np.array([50.0, 50.5, 70])) == pytest.approx(50.75, abs=1e-3)  # 0.75 + 0.25 = 1


def test_discounted_sum_and_which_way_looks_better():
    assert discounted_sum([1, 1, 1], 0.99, clip=False) == pytest.approx(2.9701)
    assert discounted_sum([1, 1, 1], 0.99, clip=True) == pytest.approx(2.9701)
    assert discounted_sum([0, 0, 7], 0.99, clip=False) == pytest.approx(6.8607)
    assert discounted_sum([0, 0, 7], 0.99, clip=True) == pytest.approx(0.9801)
    assert discounted_sum([0.5, -3], 0.5, clip=True) == pytest.approx(0)
