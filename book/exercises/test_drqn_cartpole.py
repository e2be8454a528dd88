import gymnasium as gym
import numpy as np
import pytest
from drqn_cartpole import burn_in, in_loss, push

import envs  # noqa: F401  registers CartPoleNoVelocity-v1


@pytest.mark.parametrize(
    ("inside", "steps", "wanted"),
    [
        ([1, 1, 1, 1, 1], 2, [0, 0, 1, 1]),
        ([0, 1, 1, 1, 0], 1, [0, 1, 1, 0]),  # the last observation of a game has no step
        ([0, 0, 1, 1, 1], 2, [0, 0, 1, 1]),  # a game that begins where the burn-in is over
        ([1, 1, 1, 0, 0], 0, [1, 1, 0, 0]),
    ],
)
def test_in_loss(inside, steps, wanted):
    assert list(in_loss(np.array(inside, bool), steps)) == wanted


@pytest.mark.parametrize(
    ("before", "now", "wanted"), [(0.01, 0.02, 1), (0.02, 0.01, 0), (-0.02, -0.01, 1), (0, 0.01, 1)]
)
def test_push_follows_the_fall_of_the_pole(before, now, wanted):
    assert push(before, now) == wanted


def test_push_balances_three_times_as_long_as_a_push_without_memory():
    env, lengths = gym.make("CartPoleNoVelocity-v1"), []
    for seed in range(10):
        obs, _ = env.reset(seed=seed)
        before, length, over = obs, 0, False
        while not over:
            action = push(before[1], obs[1])
            before = obs
            obs, _, terminated, truncated, _ = env.step(action)
            length, over = length + 1, terminated or truncated
        lengths.append(length)
    assert np.mean(lengths) > 3 * 38.6


@pytest.mark.parametrize(("f", "wanted"), [(0.5, 7), (0.73, 15), (0.9, 44), (0.99, 459)])
def test_burn_in(f, wanted):
    assert burn_in(f) == wanted
