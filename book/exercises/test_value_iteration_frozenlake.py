import numpy as np
import pytest
from value_iteration_frozenlake import in_place, random_play, sweep

from envs.checked import make
from envs.tabular import transition_arrays

LAKE = transition_arrays(make("FrozenLake-v1", "numbers"))[::-1]  # reward, probability


def test_sweep_takes_the_best_action_of_each_state():
    # State 0: 0 + 0.5 * (4 / 2 + 8 / 2) = 3, or 1 and the end. State 1: 2 + 0.5 * 4 = 4, or 1 + 0.5 * 8 = 5.
    reward, probability = np.array([[0.0, 1], [2, 1]]), np.array([[[0.5, 0.5], [0, 0]], [[1, 0], [0, 1]]])
    np.testing.assert_allclose(sweep(reward, probability, np.array([4.0, 8]), 0.5), [3, 5])


def test_sweep_brings_any_two_guesses_closer():
    guesses = np.random.default_rng(0).normal(size=(2, 16))
    one, other = (sweep(*LAKE, guess, 0.9) for guess in guesses)
    assert 0 < abs(one - other).max() <= 0.9 * abs(guesses[0] - guesses[1]).max()


def test_random_play_on_a_walk_of_five_states():
    """Left and right by a coin toss; beyond the right end a reward of 1, so that state s is worth (s + 1) / 6."""
    reward, probability = np.zeros((5, 2)), np.zeros((5, 2, 5))
    reward[4, 1] = 1
    for s in range(4):
        probability[s, 1, s + 1] = probability[s + 1, 0, s] = 1
    np.testing.assert_allclose(random_play(reward, probability), np.arange(1, 6) / 6, atol=1e-6)


def test_random_play_on_the_lake():
    assert random_play(*LAKE)[0] == pytest.approx(0.0139398, abs=1e-6)


def test_in_place_carries_the_news_through_a_chain_in_one_sweep():
    # State s leads to s - 1, and the end behind state 0 pays 1; from the old values alone it would be 1, 0, 0.
    reward, probability, v = np.array([[1.0], [0], [0]]), np.eye(3, k=-1)[:, None], np.zeros(3)
    assert in_place(reward, probability, v, 0.5) == 1
    assert v.tolist() == [1, 0.5, 0.25]
    assert in_place(reward, probability, v, 0.5) == 0


def test_in_place_needs_fewer_sweeps_on_the_lake():
    v = np.zeros(16)
    changes = [in_place(*LAKE, v, 0.99) for _ in range(372)]
    assert changes[-1] <= 1e-9 < changes[-2]
    assert v[0] == pytest.approx(0.542026, abs=1e-6)
