"""The exact probability of success: by hand, against known numbers, and against a reference of another make."""

import gymnasium as gym
import numpy as np
import pytest

from common.plots import LEFT_DOWN_RIGHT_UP
from envs.tabular import greedy_policy, is_lake, letters, success_probability

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
    for action, (dy, dx) in enumerate(LEFT_DOWN_RIGHT_UP):
        assert env.unwrapped.P[9][action][1][1] == (2 + dy) * 4 + 1 + dx


def test_only_a_lake_with_a_time_limit_is_a_lake():
    unlimited = gym.make("FrozenLake-v1", max_episode_steps=-1)  # gymnasium's way to have no limit
    assert is_lake(gym.make("FrozenLake8x8-v1", is_slippery=False))
    assert not is_lake(gym.make("CliffWalking-v1")) and not is_lake(unlimited)
