"""The exact probability of success: by hand, against known numbers, and against a reference of another make."""

import gymnasium as gym
import numpy as np
import pytest

from envs.checked import make
from envs.tabular import (
    greedy_path,
    greedy_policy,
    is_lake,
    letters,
    moves,
    success_probability,
    transition_arrays,
)  # fmt: skip

LAKES = {"FrozenLake-v1": 100, "FrozenLake8x8-v1": 200}


def backup(transitions, value, gamma):
    """Action values, [states, actions], one step before `value`: written out, to check the array arithmetic."""
    q = np.zeros((len(transitions), len(transitions[0])))
    for s, actions in transitions.items():
        for a, outcomes in actions.items():
            q[s, a] = sum(p * (r + (0 if end else gamma * value[s2])) for p, s2, r, end in outcomes)
    return q


def best_policy(transitions, gamma):
    """Greedy on the values of value iteration. Rounded: state 6 has two best actions, the first one counts."""
    value = np.zeros(len(transitions))
    for _ in range(1500):
        value = backup(transitions, value, gamma).max(axis=1)
    return greedy_policy(backup(transitions, value, gamma).round(9))


def test_by_hand():
    # State 0: action 0 pays with probability 1/4 and stays otherwise; action 1 drowns. Two steps: 1/4 + 3/4 * 1/4.
    drown = [(1.0, 1, 0, True)]
    lake = {0: {0: [(0.25, 1, 1, True), (0.75, 0, 0, False)], 1: drown}, 1: {0: drown, 1: drown}}
    first, mixed = np.array([[1.0, 0.0]] * 2), np.full((2, 2), 0.5)
    assert success_probability(lake, first, 1) == 0.25
    assert success_probability(lake, first, 2) == 0.4375
    assert success_probability(lake, mixed, 2) == 0.171875  # 1/8 + 3/8 * 1/8
    assert success_probability(lake, np.stack([mixed, first]), 2) == 0.21875  # 1/8 + 3/8 * 1/4
    assert success_probability(lake, 1 - first, 2) == 0


@pytest.mark.parametrize(
    ("env_id", "gamma", "known"),
    [
        ("FrozenLake-v1", 0.99, 0.740165),
        ("FrozenLake-v1", 0.999, 0.740165),
        ("FrozenLake-v1", 0.95, 0.729766),
        ("FrozenLake8x8-v1", 0.995, 0.893568),
    ],
)
def test_best_policy_of_a_discount(env_id, gamma, known):
    env = gym.make(env_id)
    policy = best_policy(env.unwrapped.P, gamma)
    assert success_probability(env.unwrapped.P, policy, LAKES[env_id]) == pytest.approx(known, abs=1e-6)


def test_random_moves():
    transitions = gym.make("FrozenLake-v1").unwrapped.P
    assert success_probability(transitions, np.full((16, 4), 0.25), 100) == pytest.approx(0.01394, abs=1e-5)


@pytest.mark.parametrize(("env_id", "known"), [("FrozenLake-v1", 0.744190), ("FrozenLake8x8-v1", 0.913220)])
def test_the_best_policy_that_knows_the_clock(env_id, known):
    transitions, policies = gym.make(env_id).unwrapped.P, []
    value = np.zeros(len(transitions))
    for _ in range(LAKES[env_id]):
        q = backup(transitions, value, 1.0)
        value = q.max(axis=1)
        policies.append(greedy_policy(q))
    assert value[0] == pytest.approx(known, abs=1e-6)
    played = success_probability(transitions, np.array(policies[::-1]), LAKES[env_id])
    assert played == pytest.approx(known, abs=1e-6)


def test_it_agrees_with_played_games():
    env = gym.make("FrozenLake-v1")
    policy = best_policy(env.unwrapped.P, 0.99)
    action, wins = policy.argmax(axis=1), 0
    obs, _ = env.reset(seed=0)
    for _ in range(500):
        over = False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(int(action[obs]))
            over = terminated or truncated
        wins += reward
        obs, _ = env.reset()
    assert abs(wins / 500 - 0.740165) < 4 * 0.0196  # standard error of 500 games


def test_moves_and_map():
    env = gym.make("FrozenLake-v1")
    assert letters(env) == ["SFFF", "FHFH", "FFFH", "HFFG"]
    # Cell 9 = (2, 1) is free all round: of the three outcomes of an action the one in the middle is its own move.
    for action, (dy, dx) in enumerate(moves(env)):
        assert env.unwrapped.P[9][action][1][1] == (2 + dy) * 4 + 1 + dx


def test_moves_and_map_of_the_cliff():
    env = gym.make("CliffWalking-v1")
    assert letters(env) == ["F" * 12] * 3 + ["S" + "C" * 10 + "G"]
    for action, (dy, dx) in enumerate(moves(env)):
        assert env.unwrapped.P[12 + 5][action][0][1] == (1 + dy) * 12 + 5 + dx
    assert moves(gym.make("Taxi-v4")) is None


def test_a_greedy_path_ends_at_the_goal_or_in_a_circle():
    transitions = gym.make("CliffWalking-v1").unwrapped.P
    q = np.tile([0.0, 1, 0, 0], (48, 1))  # right
    q[36], q[35] = [1, 0, 0, 0], [0, 0, 1, 0]  # up from the start, down into the goal
    assert greedy_path(transitions, 36, q) == [36, *range(24, 36), 47]
    q[35] = [0, 1, 0, 0]  # into the wall
    assert greedy_path(transitions, 36, q) == [36, *range(24, 36), 35]
    assert greedy_path(transitions, 36, 0 * q)[-2:] == [0, 0]  # up, for ever


def test_the_model_as_arrays_by_hand():
    probability, reward = transition_arrays(make("FrozenLake-v1", "numbers"))
    assert probability.shape == (16, 4, 16) and reward.shape == (16, 4)
    # From 14, right: a third each up to 10, into the goal 15, where the game ends with 1, and to 14.
    np.testing.assert_allclose(probability[14, 2, [10, 14, 15]], [1 / 3, 1 / 3, 0])
    assert reward[14, 2] == pytest.approx(1 / 3) and reward.sum() == pytest.approx(1)
    # From 0, left: two of three outcomes stay.
    np.testing.assert_allclose(probability[0, 0, [0, 4]], [2 / 3, 1 / 3])
    assert not probability[5].any()  # a hole


def test_a_world_without_a_model_is_refused():
    with pytest.raises(gym.error.Error, match="Blackjack-v1 has no table of its transitions"):
        transition_arrays(make("Blackjack-v1", "numbers"))


def test_only_a_lake_with_a_time_limit_is_a_lake():
    unlimited = gym.make("FrozenLake-v1", max_episode_steps=-1)  # gymnasium's way to have no limit
    assert is_lake(gym.make("FrozenLake8x8-v1", is_slippery=False))
    assert not is_lake(gym.make("CliffWalking-v1")) and not is_lake(unlimited)
